"""How often somebody may come: the counting by itself, and against the running API."""

import threading
from collections.abc import Callable

import httpx
import pytest

from http_api import limits
from http_api.limits import MAX_COUNTED, Limit, network_of
from tests.http_api.processes import KEY, Api
from tests.http_api.requests import assert_problem
from tests.http_api.test_keys import Ring, wait_for


def test_of_a_window_so_many_are_in_and_the_next_is_over() -> None:
    limit = Limit("key", "3/hour")

    standings = [limit.hit("a") for _ in range(4)]

    assert [(each.remaining, each.is_over) for each in standings] == [(2, False), (1, False), (0, False), (0, True)]
    assert all(3590 <= each.reset_s <= 3600 for each in standings)
    assert not limit.hit("b").is_over


def test_the_headers_are_those_of_the_draft() -> None:
    standings = [Limit("address", "100/minute").hit("a"), Limit("key", "5/second").hit("a")]

    assert limits.headers(standings) == [
        (b"ratelimit-policy", b'"address";q=100;w=60, "key";q=5;w=1'),
        (b"ratelimit", b'"address";r=99;t=60, "key";r=4;t=1'),
    ]
    assert limits.headers([]) == []


def test_strangers_cannot_fill_the_memory_and_start_no_threads() -> None:
    limit = Limit("address", "1/day")
    before = threading.active_count()

    for number in range(MAX_COUNTED + 10):
        limit.hit(str(number))

    assert len(limit._limiter.storage._counters) == MAX_COUNTED  # type: ignore[attr-defined] # our own storage
    assert limit.hit(str(MAX_COUNTED)).is_over
    assert not limit.hit("0").is_over
    assert threading.active_count() == before


@pytest.mark.parametrize(
    ("address", "who"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("", ""),
        ("unix", "unix"),
    ],
)
def test_a_house_is_one_address(address: str, who: str) -> None:
    assert network_of(address) == who


def ask(api: Api, key: str | None, path: str = "/api/v1/sensor/a/latest") -> httpx.Response:
    return httpx.get(f"{api.url}{path}", headers={"X-API-Key": key} if key else {}, timeout=15)


def test_a_key_may_come_so_often_and_another_goes_on(start_api: Callable[..., Api]) -> None:
    api = start_api(RATE_LIMIT_PER_KEY="3/hour")
    api.wait_until(mqtt="connected")
    other = Ring(api).add("screen", "read")

    answers = [ask(api, KEY) for _ in range(4)]

    assert [answer.status_code for answer in answers] == [503, 503, 503, 429]
    assert answers[0].headers["RateLimit-Policy"] == '"key";q=3;w=3600'
    assert answers[0].headers["RateLimit"].startswith('"key";r=2;t=3')
    assert_problem(answers[3], 429, "more than 3 per 1 hour with the key 'API_KEY'")
    assert 3500 <= int(answers[3].headers["Retry-After"]) <= 3602
    assert answers[3].headers["RateLimit"].startswith('"key";r=0;t=3')
    wait_for(503, lambda: ask(api, other))
    assert ask(api, KEY, "/api/v1/ping").status_code == 200


def test_an_address_may_come_so_often_whatever_it_asks(start_api: Callable[..., Api]) -> None:
    api = start_api(RATE_LIMIT_PER_ADDRESS="5/hour", TRUSTED_PROXIES="127.0.0.1")

    def of(client: str) -> httpx.Response:
        return httpx.get(f"{api.url}/api/v1/ping", headers={"X-Forwarded-For": client}, timeout=15)

    api.wait_until(websocket_manager="active")
    answers = [of("203.0.113.9") for _ in range(6)]

    assert [answer.status_code for answer in answers] == [200] * 5 + [429]
    assert answers[0].headers["RateLimit"].startswith('"address";r=4;')
    assert_problem(answers[5], 429, "more than 5 per 1 hour from this address")
    assert of("203.0.113.10").status_code == 200


def test_who_guesses_keys_is_told_less_and_less_and_good_keys_beside_him_go_on(start_api: Callable[..., Api]) -> None:
    api = start_api(RATE_LIMIT_FAILURES="4/hour")
    api.wait_until(mqtt="connected")
    answers = [ask(api, f"guess number {number}") for number in range(5)]
    assert [answer.status_code for answer in answers] == [401] * 4 + [429]
    assert_problem(answers[4], 429, "more than 4 per 1 hour from this address with no key or a wrong one")
    assert answers[4].headers["Retry-After"]
    assert ask(api, KEY).status_code == 503


def test_by_default_nobody_is_limited_but_who_fails(start_api: Callable[..., Api]) -> None:
    api = start_api(RATE_LIMIT_FAILURES="")
    api.wait_until(mqtt="connected")

    answers = {ask(api, KEY).status_code for _ in range(100)}
    failures = [ask(api, None).status_code for _ in range(61)]

    assert answers == {503}
    assert failures == [401] * 60 + [429]
    assert "RateLimit" not in ask(api, KEY).headers
