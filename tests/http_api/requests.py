"""What the tests send, and what they expect of every refusal."""

from typing import Any

import httpx

from tests.http_api.processes import Api

READING = {"temperature": 25.5, "humidity": 60.2, "pressure": 1012.5, "sensor_id": "sensor_001"}


def assert_problem(response: httpx.Response, status: int, *words: str) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = response.json()
    assert problem["status"] == status
    assert problem["title"]
    assert problem["type"] == "about:blank"
    for word in words:
        assert word in problem["detail"]
    return problem


def latest(api: Api, sensor_id: str, kind: str | None = None) -> httpx.Response:
    return api.client.get(f"/api/v1/sensor/{sensor_id}/latest", params={"kind": kind} if kind else {})


HOSTILE_IDS = [
    "", " ", "a b", " a", "a ", "a/b", "/", "a+", "+", "#", "a#b", "\x00", "a\x00", "a\n", "\na", "a\r\nb", "'", '"',
    "a'b", 'a"b', "a\\b", "a,b", "a=b", "-a", ".a", "_a", "a" * 65, "ä", "😀", "\u202ea", "a;DROP TABLE x", "$SYS",
    "a%", "..", "../x", "\u2028", "\x7f", "\x1b[31m",
]  # fmt: skip
