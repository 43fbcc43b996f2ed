"""What boards really send, byte for byte, and what they get. The same table is in docs/boards.md."""

import json
import re
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

import pytest

from tests.http_api.processes import KEY, Api, StandIn, silence
from tests.http_api.requests import READING

BOARDS = Path(__file__).parents[2] / "docs" / "boards.md"

BODY = json.dumps(READING).encode()
LINE = b"POST /api/v1/temperature_reading HTTP/1.1\r\n"
HOST = b"Host: 192.168.0.10\r\n"
WITH_KEY = b"X-API-Key: %b\r\n" % KEY.encode()
TYPE = b"Content-Type: application/json\r\n"
PLAIN = b"Accept: text/plain\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
CLOSE = b"Connection: close\r\n"


def length(body: bytes = BODY, extra: int = 0) -> bytes:
    return b"Content-Length: %d\r\n" % (len(body) + extra)


def post(*headers: bytes, line: bytes = LINE, body: bytes = BODY) -> bytes:
    """With these headers, and the key and the length before them."""
    return line + HOST + WITH_KEY + length(body) + b"".join(headers) + b"\r\n" + body


def cut(request: bytes, size: int) -> list[bytes]:
    return [request[start : start + size] for start in range(0, len(request), size)]


GOOD = post(TYPE, CLOSE)
HEAD, _, _ = GOOD.partition(b"\r\n\r\n")


@dataclass(frozen=True)
class Case:
    """One conversation.

    Args:
        packets: What is written, each by itself.
        answers: The first line of each answer, in order.
        pause_s: Between two packets.
    """

    packets: Sequence[bytes]
    answers: str
    pause_s: float = 0


CASES = {
    # How it is written to the socket.
    "all in one packet": Case([GOOD], "201"),
    "byte by byte": Case(cut(GOOD, 1), "201"),
    "one byte each 20 ms": Case(cut(post(CLOSE), 1), "201", pause_s=0.02),
    "a line at a time, as `client.println` does": Case(re.split(rb"(?<=\n)", GOOD), "201"),
    "the body after the head, 0.2 s later": Case([HEAD + b"\r\n\r\n", BODY], "201", pause_s=0.2),
    # The head.
    "HTTP/1.0 without `Host`": Case(
        [b"POST /api/v1/temperature_reading HTTP/1.0\r\n" + WITH_KEY + length() + b"\r\n" + BODY], "201"
    ),
    "HTTP/1.0 with `Connection: keep-alive`, which it does not get": Case(
        [post(b"Connection: keep-alive\r\n", line=LINE.replace(b"1.1", b"1.0"))], "201"
    ),
    "HTTP/1.1 without `Host`": Case([LINE + WITH_KEY + length() + CLOSE + b"\r\n" + BODY], "201"),
    "header names in lower case": Case(
        [LINE + (HOST + WITH_KEY + length() + CLOSE).lower() + b"\r\n" + BODY],
        "201",
    ),
    "no `Content-Type`": Case([post(CLOSE)], "201"),
    "an empty `Content-Type`": Case([post(b"Content-Type:\r\n", CLOSE)], "201"),
    "`Content-Type: application/x-www-form-urlencoded` and JSON": Case(
        [post(b"Content-Type: application/x-www-form-urlencoded\r\n", CLOSE)], "201"
    ),
    "`Content-Type: text/plain` and JSON": Case([post(b"Content-Type: text/plain\r\n", CLOSE)], "201"),
    "spaces and tabs after the values of headers": Case(
        [LINE + (HOST + WITH_KEY + length() + CLOSE).replace(b"\r", b" \t" + b" " * 9 + b"\r") + b"\r\n" + BODY],
        "201",
    ),
    "no space after the colons": Case([HEAD.replace(b": ", b":") + b"\r\n\r\n" + BODY], "201"),
    "two spaces in the first line": Case([GOOD.replace(b"POST ", b"POST  ", 1)], "201"),
    "lines that end in `\\n` alone": Case([GOOD.replace(b"\r\n", b"\n")], "201"),
    "lines that end in `\\r\\n`, the empty one in `\\n`": Case([HEAD + b"\r\n\n" + BODY], "201"),
    "the whole URL in the first line": Case([GOOD.replace(b"/api", b"http://192.168.0.10:8000/api", 1)], "201"),
    "`Authorization: Bearer` in place of `X-API-Key`": Case(
        [GOOD.replace(b"X-API-Key: ", b"Authorization: Bearer ")], "201"
    ),
    "`Expect: 100-continue`": Case([post(b"Expect: 100-continue\r\n", CLOSE)], "100, 201"),
    "a body in chunks": Case(
        [LINE + WITH_KEY + CHUNKED + CLOSE + b"\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)],
        "201",
    ),
    # The body's end.
    "`\\n` behind the body, counted": Case([post(CLOSE, body=BODY + b"\n")], "201"),
    "`\\n` behind the body, not counted": Case([GOOD + b"\n"], "201"),
    "`\\r\\n` and spaces behind the body, counted": Case([post(CLOSE, body=BODY + b"  \r\n")], "201"),
    "`\\r\\n` between two requests": Case([post() + b"\r\n\r\n" + GOOD], "201, 201"),
    "the NUL that ends a C string, not counted": Case([GOOD + b"\0"], "201"),
    # A connection that is kept.
    "three readings, one after the other": Case([post(), post(), GOOD], "201, 201, 201", 0.3),
    "three readings at once": Case([post() + post() + GOOD], "201, 201, 201"),
    "a bad reading and then a good one": Case(
        [post(body=BODY.replace(b"60.2", b"160.2")), GOOD], "422, 201", 0.3
    ),
    # `Accept: text/plain`.
    "`Accept: text/plain`": Case([post(PLAIN, CLOSE)], "201"),
    # What is wrong.
    "`nan`, which C prints for a sensor that is silent": Case([post(CLOSE, body=BODY.replace(b"25.5", b"nan"))], "422"),
    "the NUL that ends a C string, counted": Case([post(CLOSE, body=BODY + b"\0")], "422"),
    "a number in quotes": Case([post(CLOSE, body=BODY.replace(b"25.5", b'"25.5"'))], "422"),
    "a comma in a number": Case([post(CLOSE, body=BODY.replace(b"25.5", b"25,5"))], "422"),
    "`/` at the end of the path": Case([GOOD.replace(b"_reading", b"_reading/")], "404"),
    "no key": Case([LINE + HOST + length() + CLOSE + b"\r\n" + BODY], "401"),
    "a path that is not there": Case([GOOD.replace(b"temperature_reading", b"temperature")], "404"),
    "`GET` in place of `POST`": Case([GOOD.replace(b"POST", b"GET")], "405"),
    "no `Content-Length`": Case([LINE + HOST + WITH_KEY + CLOSE + b"\r\n" + BODY], "411"),
    "`Content-Length` one too small": Case(
        [LINE + HOST + WITH_KEY + length(extra=-1) + CLOSE + b"\r\n" + BODY], "422"
    ),
    "`Content-Length` one too large": Case(
        [LINE + HOST + WITH_KEY + length(extra=1) + b"\r\n" + BODY],
        f"408 no complete request within 8 s: {len(BODY)} of {len(BODY) + 1} bytes of the body came",
    ),
    "`Content-Length` that is no number": Case(
        [LINE + b"Content-Length: %d\r\n\r\n" + BODY], "400 Content-Length must be a whole number"
    ),
    "`Content-Length` twice": Case([post(length())], "400 Content-Length stands there twice"),
    "a space before a colon": Case(
        [LINE + b"Content-Length : 9\r\n\r\n" + BODY],
        "400 a header must be a name, a colon at once after it, and a value",
    ),
    "a header without a colon": Case(
        [LINE + b"Host\r\n\r\n"], "400 a header must be a name, a colon at once after it, and a value"
    ),
    "NUL at the end of a header": Case(
        [LINE + b"Host: a\0\r\n\r\n"],
        "400 a header's value has a character that is not allowed there, such as NUL",
    ),
    "a space in the path": Case(
        [GOOD.replace(b"temperature_reading", b"temperature reading")],
        "400 the first line must be a method, a path without spaces and HTTP/1.1",
    ),
    "`post` in lower case, or the body alone": Case(
        [GOOD.replace(b"POST", b"post")],
        "400 a method in capitals must come first; or the body before is longer than its length",
    ),
    "HTTP/1.2": Case([GOOD.replace(b"HTTP/1.1", b"HTTP/1.2")], "400 the version must be HTTP/1.1 or HTTP/1.0"),
    "TLS": Case([b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"], "400 this is TLS, and here is plain HTTP"),
    "a body of 70,000 bytes": Case([post(body=b" " * 70_000)], "413 body of 70000 bytes, at most 65536"),
}  # fmt: skip


def talk(api: Api, case: Case) -> bytes:
    """All that comes back, to the end of the connection."""
    with socket.create_connection(("127.0.0.1", api.port), 15) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for packet in case.packets:
            connection.sendall(packet)
            time.sleep(case.pause_s)  # a board is slow
        received = b""
        while data := connection.recv(65_536):
            received += data
    return received


def first_lines(received: bytes) -> str:
    """The status alone, where the server says no more than what every such status is called."""
    lines = [line.decode() for line in re.findall(rb"HTTP/1\.1 (\d\d\d .*)\r\n", received)]
    return ", ".join(line[:3] if line[4:] == HTTPStatus(int(line[:3])).phrase else line for line in lines)


def body(received: bytes) -> bytes:
    return received.rpartition(b"\r\n\r\n")[2]


@pytest.mark.parametrize("name", CASES)
def test_a_board_gets_the_documented_answer(api: Api, bridge: StandIn, name: str) -> None:
    case = CASES[name]

    received = talk(api, case)

    assert first_lines(received) == case.answers
    assert len(bridge.received) == case.answers.count("201")
    final = re.findall(rb"HTTP/1\.1 (?!100)\d\d\d ", received)
    assert len(re.findall(rb"^x-server-time-us: \d{16}\r$", received, re.MULTILINE)) == len(final)


def test_the_documented_table_is_this_one() -> None:
    rows = re.findall(r"^\| (.+?) \| `?(\d\d\d[^|`]*)`? \|$", BOARDS.read_text(), re.MULTILINE)

    assert dict(rows) == {name: case.answers for name, case in CASES.items()}


def test_the_documented_request_works(api: Api, bridge: StandIn) -> None:
    request = re.findall(r"^```\n(POST .*?)\n```", BOARDS.read_text(), re.MULTILINE | re.DOTALL)[0]
    head, _, documented_body = request.replace("the key", KEY).partition("\n\n")

    received = talk(
        api, Case([head.replace("\n", "\r\n").encode() + b"\r\n" + CLOSE + b"\r\n" + documented_body.encode()], "")
    )

    assert first_lines(received) == "201"
    assert len(bridge.received[0][1]) == len(documented_body)


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (post(PLAIN, CLOSE), rb"201 \d{16}\n"),
        (post(PLAIN, CLOSE, body=BODY.replace(b"60.2", b"160.2")), rb"422 humidity: at most 100, got 160.2\n"),
        (post(PLAIN, CLOSE, body=BODY[:-1]), rb"422 Invalid JSON: EOF while parsing an object at line 1 column\n"),
        (post(PLAIN, CLOSE, body=b"{}"), rb"422 temperature: Field required; humidity: Field required; pre\n"),
        (post(PLAIN, CLOSE, body=b""), rb"422 the body is empty\n"),
        (LINE + PLAIN + CLOSE + length() + b"\r\n" + BODY, rb"401 no key, or a wrong one; send it as the header .*\n"),
        (post(PLAIN, CLOSE).replace(b"_reading", b"s"), rb"404 nothing at '/api/v1/temperatures'; readings go to .*\n"),
        (post(PLAIN, length()), rb"400 Content-Length stands there twice\n"),
    ],
)  # fmt: skip
def test_plain_text_is_one_line_for_a_buffer_of_64_bytes(api: Api, sent: bytes, expected: bytes) -> None:
    received = talk(api, Case([sent], ""))

    assert re.fullmatch(expected, body(received)), received
    assert len(body(received)) < 64
    assert b"content-type: text/plain" in received


def test_plain_text_says_that_a_reading_is_only_in_the_broker(api: Api, bridge: StandIn) -> None:
    bridge.outcome = silence

    received = talk(api, Case([post(PLAIN, CLOSE)], ""))

    assert re.fullmatch(rb"202 \d{16}\n", body(received))


def test_what_cannot_be_read_is_told_in_json_too(api: Api) -> None:
    received = talk(api, Case([b"hello\r\n\r\n"], ""))

    assert first_lines(received).removeprefix("400 ") == json.loads(body(received))["detail"]


def test_a_board_can_set_its_clock_by_every_answer(api: Api) -> None:
    before_us = time.time_ns() // 1000

    answers = [api.client.get(path) for path in ("/api/v1/ping", "/nowhere", "/openapi.json")]

    after_us = time.time_ns() // 1000
    times = [int(answer.headers["X-Server-Time-Us"]) for answer in answers]
    assert times == sorted(times)
    assert before_us <= times[0] <= times[-1] <= after_us


@pytest.mark.parametrize(
    "head",
    [
        HEAD + b"\r\nX: a\rContent-Length: 5\r\n\r\n",
        LINE.replace(b"\r\n", b"\r") + HOST + WITH_KEY + length() + CLOSE + b"\r\n",
        HEAD + b"\r\n\r",
        HEAD + b"\n\r",
    ],
)
def test_a_bare_cr_ends_no_line(api: Api, bridge: StandIn, head: bytes) -> None:
    for packets in ([head + BODY], [head, BODY], cut(head + BODY, 1)):
        with suppress(ConnectionError):
            assert first_lines(talk(api, Case(packets, ""))).startswith("400 ")

    assert bridge.received == []


def test_chunks_must_end_as_they_should(api: Api) -> None:
    received = talk(api, Case([LINE + WITH_KEY + CHUNKED + b"\r\n%x\n%b\n0\n\n" % (len(BODY), BODY)], ""))

    assert first_lines(received).startswith("400 ")
