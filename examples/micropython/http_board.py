# SensorFlow over HTTP from MicroPython: mpremote mip install requests
#
# It measures every ten seconds. While the server is away the readings wait here, and go together when it is back. It
# needs no clock: the server's answers set it, and a reading keeps its time when it is sent again, so that it is never
# stored twice.
import json
import time

import requests

URL = "http://192.168.0.10:8000"
API_KEY = "put the key here"
SENSOR_ID = "pico"
EVERY_MS = 10_000
MAX_WAITING = 300  # the oldest go first
MAX_TOGETHER = 50  # in one request

HEADERS = {"X-API-Key": API_KEY, "Accept": "text/plain", "Content-Type": "application/x-ndjson"}
MAY_PASS = (401, 403, 408, 429)  # and all from 500 on

clock = None  # what the server said, in ms since 1970, and time.ticks_ms() at that moment


def measure():
    # Put your sensor here.
    return {"temperature": 21.5, "humidity": 45, "pressure": 1013}


def now_ms():
    said_ms, ticks = clock
    return said_ms + time.ticks_diff(time.ticks_ms(), ticks)


def ask(method, path, body=None):
    """The status and the body, and the clock is set; 0 where nobody answers."""
    global clock
    try:
        response = requests.request(method, URL + path, data=body, headers=HEADERS, timeout=10)
        text = response.text
    except OSError as error:
        return 0, str(error)
    for name, value in response.headers.items():
        if name.lower() == "x-server-time-us":
            clock = (int(value) // 1000, time.ticks_ms())
    return response.status_code, text


def send(readings):
    """Whether they need not be kept: the server has them, or will never take them."""
    status, text = ask("POST", "/api/v1/readings", "\n".join(json.dumps(reading) for reading in readings))
    if status not in (201, 202):
        print(status, text)
    return 0 < status < 500 and status not in MAY_PASS


def main():
    waiting = []
    while clock is None:
        if ask("GET", "/api/v1/ping")[0] != 200:
            time.sleep(1)
    while True:
        started = time.ticks_ms()
        waiting.append({"sensor_id": SENSOR_ID, "time": now_ms()} | measure())
        del waiting[:-MAX_WAITING]
        while waiting and send(waiting[:MAX_TOGETHER]):
            del waiting[:MAX_TOGETHER]
        time.sleep_ms(max(0, EVERY_MS - time.ticks_diff(time.ticks_ms(), started)))


main()

# MicroPython has other modules and no types; and this is short, for a board with little memory:
# mypy: ignore-errors
# ruff: noqa: ANN001, ANN201, PLW0603, T201 - as above
