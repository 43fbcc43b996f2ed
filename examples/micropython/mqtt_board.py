# SensorFlow over MQTT from MicroPython: mpremote mip install umqtt.simple
#
# It measures every ten seconds. While the broker is away the readings wait here. With QoS 1 publish() returns when the
# broker has the message; a reading keeps its time when it is sent again, so that it is never stored twice.
import json
import time

import ntptime
from umqtt.simple import MQTTClient

SERVER = "192.168.0.10"
PORT = 1883
USER = "device"  # or the board's own, which may then write for the sensor of that name alone
PASSWORD = "put the password here"
SENSOR_ID = "pico"
EVERY_MS = 10_000
MAX_WAITING = 300  # the oldest go first

TOPIC = "sensors/{}/temperature_reading"
SINCE_1970_S = 946_684_800 if time.gmtime(0)[0] == 2000 else 0  # most boards count from 2000


def measure():
    # Put your sensor here.
    return {"temperature": 21.5, "humidity": 45, "pressure": 1013}


def now_s():
    return time.time() + SINCE_1970_S


def send(waiting):
    """Send all that waits, and take out what the broker has."""
    mqtt = MQTTClient(SENSOR_ID, SERVER, PORT, USER, PASSWORD)
    mqtt.connect()
    while waiting:
        mqtt.publish(TOPIC.format(SENSOR_ID), json.dumps(waiting[0]), qos=1)
        del waiting[0]
    mqtt.disconnect()


def main():
    ntptime.settime()
    waiting = []
    while True:
        started = time.ticks_ms()
        waiting.append({"time": now_s()} | measure())
        del waiting[:-MAX_WAITING]
        try:
            send(waiting)
        except OSError as error:
            print("the broker is away:", error)
        time.sleep_ms(max(0, EVERY_MS - time.ticks_diff(time.ticks_ms(), started)))


main()

# MicroPython has other modules and no types; and this is short, for a board with little memory:
# mypy: ignore-errors
# ruff: noqa: ANN001, ANN201, S105, T201 - as above
