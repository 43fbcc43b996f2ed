import json
from collections.abc import Callable
from urllib.parse import quote

import httpx
import pytest
import websockets.sync.client

from tests.http_api.processes import KEY, KEY_WS, TOKEN, Api, StandIn
from tests.http_api.requests import READING
from tests.waiting import until


def test_line_of_a_request_has_its_id(start_api: Callable[..., Api]) -> None:
    api = start_api(LOG_FORMAT="json")
    api.wait_until(mqtt="connected")

    response = api.post("temperature_reading", READING)  # there is no bridge, which is worth a line

    assert response.status_code == 503
    events = [json.loads(line) for line in api.log.read_text().splitlines()]
    (event,) = [each for each in events if each["level"] == "WARNING" and "request_id" in each]
    assert event["request_id"] == response.headers["x-request-id"]
    assert "0x10" in event["message"]
    assert all({"time", "level", "service", "message"} <= each.keys() for each in events)


@pytest.mark.parametrize("style", ["text", "json"])
def test_no_line_holds_a_key_a_password_or_a_reading(
    start_api: Callable[..., Api], start_bridge: Callable[[], StandIn], style: str
) -> None:
    bridge = start_bridge()
    api = start_api(LOG_LEVEL="DEBUG", LOG_FORMAT=style)
    api.wait_until(bridge="active")
    with websockets.sync.client.connect(f"{api.ws_url}?api-key={quote(KEY_WS)}"):
        assert api.post("temperature_reading", READING | {"temperature": 12.34567}).status_code == 201
        api.post("temperature_reading", {"temperature": "Rosebud"})
        httpx.get(f"{api.url}/api/v1/history", params={"api-key": KEY_WS})
        httpx.get(f"{api.url}/metrics", headers={"Authorization": "Bearer Rosebud"})
    bridge.say("gone")
    until(lambda: api.client.get("/api/v1/health").json()["services"]["bridge"] == "inactive")
    api.stop()

    said = api.log.read_text()

    assert "listening" in said
    for secret in (KEY, KEY_WS, quote(KEY_WS), TOKEN, api.mqtt_password, "Rosebud", "12.34567"):
        assert secret not in said
