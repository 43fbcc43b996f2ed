"""Send readings over HTTP: ``API_KEY=… python send_http.py``. Needs ``pip install requests``."""

import os
import random
import time
import uuid
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.util.retry import Retry

URL = os.environ.get("SENSORFLOW_URL", "http://127.0.0.1:8000")
SENSOR_ID = "python_http"
READINGS = 5
EVERY_S = 0.2


def connect() -> requests.Session:
    """A session that tries again where nobody answers, or not now, and waits as long as Retry-After says."""
    retry = Retry(
        total=8,
        backoff_factor=0.5,
        backoff_jitter=0.5,
        status_forcelist=(408, 429, 503),
        allowed_methods=None,  # POST too: the Idempotency-Key makes it safe
        raise_on_status=False,
    )
    session = requests.Session()
    session.headers["X-API-Key"] = os.environ["API_KEY"]
    session.mount("http://", HTTPAdapter(max_retries=retry))
    session.mount("https://", HTTPAdapter(max_retries=retry))
    return session


def measure() -> dict[str, Any]:
    """Put your sensor here. With its own time a reading is the same one, however often it is sent."""
    return {
        "sensor_id": SENSOR_ID,
        "time": time.time_ns() // 1000,
        "temperature": round(random.uniform(20, 25), 2),
        "humidity": 45,
        "pressure": 1013,
    }


def send(session: requests.Session, readings: list[dict[str, Any]]) -> None:
    """Bring them to safety. 201: they are on the server's disk; 202: its broker has them."""
    answer = session.post(
        f"{URL}/api/v1/readings",
        json=readings,
        headers={"Idempotency-Key": str(uuid.uuid4())},  # the same in each try of this request
        timeout=10,
    )
    print(answer.status_code, answer.text)
    answer.raise_for_status()


def main() -> None:
    """Measure, and send all together."""
    readings = []
    for _ in range(READINGS):
        readings.append(measure())
        time.sleep(EVERY_S)
    send(connect(), readings)


if __name__ == "__main__":
    main()

# ruff: noqa: S311, T201 - a sensor that is played, and a program that talks to a person
