"""What every answer carries."""

import re
import socket
import time
from collections.abc import Callable

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.http_api.processes import KEY, KEY_WS, Api
from tests.http_api.requests import READING

ORIGIN = "https://dashboard.example"


def ask(api: Api, path: str = "/api/v1/ping", **headers: str) -> httpx.Response:
    return httpx.get(f"{api.url}{path}", headers={name.replace("_", "-"): value for name, value in headers.items()})


@pytest.mark.parametrize(
    ("path", "status"),
    [("/api/v1/ping", 200), ("/nothing", 404), ("/api/v1/sensor/a/latest", 401), ("/api/v1/vat", 405)],
)
def test_every_answer_tells_browsers_what_not_to_do(api: Api, path: str, status: int) -> None:
    answer = ask(api, path)

    assert answer.status_code == status
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert "Strict-Transport-Security" not in answer.headers
    assert not any(name.startswith("access-control") for name in answer.headers)


def test_a_page_keeps_its_own_policy(api: Api) -> None:
    policies = ask(api, "/docs").headers.get_list("Content-Security-Policy")

    assert len(policies) == 1


def test_what_only_a_key_may_see_is_kept_by_nobody(api: Api) -> None:
    by_key = api.post("temperature_reading", READING)

    assert by_key.headers["Cache-Control"] == "no-store"
    assert ask(api, "/api/v1/sensor/a/latest").headers["Cache-Control"] == "no-store"
    assert "Cache-Control" not in ask(api).headers


@pytest.mark.parametrize("name", ["a", "board-7.2026_11", "x" * 64])
def test_a_good_request_id_comes_back(api: Api, name: str) -> None:
    assert ask(api, X_Request_Id=name).headers["X-Request-Id"] == name


@pytest.mark.parametrize("name", ["", "x" * 65, "a b", "a;b", "ä", "<b>", '"', "a\tb"])
def test_a_bad_request_id_is_replaced(api: Api, name: str) -> None:
    answer = httpx.get(f"{api.url}/api/v1/ping", headers=[(b"X-Request-Id", name.encode())])

    assert re.fullmatch(r"[0-9a-f]{8}-\d+", answer.headers["X-Request-Id"])


def test_no_two_requests_have_the_same_id(api: Api) -> None:
    assert len({ask(api).headers["X-Request-Id"] for _ in range(20)}) == 20


def test_the_websockets_answers_carry_it_too(api: Api) -> None:
    key = KEY_WS.replace(" ", "%20")
    with connect(f"{api.ws_url}?api-key={key}", additional_headers={"X-Request-Id": "w-1"}) as client:
        assert client.response is not None
        accepted = client.response.headers
    with pytest.raises(InvalidStatus) as refusal, connect(api.ws_url, additional_headers={"X-Request-Id": "w-2"}):
        pass

    assert accepted["X-Request-Id"] == "w-1"
    refused = refusal.value.response.headers
    assert (refused["X-Request-Id"], refused["X-Content-Type-Options"]) == ("w-2", "nosniff")
    assert abs(int(refused["X-Server-Time-Us"]) / 1e6 - time.time()) < 60


def test_what_never_reaches_the_application_is_answered_with_it_too(api: Api) -> None:
    with socket.create_connection(("127.0.0.1", api.port), timeout=5) as connection:
        connection.sendall(b"NONSENSE\r\n\r\n")
        answer = connection.recv(10_000).lower()

    assert b"400" in answer.partition(b"\r\n")[0]
    assert re.search(rb"\r\nx-request-id: [0-9a-f]{8}-\d+\r\n", answer)
    assert b"\r\nx-content-type-options: nosniff\r\n" in answer


def test_only_pages_of_the_list_may_use_the_api(start_api: Callable[..., Api]) -> None:
    api = start_api(CORS_ORIGINS=f"{ORIGIN}, http://localhost:5173")
    api.wait_until(mqtt="connected")
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-api-key, content-type"}

    def preflight(origin: str) -> httpx.Response:
        return httpx.options(f"{api.url}/api/v1/vat", headers={"Origin": origin} | asked)

    good, bad = preflight(ORIGIN), preflight("https://evil.example")
    answer, refusal = ask(api, Origin=ORIGIN, X_API_Key=KEY), ask(api, "/api/v1/sensor/a/latest", Origin=ORIGIN)

    assert (good.status_code, good.headers["Access-Control-Allow-Origin"]) == (200, ORIGIN)
    assert "X-API-Key" in good.headers["Access-Control-Allow-Headers"]
    assert bad.status_code == 400
    assert "Access-Control-Allow-Origin" not in bad.headers
    assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert "Access-Control-Allow-Credentials" not in answer.headers
    assert "X-Request-Id" in answer.headers["Access-Control-Expose-Headers"]
    assert (refusal.status_code, refusal.headers["Access-Control-Allow-Origin"]) == (401, ORIGIN)
    assert "Access-Control-Allow-Origin" not in ask(api, Origin="https://evil.example").headers
