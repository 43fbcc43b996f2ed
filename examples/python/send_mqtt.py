"""Send readings over MQTT: ``MQTT_PASSWORD=… python send_mqtt.py``. Needs ``pip install paho-mqtt``."""

import json
import os
import random
import time
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

HOST = os.environ.get("MQTT_HOST", "127.0.0.1")
PORT = int(os.environ.get("MQTT_PORT", "1883"))
USER = os.environ.get("MQTT_USERNAME", "device")
SENSOR_ID = "python_mqtt"
READINGS = 5
EVERY_S = 0.2


def connect() -> paho.Client:
    """A client that connects again by itself, and sends again what the broker has not acknowledged."""
    client = paho.Client(CallbackAPIVersion.VERSION2, SENSOR_ID, protocol=paho.MQTTv5)
    client.username_pw_set(USER, os.environ["MQTT_PASSWORD"])
    client.on_publish = tell
    client.connect(HOST, PORT)
    client.loop_start()
    return client


def tell(_: paho.Client, __: object, mid: int, reason: ReasonCode, ___: object) -> None:
    """Look at the broker's answer: with 0x87 it has refused the topic, with 0x10 nobody takes readings yet."""
    print(mid, "the broker has it" if reason == 0 else f"refused: {reason}")


def measure() -> dict[str, Any]:
    """Put your sensor here. With its own time a reading is the same one, however often it is sent."""
    return {
        "time": time.time_ns() // 1000,
        "temperature": round(random.uniform(20, 25), 2),
        "humidity": 45,
        "pressure": 1013,
    }


def main() -> None:
    """Measure and publish with QoS 1, and wait until the broker has it all."""
    client = connect()
    for _ in range(READINGS):
        message = client.publish(f"sensors/{SENSOR_ID}/temperature_reading", json.dumps(measure()), qos=1)
        message.wait_for_publish(10)
        time.sleep(EVERY_S)
    client.disconnect()
    client.loop_stop()


if __name__ == "__main__":
    main()

# ruff: noqa: S311, T201 - a sensor that is played, and a program that talks to a person
