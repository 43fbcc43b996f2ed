"""What looks the same and is not, and what is the same and comes again: R17, R25."""

import time
from pathlib import Path

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from pydantic import SecretStr

from sensorflow.settings import BridgeSettings
from tests.e2e.system import System
from tests.faults.findings import look, settle_after
from tests.faults.judge import judge
from tests.faults.oracle import Oracle
from tests.faults.reading import Reading, Sensors
from tests.faults.running import board_of, device_of, running, until_bridge_hears
from tests.faults.trial import Outcome, trial
from tests.waiting import until

SAME_TIME = 1000
RETAINED = 200
RESTARTS = 5


@trial("R17", must_hold="1,000 rows of 1,000 different readings at one sensor and ms; as many when they come again")
def many_readings_have_one_time(directory: Path) -> Outcome:
    now_us = time.time_ns() // 1_000_000 * 1000
    readings = [Reading("burst", number, time_us=now_us) for number in range(SAME_TIME)]
    with running(directory, "mosquitto", "store", "bridge", "http_api") as system:
        system.wait_until()
        device, board = device_of(system), board_of(system)
        with Oracle(device, board) as oracle:
            for _ in range(2):
                oracle.offer(device, readings[::2])
                oracle.offer(board, readings[1::2])
                oracle.wait()
            last = settle_after(system, oracle, device)
        findings = look(system)
    rows = [row for row in findings.rows if row.sensor_id == "burst"]
    # Two senders at once, so the order among them is nobody's: they all claim the same time.
    found = judge(readings + last, findings.rows, shift_us=SAME_TIME)
    return Outcome(
        injected=f"{SAME_TIME:,} readings at one time, by MQTT and HTTP, each sent twice",
        offered=found.offered,
        accepted=found.accepted,
        lost=found.lost,
        duplicated=found.duplicated,
        measured=f"{len(rows):,} rows within {max(row.time_us for row in rows) - now_us + 1:,} us; {found.wrong} wrong",
        holds=len(rows) == SAME_TIME
        and found.lost == found.duplicated == found.wrong == found.foreign == 0
        and findings.is_conserved
        and not findings.buried,
    )


@trial("R25", must_hold="0 duplicates: retained readings are stored once, however often the bridge subscribes")
def retained_readings_are_subscribed_again(directory: Path) -> Outcome:
    sensors = Sensors("retained", RETAINED)
    with running(directory, "mosquitto", "store", "bridge") as system:
        device = device_of(system, retain=True)
        with Oracle(device) as oracle:
            oracle.offer(device, sensors.make(RETAINED))
            last = settle_after(system, oracle, device)
            for number in range(RESTARTS):
                system.kill("bridge")
                if number % 2:
                    _end_session(system)
                system.start("bridge")
                until_bridge_hears(system)
            system.stop("mosquitto")
            system.start("mosquitto")
            until_bridge_hears(system)
            last += settle_after(system, oracle, device)
        findings = look(system)
    found = judge(sensors.made + last, findings.rows)
    return Outcome(
        injected=f"{RESTARTS} x kill -9 of the bridge, {RESTARTS // 2} x its session ended, 1 x the broker restarted",
        offered=found.offered,
        accepted=found.accepted,
        lost=found.lost,
        duplicated=found.duplicated,
        measured=found.words(),
        holds=found.holds and findings.is_conserved and not findings.buried,
    )


def _end_session(system: System) -> None:
    """Have the broker forget the bridge, so that its next subscription is a new one."""
    password = system.settings.mqtt_password_bridge.get_secret_value()
    client = paho.Client(CallbackAPIVersion.VERSION2, _client_id(password), protocol=paho.MQTTv5)
    client.username_pw_set("bridge", password)
    client.connect("127.0.0.1", system.settings.mqtt_port, clean_start=True)
    client.loop_start()
    until(client.is_connected)
    client.disconnect()
    client.loop_stop()


def _client_id(password: str) -> str:
    settings = BridgeSettings(mqtt_password=SecretStr(password), influx_token=SecretStr(password))
    return settings.stable_client_id
