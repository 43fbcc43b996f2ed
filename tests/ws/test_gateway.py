import json
import socket
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Any

import orjson
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.http11 import Response
from websockets.sync.client import ClientConnection, connect

from sensorflow.reading import frame
from tests.broker import Broker
from tests.http_api.processes import KEY, KEY_WS, Api, StandIn, StatusReader
from tests.http_api.requests import assert_problem
from tests.waiting import until

NOW_US = 1_755_354_645_123_456


def listen(api: Api, key: str = KEY_WS) -> ClientConnection:
    return connect(f"{api.ws_url}?api-key={key.replace(' ', '%20')}")


def refusal(api: Api, query: str = "", headers: dict[str, str] | None = None) -> Response:
    with pytest.raises(InvalidStatus) as refused, connect(api.ws_url + query, additional_headers=headers):
        pass
    return refused.value.response


def test_a_reading_arrives_as_existing_clients_expect_it(api: Api, bridge: StandIn) -> None:
    with listen(api) as client:
        bridge.announce(
            (
                "temperature_reading",
                "sensor_001",
                NOW_US,
                {"temperature": 25.5, "humidity": 60.2, "pressure": 1012.5},
            )
        )

        message = client.recv(timeout=5)

    assert isinstance(message, str)
    assert list(json.loads(message).items())[:5] == [
        ("temperature", 25.5),
        ("humidity", 60.2),
        ("pressure", 1012.5),
        ("sensor_id", "sensor_001"),
        ("timestamp", "2025-08-16T14:30:45.123Z"),
    ]


def test_each_line_is_one_frame_exactly_as_it_came(api: Api, bridge: StandIn) -> None:
    lines = [frame("vat", "v", NOW_US + n, {"level": float(n), "is_open": True, "note": "é" * n}) for n in range(150)]

    with listen(api) as client:
        bridge.publish("live", b"\n".join(lines))
        received = [client.recv(timeout=5) for _ in lines]

    assert [str(message).encode() for message in received] == lines


@pytest.mark.parametrize(
    "headers", [{"X-API-Key": KEY_WS}, {"Authorization": f"Bearer {KEY_WS}"}], ids=lambda headers: next(iter(headers))
)
def test_the_key_may_come_in_a_header(api: Api, bridge: StandIn, headers: dict[str, str]) -> None:
    with connect(api.ws_url, additional_headers=headers) as client:
        bridge.announce(("vat", "v", NOW_US, {"level": 1.0, "is_open": True}))

        assert client.recv(timeout=5)


@pytest.mark.parametrize(
    ("query", "headers"),
    [
        ("", None),
        ("?api-key=", None),
        ("?api-key=" + "wrong" * 5, None),
        ("?api-key=%ff%00", None),
    ],
)
def test_without_the_key_the_handshake_is_401(api: Api, query: str, headers: dict[str, str] | None) -> None:
    response = refusal(api, query, headers)

    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"].startswith("Bearer")
    assert response.headers["Content-Type"] == "application/problem+json"
    assert orjson.loads(response.body or b"")["status"] == 401


@pytest.mark.parametrize(
    ("query", "headers"), [("?api-key=" + KEY.replace(" ", "%20"), None), ("", {"X-API-Key": KEY})]
)
def test_with_the_key_of_boards_the_handshake_is_403(api: Api, query: str, headers: dict[str, str] | None) -> None:
    response = refusal(api, query, headers)

    assert response.status_code == 403
    assert orjson.loads(response.body or b"")["detail"] == "the key 'API_KEY' lacks the scope live; it has read, write"


def test_one_connection_too_many_is_429_until_another_ends(
    start_bridge: Callable[[], StandIn], start_api: Callable[..., Api]
) -> None:
    start_bridge()
    api = start_api(MAX_WS_CONNECTIONS_PER_KEY=3)
    api.wait_until(bridge="active")
    with ExitStack() as stack:
        clients = [stack.enter_context(listen(api)) for _ in range(3)]

        response = refusal(api, f"?api-key={KEY_WS.replace(' ', '%20')}")

        assert response.status_code == 429
        assert response.headers["Retry-After"]
        assert orjson.loads(response.body or b"")["detail"] == "3 connections with this key, at most 3"
        clients[0].close()
        until(lambda: can_listen(api))


def test_a_refusal_is_no_line_in_the_log(start_bridge: Callable[[], StandIn], start_api: Callable[..., Api]) -> None:
    start_bridge()
    api = start_api(MAX_WS_CONNECTIONS_PER_KEY=1)
    api.wait_until(bridge="active")
    before = api.log.read_text()

    with listen(api):
        assert refusal(api).status_code == 401
        assert refusal(api, f"?api-key={KEY_WS.replace(' ', '%20')}").status_code == 429
    api.stop()

    assert [line.split()[2:] for line in api.log.read_text().removeprefix(before).splitlines()] == [
        ["INFO", "http_api", "stopped"]
    ]


def can_listen(api: Api) -> bool:
    try:
        with listen(api):
            pass
    except InvalidStatus:
        return False
    return True


def test_what_a_client_says_is_read_and_ignored(api: Api, bridge: StandIn) -> None:
    with listen(api) as client:
        for size in (0, 10, 60_000):
            client.send("x" * size)
            client.send(b"x" * size)
        bridge.announce(("vat", "v", NOW_US, {"level": 1.0, "is_open": True}))

        assert client.recv(timeout=5)


def test_a_message_that_is_too_large_ends_the_connection(api: Api) -> None:
    with listen(api) as client:
        client.send("x" * 65_537)

        with pytest.raises(ConnectionClosed) as closed:
            client.recv(timeout=5)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1009


def test_a_plain_get_is_no_way_in(api: Api) -> None:
    response = api.client.get("/ws/sensor_updates")

    assert_problem(response, 426, "this is a WebSocket")
    assert response.headers["upgrade"] == "websocket"


def test_the_key_is_never_logged(start_bridge: Callable[[], StandIn], start_api: Callable[..., Api]) -> None:
    start_bridge()
    api = start_api(LOG_LEVEL="DEBUG", API_KEY_WS="browsers-enter-by-this-one")
    api.wait_until(bridge="active")

    with listen(api, "browsers-enter-by-this-one"):
        pass
    refusal(api, "?api-key=browsers-enter-by-this-onf")
    api.post("vat", {"sensor_id": "a"})
    api.stop()

    log = api.log.read_text()
    assert "browsers" not in log
    assert KEY not in log


def test_clients_are_told_when_the_server_ends(
    start_bridge: Callable[[], StandIn], start_api: Callable[..., Api]
) -> None:
    start_bridge()
    api = start_api()
    api.wait_until(bridge="active")
    with listen(api) as client:
        started = time.monotonic()
        assert api.stop() == 0

        assert time.monotonic() - started < 8
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(timeout=1)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code in (1001, 1012)


class Deaf:
    """A client that shakes hands and then never reads."""

    def __init__(self, api: Api) -> None:
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.connect(("127.0.0.1", api.port))
        self.socket.sendall(
            b"GET /ws/sensor_updates?api-key=%b HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            % KEY_WS.replace(" ", "%20").encode()
        )
        assert self.socket.recv(12) == b"HTTP/1.1 101"
        self.port = self.socket.getsockname()[1]


def has_nearly(received: list[Any], batches: int) -> bool:
    """Whether a client is less than 20 batches behind: a healthy one, however slow this machine is."""
    return len(received) > 100 * (batches - 20)


def test_a_client_that_does_not_read_is_dropped_while_another_gets_all(
    broker: Broker, start_bridge: Callable[[], StandIn], start_api: Callable[..., Api]
) -> None:
    bridge = start_bridge()
    api = start_api()
    api.wait_until(bridge="active")
    status = StatusReader(broker)
    note = "x" * 200
    batches = [
        b"\n".join(
            frame("vat", "v", NOW_US + batch * 100 + n, {"level": 1.0, "is_open": True, "note": note})
            for n in range(100)
        )
        for batch in range(300)
    ]
    received: list[Any] = []
    deaf = Deaf(api)

    with listen(api) as healthy:
        reader = threading.Thread(target=lambda: received.extend(healthy.recv(timeout=10) for _ in range(30_000)))
        reader.start()
        for number, batch in enumerate(batches):
            bridge.publish("live", batch)
            until(partial(has_nearly, received, number), 10)
        reader.join(20)

    assert [json.loads(message)["id"] for message in received] == [NOW_US + n for n in range(30_000)]
    until(lambda: "dropped a client that fell behind: 127.0.0.1" in api.log.read_text(), 15)
    until(lambda: not api.is_connected_to(deaf.port), 10)
    until(lambda: all_are_accounted_for(status.counters), 10)
    assert status.counters["ws_dropped_clients"] == 1
    status.leave()
    deaf.socket.close()


def all_are_accounted_for(counters: dict[str, int]) -> bool:
    return counters.get("ws_clients") == 0 and counters["ws_offered"] == counters["ws_sent"] + counters["ws_dropped"]
