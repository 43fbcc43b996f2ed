import gzip
import json
import select
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import httpx
import pytest
from starlette.requests import Request

from http_api.batch_body import Room
from http_api.edge import MAX_BATCH_BYTES, MAX_BODY_BYTES, RECEIVE_TIMEOUT_S
from sensorflow.errors import TransientError
from tests.http_api.processes import KEY, Api, StandIn, silence, store
from tests.http_api.requests import READING, assert_problem, latest

READINGS = "/api/v1/readings"
LINES = "/api/v1/readings/line-protocol"
NDJSON = "application/x-ndjson"


def post(
    api: Api, body: object, path: str = READINGS, *, media_type: str = "application/json", **headers: str
) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return api.client.post(path, content=content, headers={"Content-Type": media_type} | named)


def reading(sensor_id: str = "a", **more: object) -> dict[str, object]:
    return READING | {"sensor_id": sensor_id} | more


def report(accepted: int, *errors: dict[str, object], pending: int = 0) -> dict[str, object]:
    return {
        "accepted": accepted,
        "rejected": len(errors),
        "durable": not pending,
        "pending": pending,
        "errors": list(errors),
    }


def arrays(bridge: StandIn) -> dict[str, list[Any]]:
    """What came, by topic."""
    found: dict[str, list[Any]] = {}
    for topic, payload, _ in bridge.received:
        found.setdefault(topic, []).extend(json.loads(payload))
    return found


# --- what goes in ----------------------------------------------------------------------------------------------------


def test_readings_of_any_sensors_and_kinds_go_in_one_message_a_kind_in_order(api: Api, bridge: StandIn) -> None:
    vat = {"sensor_id": "v", "level": 71, "is_open": True}
    batch = [reading("a"), vat | {"kind": "vat"}, reading("b"), reading("a", kind="temperature_reading")]

    response = post(api, batch)

    assert (response.status_code, response.json()) == (201, report(4))
    assert len(bridge.received) == 2
    assert arrays(bridge) == {
        "sensors/_/temperature_reading": [reading("a"), reading("b"), reading("a")],
        "sensors/_/vat": [vat],
    }


def test_one_object_is_a_batch_of_one(api: Api) -> None:
    response = post(api, reading())

    assert (response.status_code, response.json()) == (201, report(1))


def test_lines_of_ndjson_are_readings_and_blank_ones_are_not(api: Api, bridge: StandIn) -> None:
    lines = json.dumps(reading("a")) + "\r\n\n  \n" + json.dumps(reading("b"))

    response = post(api, lines.encode(), media_type=NDJSON)

    assert (response.status_code, response.json()) == (201, report(2))
    assert arrays(bridge) == {"sensors/_/temperature_reading": [reading("a"), reading("b")]}


def test_line_protocol_is_read_with_kinds_tables_tags_and_times(api: Api, bridge: StandIn) -> None:
    now_us = time.time_ns() // 1000
    lines = (
        "# from a script\n"
        f"sensor_readings,sensor_id=a temperature=25.5,humidity=60i,pressure=1012.5 {now_us}000\n"
        'vat,sensor_id=v level=71u,is_open=t,note="a \\"b\\""\n'
        "telemetry,sensor_id=p,hall=north\\ 2 rpm=1480\n"
    )

    response = post(api, lines.encode(), LINES, media_type="text/plain; charset=utf-8")

    assert (response.status_code, response.json()) == (201, report(3))
    assert arrays(bridge) == {
        "sensors/_/temperature_reading": [
            {"sensor_id": "a", "temperature": 25.5, "humidity": 60, "pressure": 1012.5, "time": now_us}
        ],
        "sensors/_/vat": [{"sensor_id": "v", "level": 71, "is_open": True, "note": 'a "b"'}],
        "sensors/_/telemetry": [{"sensor_id": "p", "hall": "north 2", "rpm": 1480}],
    }


@pytest.mark.parametrize(("precision", "per_second"), [("s", 1), ("ms", 10**3), ("us", 10**6), ("ns", 10**9)])
@pytest.mark.parametrize("parameter", ["precision={}", "precision=auto"])
def test_timestamps_of_line_protocol_are_in_the_precision_that_is_named(
    api: Api, precision: str, per_second: int, parameter: str
) -> None:
    now_s = int(time.time())
    line = f"telemetry,sensor_id=a x=1 {now_s * per_second}"

    response = post(api, line.encode(), f"{LINES}?ids=true&{parameter.format(precision)}", media_type="text/plain")

    assert response.json()["ids"] == [now_s * 1_000_000]


def test_gzip_is_unpacked(api: Api) -> None:
    response = post(api, gzip.compress(json.dumps([reading()] * 100).encode()), content_encoding="gzip")

    assert (response.status_code, response.json()) == (201, report(100))


def test_ten_thousand_readings_are_a_few_messages_below_64_kib_and_all_accepted(api: Api, bridge: StandIn) -> None:
    batch = [reading(f"s{number % 50}", temperature=number / 100) for number in range(10_000)]

    response = post(api, batch)

    assert (response.status_code, response.json()) == (201, report(10_000))
    assert 20 <= len(bridge.received) <= 25
    assert max(len(payload) for _, payload, _ in bridge.received) < 65_536
    assert arrays(bridge) == {"sensors/_/temperature_reading": batch}


def test_latest_knows_each_reading_of_a_batch_at_once(api: Api) -> None:
    ids = post(api, [reading("b-1"), reading("b-2", temperature=1)], f"{READINGS}?ids=true").json()["ids"]

    assert latest(api, "b-2").json()["id"] == ids[1]
    assert latest(api, "b-1").json()["temperature"] == 25.5


# --- what is rejected ------------------------------------------------------------------------------------------------

BAD: list[tuple[object, str, str]] = [
    (READING | {"humidity": 101}, "humidity", "bad_reading"),
    ({"temperature": 1, "humidity": 1, "pressure": 1}, "sensor_id", "bad_reading"),
    (reading("a/b"), "sensor_id", "bad_reading"),
    (reading("_"), "sensor_id", "bad_reading"),
    (reading(kind="vats"), "kind", "unknown_kind"),
    (reading(kind=5), "kind", "unknown_kind"),
    (reading(time="2001-01-01T00:00:00Z"), "time", "bad_time"),
    (reading(time="now"), "time", "bad_time"),
    (5, "", "bad_reading"),
    (None, "", "bad_reading"),
    ([reading()], "", "bad_reading"),
]


@pytest.mark.parametrize(("bad", "field", "reason"), BAD, ids=range(len(BAD)))
@pytest.mark.parametrize("media_type", ["application/json", NDJSON])
def test_bad_reading_costs_no_other_and_is_named(
    api: Api, bridge: StandIn, bad: object, field: str, reason: str, media_type: str
) -> None:
    batch = [reading("a"), bad, reading("b")]
    body = (
        json.dumps(batch).encode() if media_type != NDJSON else b"\n".join(json.dumps(each).encode() for each in batch)
    )

    response = post(api, body, media_type=media_type)

    assert response.status_code == 207
    (error,) = response.json()["errors"]
    assert (error["index"], error["field"], error["reason"]) == (1, field, reason)
    assert error["detail"]
    assert arrays(bridge) == {"sensors/_/temperature_reading": [reading("a"), reading("b")]}


def test_broken_line_of_ndjson_and_a_name_twice_cost_no_other(api: Api) -> None:
    good = json.dumps(reading()).encode()

    response = post(api, b"\n".join([good, b"{", good, good[:-1] + b', "humidity": 2}', b"\xff"]), media_type=NDJSON)

    assert response.status_code == 207
    told = [(error["index"], error["field"], error["reason"]) for error in response.json()["errors"]]
    assert told == [(1, "", "bad_json"), (3, "humidity", "bad_json"), (4, "", "bad_json")]


@pytest.mark.parametrize(
    ("line", "field", "reason", "words"),
    [
        (b"telemetry", "", "bad_line", "is not of the form"),
        (b"telemetry,sensor_id=a", "", "bad_line", "is not of the form"),
        (b"telemetry,sensor_id=a x=1 now", "", "bad_line", "is not of the form"),
        (b"telemetry x=1", "sensor_id", "bad_reading", "Field required"),
        (b"cpu,sensor_id=a x=1", "kind", "unknown_kind", "measurement 'cpu', known are sensor_readings, telemetry"),
        (b"vat,sensor_id=v,hall=2 level=1,is_open=t", "hall", "bad_line", "vat has no tag but sensor_id"),
        (b"telemetry,sensor_id=a x=1,x=2", "x", "bad_line", "more than once"),
        (b"telemetry,sensor_id=a,x=1 x=2", "x", "bad_line", "more than once"),
        (b"telemetry,sensor_id=a time=2", "time", "bad_line", "not possible"),
        (b"telemetry,sensor_id=a x=1.2.3", "x", "bad_line", "'1.2.3' is no number"),
        (b"telemetry,sensor_id=a x=1e999", "x", "bad_reading", "finite"),
        (b"telemetry,sensor_id=a x=1 5", "time", "bad_time", "400 days back"),
        (b"telemetry,sensor_id=a x=1 -99999999999999999999", "time", "bad_time", ""),
        (b"telemetry,sensor_id=\xff x=1", "", "bad_line", "not UTF-8"),
        (b"telemetry,sensor_id=a/b x=1", "sensor_id", "bad_reading", "match"),
    ],
)
def test_bad_line_costs_no_other_and_is_named(
    api: Api, bridge: StandIn, line: bytes, field: str, reason: str, words: str
) -> None:
    good = b"telemetry,sensor_id=a x=1"

    response = post(api, b"\n".join([good, line, good]), LINES, media_type="text/plain")

    assert response.status_code == 207, response.text
    (error,) = response.json()["errors"]
    assert (error["index"], error["field"], error["reason"]) == (1, field, reason)
    assert words in error["detail"]
    assert response.json()["accepted"] == 2


def test_batch_of_nothing_but_bad_readings_is_422_with_each_of_them(api: Api, bridge: StandIn) -> None:
    response = post(api, [reading(humidity=101), 5])

    problem = assert_problem(response, 422, "no reading was accepted; the first: humidity: Input should be less")
    assert (problem["accepted"], problem["rejected"], problem["reason"]) == (0, 2, "bad_reading")
    assert [error["index"] for error in problem["errors"]] == [0, 1]
    assert bridge.received == []


def test_what_the_bridge_rejects_is_told_at_its_place(api: Api, bridge: StandIn) -> None:
    rejected = {"reason": "bad_reading", "field": "humidity", "detail": "humidity: it was text before"}
    bridge.outcome = lambda each, received_us: rejected if each["sensor_id"] == "b" else store(each, received_us)

    response = post(api, [reading("a", humidity=101), reading("b"), reading("c")], f"{READINGS}?ids=true")

    assert response.status_code == 207
    first, second = response.json()["errors"]
    assert first["index"] == 0
    assert second == {"index": 1, "field": "humidity", "detail": "it was text before", "reason": "bad_reading"}
    assert [each is None for each in response.json()["ids"]] == [True, True, False]


def test_batch_without_a_receipt_is_202(api: Api, bridge: StandIn) -> None:
    bridge.outcome = silence

    response = post(api, [reading("a"), reading("b"), 5])

    assert response.status_code == 202
    assert (response.json()["accepted"], response.json()["pending"], response.json()["durable"]) == (2, 2, False)
    assert response.json()["rejected"] == 1


def test_batch_of_which_a_message_was_not_taken_is_503_and_says_what_to_do(
    start_api: Callable[..., Api], start_bridge: Callable[[], StandIn]
) -> None:
    api = start_api()  # and no bridge: nobody is subscribed
    api.wait_until(mqtt="connected")

    response = post(api, [reading("a")])

    assert_problem(response, 503, "nobody takes readings", "send all of it again", "Idempotency-Key")
    assert 1 <= int(response.headers["retry-after"]) <= 5


@pytest.mark.parametrize(
    ("body", "media_type", "words"),
    [
        (b"", "application/json", "the body is empty"),
        (b" \n", "application/json", "the body is empty"),
        (b"[]", "application/json", "an empty array, at least 1 reading"),
        (b"{", "application/json", "EOF"),
        (b'[{"a": 1}', "application/json", "EOF"),
        (b"{} {}", "application/json", "trailing"),
        (b"[" * 100_000, "application/json", "recursion"),
        (b"", NDJSON, "an empty batch, at least 1 reading"),
        (b"\n\n", NDJSON, "an empty batch, at least 1 reading"),
    ],
)
def test_body_that_holds_no_readings_is_422(api: Api, body: bytes, media_type: str, words: str) -> None:
    assert_problem(post(api, body, media_type=media_type), 422, words)


@pytest.mark.parametrize("path", [READINGS, LINES])
def test_another_content_type_or_encoding_is_415(api: Api, path: str) -> None:
    assert_problem(post(api, b"x", path, media_type="text/csv"), 415, "text/csv", "must be")
    packed = post(api, b"x", path, media_type="", content_encoding="br")
    assert_problem(packed, 415, "content encoding 'br', must be gzip or none")
    assert packed.headers["accept-encoding"] == "gzip, identity"


def test_query_that_nobody_knows_is_422(api: Api) -> None:
    assert_problem(post(api, reading(), f"{READINGS}?precision=s"), 422, "precision")
    assert_problem(post(api, b"x", f"{LINES}?precision=m", media_type="text/plain"), 422, "precision: 'm'")


def test_without_the_key_it_is_401(api: Api) -> None:
    assert_problem(post(api, reading(), x_api_key="x"), 401)


# --- how much --------------------------------------------------------------------------------------------------------


def test_more_than_ten_thousand_readings_are_422(api: Api, bridge: StandIn) -> None:
    assert_problem(post(api, b"[" + b"5," * 10_000 + b"5]"), 422, "10001", "at most 10000")
    assert_problem(post(api, b"5\n" * 10_001, media_type=NDJSON), 422, "more than 10000 readings")
    assert bridge.received == []


@pytest.mark.parametrize("path", [READINGS, LINES])
def test_batch_of_4_mib_is_read_and_one_byte_more_is_413(api: Api, path: str) -> None:
    body = b"5".ljust(MAX_BATCH_BYTES)

    assert_problem(post(api, body, path, media_type=""), 422)
    assert_problem(post(api, body + b" ", path, media_type=""), 413, "4194305", "4194304")


def test_only_batches_may_be_large(api: Api) -> None:
    body = b" " * (MAX_BODY_BYTES + 1)

    for path in ("/api/v1/temperature_reading", READINGS + "/x", READINGS + "%20", "/api/v1//readings"):
        assert_problem(post(api, body, path), 413, "65536")
    assert_problem(api.client.request("GET", READINGS, content=body), 413, "65536")


@pytest.mark.parametrize("size", [MAX_BATCH_BYTES + 1, 200_000_000])
def test_packed_body_is_413_once_it_is_too_large_unpacked(api: Api, size: int) -> None:
    bomb = gzip.compress(b" " * size)

    assert_problem(post(api, bomb, content_encoding="gzip"), 413, "more than 4194304 bytes unpacked")


def test_packed_body_of_4_mib_unpacked_is_read(api: Api) -> None:
    body = json.dumps([reading()]).encode().ljust(MAX_BATCH_BYTES)

    assert post(api, gzip.compress(body), content_encoding="gzip").status_code == 201


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda packed: packed[:-1], "too early"),
        (lambda packed: packed[:5], "too early"),
        (lambda _: b"", "too early"),
        (lambda packed: packed + b"x", "one gzip member"),
        (lambda packed: packed + packed, "one gzip member"),
        (lambda packed: packed[:-8] + b"abcd" + packed[-4:], "incorrect data check"),
        (lambda _: json.dumps(READING).encode(), "incorrect header check"),
    ],
    ids=["cut", "begun", "empty", "followed", "twice", "checksum", "json"],
)
def test_broken_gzip_is_422_in_plain_words(api: Api, spoil: Callable[[bytes], bytes], words: str) -> None:
    body = spoil(gzip.compress(json.dumps(READING).encode()))

    problem = assert_problem(post(api, body, content_encoding="gzip"), 422, "said to be gzip and is not", words)

    assert problem["reason"] == "bad_body"


def begin(api: Api, headers: str) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", api.port), 30)
    connection.sendall(f"POST {READINGS} HTTP/1.1\r\nHost: a\r\nX-API-Key: {KEY}\r\n{headers}\r\n\r\n".encode())
    return connection


def test_more_batches_than_there_is_memory_for_are_503_and_others_are_served(api: Api) -> None:
    with ExitStack() as open_:
        held = [open_.enter_context(begin(api, "Transfer-Encoding: chunked")) for _ in range(8)]
        late = open_.enter_context(begin(api, "Expect: 100-continue\r\nContent-Length: 4000000"))

        answer = b""
        while not answer.endswith(b"}"):
            answer += late.recv(10_000)

        assert answer.startswith(b"HTTP/1.1 503")
        assert b"retry-after" in answer.lower()
        assert b"batches of 33554432 bytes are in work" in answer
        assert api.post("temperature_reading", READING).status_code == 201
        for each in held:
            each.sendall(b"%x\r\n%b\r\n0\r\n\r\n" % (len(json.dumps(READING)), json.dumps(READING).encode()))
        assert [each.recv(10_000)[:12] for each in held] == [b"HTTP/1.1 201"] * 8
    assert post(api, reading()).status_code == 201


def test_batch_that_makes_progress_may_take_longer_and_one_that_does_not_may_not(api: Api) -> None:
    piece = b" " * MAX_BODY_BYTES
    pieces = 4
    pause_s = RECEIVE_TIMEOUT_S * 0.4

    def send(rounds: int) -> tuple[float, bytes]:
        with begin(api, f"Content-Length: {pieces * len(piece) + 1}") as connection:
            began = time.monotonic()
            for _ in range(rounds):
                connection.sendall(piece)
                assert not select.select([connection], [], [], pause_s)[0], "an answer before the end"
            if rounds == pieces:
                connection.sendall(b"5")
            return time.monotonic() - began, connection.recv(10_000)

    with ThreadPoolExecutor(2) as clients:
        (fast_s, fast), (_, slow) = clients.map(send, (pieces, 1))

    assert fast_s > RECEIVE_TIMEOUT_S
    assert fast.startswith(b"HTTP/1.1 422")
    assert slow.startswith(b"HTTP/1.1 408")


async def test_small_packed_batch_keeps_no_more_room_than_it_took() -> None:
    room = Room(most_bytes=MAX_BATCH_BYTES + 10)
    packed = Request({"type": "http", "headers": [(b"content-encoding", b"gzip")]})

    with room.reserved(packed) as shrink:
        shrink(10)
        with room.reserved(packed):
            pass
    with room.reserved(packed), pytest.raises(TransientError), room.reserved(packed):
        pass


# --- Idempotency-Key -------------------------------------------------------------------------------------------------


def mark(bridge: StandIn, number: int = -1) -> tuple[str, str, str]:
    request, content, count = bridge.received[number][2]["idempotency"].split(".")
    return request, content, count


def test_request_with_a_key_carries_the_same_mark_each_time_and_another_one_another(api: Api, bridge: StandIn) -> None:
    headers = {"Idempotency-Key": "boot 17, number 42"}

    for each in (reading("a"), reading("a"), reading("b"), reading("a", humidity=1)):
        assert api.post("temperature_reading", each, headers).status_code == 201
    api.post("temperature_reading", reading("a"), {"Idempotency-Key": "boot 17, number 43"})
    api.post("temperature_reading", reading("a"))

    first, again, other_sensor, other_content, other_key = (mark(bridge, number) for number in range(5))
    assert first == again
    assert len({first[0], other_sensor[0], other_key[0]}) == 3
    assert (other_content[0], other_content[1] != first[1]) == (first[0], True)
    assert "idempotency" not in bridge.received[5][2]
    assert all(KEY not in str(each) and "boot" not in str(each[2]) for each in bridge.received)


def test_messages_of_a_batch_with_a_key_are_counted(api: Api, bridge: StandIn) -> None:
    batch = [reading(f"s{number}") for number in range(1200)]

    for _ in range(2):
        assert post(api, batch, idempotency_key="k").status_code == 201

    marks = [mark(bridge, number) for number in range(len(bridge.received))]
    assert len({(request, content) for request, content, _ in marks}) == 1
    assert [number for _, _, number in marks] == ["0", "1", "2"] * 2


def test_retry_that_is_cut_otherwise_is_another_request_in_each_of_its_messages(api: Api, bridge: StandIn) -> None:
    batch = [reading(f"s{number}") for number in range(700)]

    for each in (batch, batch[:600] + [reading("s", humidity=999)] * 100):  # what is checked otherwise is cut otherwise
        post(api, each, idempotency_key="k")

    contents = [mark(bridge, number)[1] for number in range(len(bridge.received))]
    assert len(contents) == 4
    assert contents[0] == contents[1] != contents[2] == contents[3]


@pytest.mark.parametrize("path", ["/api/v1/temperature_reading", READINGS])
def test_key_that_was_used_for_something_else_is_422(api: Api, bridge: StandIn, path: str) -> None:
    detail = "Idempotency-Key: it was used for another request before"
    bridge.outcome = lambda *_: {"reason": "idempotency_mismatch", "field": "Idempotency-Key", "detail": detail}

    problem = assert_problem(post(api, reading(), path, idempotency_key="k"), 422, "used for another request")

    assert problem["reason"] == "idempotency_mismatch"


@pytest.mark.parametrize("path", ["/api/v1/temperature_reading", READINGS])
@pytest.mark.parametrize("key", ["", "a\tb", "ä", "x" * 256])
def test_key_that_is_none_is_422(api: Api, bridge: StandIn, path: str, key: str) -> None:
    headers = {b"Idempotency-Key": key.encode("latin-1"), b"Content-Type": b"application/json"}

    response = api.client.post(path, content=json.dumps(reading()).encode(), headers=headers)

    problem = assert_problem(response, 422, "Idempotency-Key")
    assert problem["reason"] == "bad_header"
    assert bridge.received == []


def test_under_a_key_it_is_the_bridge_that_finds_a_time_too_old(api: Api, bridge: StandIn) -> None:
    old = reading(time="2001-01-01T00:00:00Z")

    assert post(api, [old, reading()], idempotency_key="k").status_code == 201
    assert api.post("temperature_reading", old, {"Idempotency-Key": "k"}).status_code == 201
    assert len(bridge.received) == 2


# --- for boards ------------------------------------------------------------------------------------------------------


def test_short_answer_counts(api: Api) -> None:
    assert post(api, [reading()] * 3, accept="text/plain").text == "201 3\n"
    assert post(api, [reading(), 5], accept="text/plain").text == "207 1 accepted, 1 rejected\n"
    assert post(api, [5], accept="text/plain").text.startswith("422 no reading was accepted")
