import gzip
import json
import socket
import struct
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress

import pytest

from http_api.edge import MAX_BODY_BYTES, MAX_HEAD_BYTES, MAX_HEADERS, RECEIVE_TIMEOUT_S
from tests.http_api.processes import KEY, KEY_WS, Api, StandIn, silence
from tests.http_api.requests import READING, assert_problem
from tests.waiting import until

POST = f"POST /api/v1/temperature_reading HTTP/1.1\r\nHost: a\r\nX-API-Key: {KEY}\r\n".encode()
BODY = json.dumps(READING).encode()
GOOD = POST + b"Content-Length: %d\r\n\r\n%b" % (len(BODY), BODY)
PING = b"GET /api/v1/ping HTTP/1.1\r\nHost: a\r\n\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"


def connect(api: Api) -> socket.socket:
    return socket.create_connection(("127.0.0.1", api.port), 15)


def answers(connection: socket.socket) -> bytes:
    """All until the server closes."""
    received = b""
    with suppress(ConnectionError):
        while data := connection.recv(65_536):
            received += data
    return received


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def send(api: Api, request: bytes) -> bytes:
    """What comes back for a request that ends the connection."""
    with connect(api) as connection:
        with suppress(ConnectionError):
            connection.sendall(request)
        return answers(connection)


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),  # a TLS client
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"GET /\xff HTTP/1.1\r\n\r\n", 400),
        (b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n", 400),
        (POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (POST + b"Content-Length: -1\r\n\r\n", 400),
        (CHUNKED + b"zz\r\n", 400),
        (b"GET /" + b"a" * MAX_HEAD_BYTES + b" HTTP/1.1\r\n\r\n", 431),
        (b"GET /" + b"a" * 300_000, 431),
        (POST + b"X: " + b"a" * 300_000, 431),
        (POST + b"X: " + b"a" * 300_000 + b"\r\n\r\n", 431),
        (POST + b"X: a\r\n" * MAX_HEADERS + b"\r\n", 431),
        (POST + b"Content-Length: 65537\r\n\r\n", 413),
        (POST + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n", 400),
        (CHUNKED + b"fffff\r\n" + b" " * 70_000, 413),
        (CHUNKED + b"1;" + b"a" * 600_000, 431),
        (CHUNKED + b"1\r\n{\r\n0\r\nX: " + b"a" * 600_000, 431),
        (b"GET /api/v1/ping HTTP/1.1\r\nContent-Length: 70000\r\n\r\n", 413),
        (b"POST /nowhere HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n11000\r\n" + b"a" * 0x11000, 413),
    ],
)
def test_what_is_too_much_or_no_http_is_refused_and_closed_without_a_word_in_the_log(
    api: Api, bridge: StandIn, request_: bytes, expected: int
) -> None:
    before = api.log.read_text()

    answer = send(api, request_)

    head, _, body = answer.partition(b"\r\n\r\n")
    assert status(answer) == expected, answer
    assert b"connection: close" in head
    assert b"application/problem+json" in head
    assert json.loads(body)["status"] == expected
    assert bridge.received == []
    assert api.log.read_text() == before


def test_trailers_are_nobodys_business(api: Api) -> None:
    trailers = b"X-API-Key: another\r\n" * 200
    chunks = b"%x\r\n%b\r\n0\r\n%b\r\n" % (len(BODY), BODY, trailers)

    with connect(api) as connection:
        connection.sendall(CHUNKED + chunks + PING.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        answer = answers(connection)

    assert status(answer) == 201
    assert answer.count(b"HTTP/1.1 200") == 1


def test_a_packed_body_is_415(api: Api, bridge: StandIn) -> None:
    bomb = gzip.compress(b" " * 2**25)
    assert len(bomb) < MAX_BODY_BYTES

    response = api.post("temperature_reading", bomb, {"Content-Encoding": "gzip"})

    assert_problem(response, 415, "content encoding 'gzip', must be none")
    assert bridge.received == []


def test_after_an_early_refusal_the_connection_serves_on(api: Api) -> None:
    unknown = GOOD.replace(KEY.encode(), b"nobody knows me")
    head, body = unknown[: -len(BODY)], unknown[-len(BODY) :]
    last = GOOD.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    with connect(api) as connection:
        connection.sendall(head)
        refusal = connection.recv(10_000)
        assert status(refusal) == 401

        connection.sendall(body + last)

        assert (refusal + answers(connection)).count(b"HTTP/1.1 201") == 1


def test_a_good_request_before_a_bad_one_is_answered_and_nothing_is_said_after_it(api: Api, bridge: StandIn) -> None:
    bridge.outcome = silence  # so that the answer takes a moment

    answer = send(api, GOOD + b"\x00\x00\x00")

    assert answer.count(b"HTTP/1.1") == 1
    assert status(answer) == 202


def test_ten_requests_may_wait_in_one_connection_and_no_more(api: Api, bridge: StandIn) -> None:
    with connect(api) as connection:
        connection.sendall(GOOD * 3 + PING.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        answer = answers(connection)
    assert (answer.count(b"HTTP/1.1 201"), answer.count(b"HTTP/1.1 200")) == (3, 1)

    assert 1 <= send(api, GOOD * 5000).count(b"HTTP/1.1 201") <= 12


def test_a_client_that_hangs_up_before_all_its_answers_leaves_no_trace(api: Api) -> None:
    before = api.log.read_text()
    for _ in range(20):
        with connect(api) as connection:
            connection.sendall(GOOD * 3 + PING * 5)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset, at once

    assert api.post("temperature_reading", READING).status_code == 201
    assert api.log.read_text() == before


def test_a_client_that_asks_for_another_protocol_gets_this_one(api: Api) -> None:
    answer = send(api, PING.replace(b"\r\n\r\n", b"\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"))

    assert status(answer) == 200


@pytest.mark.parametrize(
    "line",
    [b"GET /ws/sensor_updates?\xff HTTP/1.1", b"GET /ws/sensor_updates?api-key=%ff%00 HTTP/1.1", b"POST /ws HTTP/1.1"],
)
def test_a_broken_handshake_of_a_websocket_leaves_no_trace(api: Api, line: bytes) -> None:
    before = api.log.read_text()
    upgrade = b"Host: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"

    for key in (b"dGhlIHNhbXBsZSBub25jZQ==", b"\xff", b"", b"dGhlIHNhbXBsZSBub25jZQ==\r\nX: " + b"a" * 9000):
        answer = send(api, line + b"\r\n" + upgrade + b"Sec-WebSocket-Key: " + key + b"\r\n\r\n")
        assert 400 <= status(answer) < 500, answer

    assert api.log.read_text() == before


def test_whoever_takes_too_long_is_closed_within_ten_seconds_and_told_why(api: Api) -> None:
    slow = {
        "nothing": b"",
        "a head without an end": PING[:-2],
        "a body without an end": GOOD[:-1],
        "a chunk without an end": CHUNKED + b"5\r\n{",
        "a body after its refusal": POST.replace(KEY.encode(), b"x") + b"Content-Length: 5\r\n\r\n{",
    }

    def last(begun: bytes) -> tuple[float, bytes]:
        with connect(api) as connection:
            started = time.monotonic()
            connection.sendall(begun)
            answer = answers(connection)
            return time.monotonic() - started, answer

    with ThreadPoolExecutor(len(slow)) as clients:
        closed = dict(zip(slow, clients.map(last, slow.values()), strict=True))

    for what, (seconds, answer) in closed.items():
        assert seconds < 10, what
        if what == "nothing":
            assert (answer, seconds > RECEIVE_TIMEOUT_S - 1) == (b"", True)
        elif what == "a body after its refusal":
            assert status(answer) == 401
        else:
            assert status(answer) == 408, (what, answer)
            assert seconds > RECEIVE_TIMEOUT_S - 1, what


def test_a_client_that_does_not_take_its_answers_is_closed(api: Api) -> None:
    with connect(api) as connection:
        for _ in range(100):
            try:
                connection.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: a\r\n\r\n" * 5)
            except ConnectionError:
                break
            api.client.get("/api/v1/ping")  # the server has taken the ones before

        until(lambda: not api.is_connected_to(connection.getsockname()[1]), 15)


def test_with_too_many_connections_the_longest_silent_goes_and_who_speaks_is_served(
    start_api: Callable[..., Api], start_bridge: Callable[[], StandIn]
) -> None:
    start_bridge()
    api = start_api(MAX_WS_CONNECTIONS_PER_KEY=1)
    api.wait_until(bridge="active")
    with ExitStack() as silent:
        connections = [silent.enter_context(connect(api)) for _ in range(1010)]

        first = connections[0].recv(10_000)
        responses = [api.post("temperature_reading", READING) for _ in range(20)]

    assert status(first) == 503
    assert b"retry-after" in first
    assert b"more than 1004 connections" in first
    assert [response.status_code for response in responses] == [201] * 20
    assert "more than 1004 connections: the longest silent are closed" in api.log.read_text()


def test_a_websocket_is_not_late(api: Api) -> None:
    from websockets.sync.client import connect as open_websocket

    with open_websocket(f"{api.ws_url}?api-key={KEY_WS.replace(' ', '+')}") as socket_:
        time.sleep(RECEIVE_TIMEOUT_S + 1)

        socket_.ping().wait(5)
