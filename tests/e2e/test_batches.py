"""Batches and requests that are sent again, through all of it, with parts killed in between."""

import gzip
import json
import threading
import time
from collections import Counter
from typing import Any

import httpx
import pytest

from tests.e2e.system import System
from tests.waiting import until

pytestmark = pytest.mark.e2e

COUNT = 10_000
CLIMATE = {"temperature": 25.5, "humidity": 60.2, "pressure": 1012.5}


def batch(count: int = COUNT) -> list[dict[str, Any]]:
    """Of 50 sensors and two kinds, none with a time."""
    return [
        {"sensor_id": f"s{number % 50}", "kind": "telemetry", "n": number}
        if number % 2
        else {"sensor_id": f"s{number % 50}"} | CLIMATE | {"pressure": number / 10}
        for number in range(count)
    ]


def send(system: System, body: object, key: str = "", path: str = "readings?ids=true") -> httpx.Response:
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    return system.http.post(
        f"/api/v1/{path}",
        content=gzip.compress(json.dumps(body).encode(), 1),
        headers=headers | ({"Idempotency-Key": key} if key else {}),
        timeout=60,
    )


def stored(system: System, count: int) -> list[tuple[str, int, float]]:
    """Sensor, id and number of each row, when so many are there."""
    until(lambda: system.count("telemetry") + system.count("sensor_readings") >= count, 60)
    rows = system.rows("SELECT sensor_id, time, n FROM telemetry")
    rows += system.rows("SELECT sensor_id, time, pressure * 10 AS n FROM sensor_readings")
    return sorted((row["sensor_id"], round(row["time"].timestamp() * 1e6), round(row["n"])) for row in rows)


def test_ten_thousand_readings_are_durable_and_stored_once_in_order(system: System) -> None:
    response = send(system, batch())

    assert response.status_code == 201
    assert (response.json()["accepted"], response.json()["durable"]) == (COUNT, True)
    ids = response.json()["ids"]
    rows = stored(system, COUNT)
    assert rows == sorted((each["sensor_id"], ids[number], number) for number, each in enumerate(batch()))
    for sensor in range(50):
        its = [ids[number] for number in range(sensor, COUNT, 50)]
        assert its == sorted(set(its))


def test_batch_that_is_sent_again_after_kills_is_stored_once_and_answered_alike(system: System) -> None:
    count = COUNT - 3
    body = [*batch(count), {"sensor_id": "s1", "humidity": 101}, {"sensor_id": "a/b", "kind": "telemetry", "n": 1}]
    body.append({"sensor_id": "s1", "kind": "telemetry", "n": "a text, and it was a number"})
    first = send(system, body, "k")
    system.kill("bridge")
    system.kill("http_api")
    system.start("bridge", "http_api")
    system.wait_until(bridge="active", mqtt="connected")

    second = send(system, body, "k")
    other = send(system, batch(10), "k")

    assert (first.status_code, first.json()["accepted"], first.json()["rejected"]) == (207, count, 3)
    assert second.json() == first.json()
    assert (other.status_code, other.json()["reason"]) == (422, "idempotency_mismatch")
    assert Counter(number for _, _, number in stored(system, count)) == Counter(range(count))


def test_batch_and_reading_under_way_when_the_bridge_is_killed_are_stored_once(system: System) -> None:
    answers: list[int] = []

    def keep_sending() -> None:
        while not answers or answers[-1] != 201:
            answers.append(send(system, batch(), "k").status_code)

    def keep_posting() -> None:
        while (
            system.http.post(
                "/api/v1/telemetry", json={"sensor_id": "one", "n": COUNT}, headers={"Idempotency-Key": "k"}
            ).status_code
            != 201
        ):
            pass

    senders = [threading.Thread(target=keep_sending), threading.Thread(target=keep_posting)]
    for sender in senders:
        sender.start()
    for pause_s in (0.05, 0.15, 0.3):
        time.sleep(pause_s)  # until some of it is under way
        system.kill("bridge")
        system.start("bridge")
    for sender in senders:
        sender.join(60)

    assert answers[-1] == 201
    assert set(answers) <= {201, 202, 503}
    rows = stored(system, COUNT + 1)
    assert Counter(number for _, _, number in rows) == Counter(range(COUNT + 1))


def test_reading_without_a_time_that_waited_for_the_bridge_is_stored_once_however_often_it_was_sent(
    system: System,
) -> None:
    def post(n: int) -> httpx.Response:
        headers = {"Idempotency-Key": f"boot-1-{n}"}
        return system.http.post("/api/v1/telemetry", json={"sensor_id": "board", "n": n}, headers=headers)

    system.kill("bridge")
    waiting = [post(1).status_code, post(1).status_code]
    system.start("bridge")
    system.wait_until(bridge="active")
    after = until(lambda: (answer := post(1)).status_code == 201 and answer)
    again = post(1)
    another = post(2)

    assert waiting == [202, 202]
    assert after.json()["id"] == again.json()["id"] < another.json()["id"]
    until(lambda: system.count("telemetry") == 2)
    assert [row["n"] for row in system.rows("SELECT n FROM telemetry ORDER BY time")] == [1, 2]
