"""Whom a reading is from, when proxies say it: never whom the client says, unless it is one of our proxies."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from http_api.proxies import Proxies
from tests.http_api.processes import KEY, Api, StandIn
from tests.http_api.requests import READING

TRUSTED = ["10.0.0.0/8", "192.0.2.1", "2001:db8::/32"]


async def seen(peer: str, *headers: tuple[str, str], kind: str = "http") -> tuple[str, str]:
    """The client and the scheme that the application sees."""
    found: dict[str, Any] = {}

    async def app(scope: Any, _: Any, __: Any) -> None:
        found.update(scope)

    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    scheme = "http" if kind == "http" else "ws"
    scope = {"type": kind, "client": (peer, 1234), "headers": raw, "scheme": scheme}
    await Proxies(app, TRUSTED)(scope, None, None)  # type: ignore[arg-type] # nobody receives or sends
    return found["client"][0], found["scheme"]


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("10.1.2.3", "203.0.113.9", "203.0.113.9"),
        ("::ffff:10.1.2.3", "203.0.113.9", "203.0.113.9"),
        ("192.0.2.1", "203.0.113.9:5123", "203.0.113.9"),
        ("10.1.2.3", "[2001:bad::7]:80", "2001:bad::7"),
        ("10.1.2.3", "2001:bad::7", "2001:bad::7"),
        ("10.1.2.3", "::ffff:203.0.113.9", "203.0.113.9"),
        # What the client itself sent stands on the left.
        ("10.1.2.3", "1.1.1.1, 203.0.113.9", "203.0.113.9"),
        ("10.1.2.3", "1.1.1.1, 203.0.113.9, 10.9.9.9, 2001:db8::5", "203.0.113.9"),
        ("10.1.2.3", "10.4.4.4, 203.0.113.9", "203.0.113.9"),
        ("10.1.2.3", "10.4.4.4, 10.5.5.5", "10.4.4.4"),
        # What is no address ends it at the last proxy that is known.
        ("10.1.2.3", "unknown", "10.1.2.3"),
        ("10.1.2.3", "1.1.1.1, <script>, 10.5.5.5", "10.5.5.5"),
        ("10.1.2.3", "1.1.1.1,", "10.1.2.3"),
        ("10.1.2.3", "fe80::1%eth0", "10.1.2.3"),
        ("10.1.2.3", "", "10.1.2.3"),
        # Who is no proxy of ours says nothing of others.
        ("203.0.113.5", "1.1.1.1", "203.0.113.5"),
        ("192.0.2.2", "1.1.1.1", "192.0.2.2"),
        ("11.0.0.1", "10.1.2.3, 10.1.2.3", "11.0.0.1"),
    ],
)
async def test_the_client_is_the_first_from_the_right_that_is_no_proxy(peer: str, forwarded: str, client: str) -> None:
    assert (await seen(peer, ("x-forwarded-for", forwarded)))[0] == client


async def test_a_header_that_comes_twice_is_one_list() -> None:
    headers = [("x-forwarded-for", "1.1.1.1"), ("x-forwarded-for", "203.0.113.9")]

    assert (await seen("10.1.2.3", *headers))[0] == "203.0.113.9"


@pytest.mark.parametrize(
    ("peer", "said", "kind", "scheme"),
    [
        ("10.1.2.3", "https", "http", "https"),
        ("10.1.2.3", "http, HTTPS ", "http", "https"),
        ("10.1.2.3", "https", "websocket", "wss"),
        ("10.1.2.3", "javascript", "http", "http"),
        ("203.0.113.5", "https", "http", "http"),
    ],
)
async def test_the_scheme_is_the_trusted_proxys_word(peer: str, said: str, kind: str, scheme: str) -> None:
    assert (await seen(peer, ("x-forwarded-proto", said), kind=kind))[1] == scheme


@pytest.mark.parametrize(
    ("trusted", "client_ip"), [("127.0.0.1", "203.0.113.9"), ("10.0.0.0/8", "127.0.0.1"), ("", "127.0.0.1")]
)
def test_a_readings_client_ip_is_the_clients_behind_a_trusted_proxy_alone(
    start_bridge: Callable[[], StandIn], start_api: Callable[..., Api], trusted: str, client_ip: str
) -> None:
    start_bridge()
    api = start_api(TRUSTED_PROXIES=trusted)
    api.wait_until(bridge="active")
    headers = {"X-API-Key": KEY, "X-Forwarded-For": "198.51.100.66, 203.0.113.9", "X-Forwarded-Proto": "https"}

    answer = httpx.post(f"{api.url}/api/v1/temperature_reading", json=READING, headers=headers)

    assert (answer.status_code, answer.json()["client_ip"]) == (201, client_ip)
    assert ("Strict-Transport-Security" in answer.headers) == (trusted == "127.0.0.1")
