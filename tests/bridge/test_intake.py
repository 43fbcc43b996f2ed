import json
from typing import Annotated, Any

import pytest
from pydantic import AfterValidator, Field, field_validator

from bridge.columns import Columns
from bridge.fingerprints import Fingerprints
from bridge.idempotency import Answers
from bridge.intake import MAX_PAYLOAD_BYTES, Commit, Intake
from bridge.timeline import Timeline
from sensorflow import topics
from sensorflow.kinds import Kind, load_kinds
from sensorflow.mqtt import Connected, Delivery
from sensorflow.reading import TimeWindow
from tests.bridge.deliveries import CLIMATE, RECEIPTS, TOPIC, delivery, posted

NOW_US = 1_755_354_645_123_456
CLIMATE_FIELDS = "temperature=25.5,humidity=60.2,pressure=1012.5"


class Poison(Kind):
    """A user's kind whose validator breaks in the ways that do most harm."""

    x: float

    @field_validator("x")
    @classmethod
    def _breaks(cls, x: float) -> float:
        if x == 1:
            raise RecursionError("maximum recursion depth exceeded")
        if x == 2:
            raise MemoryError
        return x


class Odd(float):
    """A float that JSON cannot have, as NumPy's are."""


class Loose(Kind):
    """A user's kind whose values are not of the types that it declares, and have another name in the payload."""

    x: Annotated[float, AfterValidator(lambda x: Odd(x) if x == 1 else round(x))] = Field(alias="ex")
    offset: float = 0


class Wild(Kind):
    """A user's kind that makes of its values what neither JSON nor the spool has a word for."""

    x: Any

    @field_validator("x")
    @classmethod
    def _makes(cls, x: Any) -> Any:
        return {"object": object(), "bytes": b"\xff", "surrogate": "\ud800", "huge": 10**400}.get(x, x)


class Sparse(Kind):
    """A user's kind that may be empty."""

    maybe: float | None = None


@pytest.fixture
def intake() -> Intake:
    kinds = dict(load_kinds()) | {"poison": Poison, "loose": Loose, "sparse": Sparse, "wild": Wild}
    return Intake(
        kinds,
        TimeWindow(),
        columns=Columns(),
        fingerprints=Fingerprints(),
        timeline=Timeline(),
        answers=Answers(),
    )


def decide(intake: Intake, *events: Delivery | Connected, now_us: int = NOW_US) -> Commit:
    return intake.decide(events, now_us)


def with_time(time: object, temperature: float = 25.5) -> bytes:
    return json.dumps({"temperature": temperature, "humidity": 60.2, "pressure": 1012.5, "time": time}).encode()


# --- what is accepted ------------------------------------------------------------------------------------------------


def test_reading_becomes_a_line_a_frame_and_a_fingerprint(intake: Intake) -> None:
    arrived = delivery(packet_id=7)

    commit = decide(intake, arrived)

    assert commit.lines == [f"sensor_readings,sensor_id=s1 {CLIMATE_FIELDS} {NOW_US}"]
    assert json.loads(commit.frames[0])["id"] == NOW_US
    assert [len(each) for each in commit.fingerprints] == [14]
    assert commit.deliveries == [arrived]
    assert commit.dead_letters == []
    assert commit.receipts == {}
    assert not commit.is_empty


def test_deliveries_are_acknowledged_in_the_order_of_their_arrival_whatever_became_of_them(intake: Intake) -> None:
    arrived = [delivery(packet_id=5), delivery(b"{", packet_id=3), delivery(topic="sensors/x", packet_id=9)]

    assert decide(intake, *arrived).deliveries == arrived


def test_message_of_qos_0_is_stored_and_has_no_fingerprint(intake: Intake) -> None:
    commit = decide(intake, delivery(), delivery())

    assert len(commit.lines) == 2
    assert commit.fingerprints == []


def test_http_apis_time_and_address_are_those_of_the_reading(intake: Intake) -> None:
    commit = decide(intake, posted(received_us=NOW_US - 5_000_000))

    assert commit.lines == [f'sensor_readings,sensor_id=s1 {CLIMATE_FIELDS},client_ip="10.0.0.7" {NOW_US - 5_000_000}']


def test_array_is_one_message_and_many_readings(intake: Intake) -> None:
    commit = decide(intake, delivery(b"[%b, %b]" % (CLIMATE, CLIMATE), packet_id=1))

    assert [line.rpartition(" ")[2] for line in commit.lines] == [str(NOW_US), str(NOW_US + 1)]
    assert len(commit.fingerprints) == 1


# --- redeliveries ----------------------------------------------------------------------------------------------------


def test_redelivery_that_is_known_is_acknowledged_and_not_stored_again(intake: Intake) -> None:
    decide(intake, delivery(packet_id=7))
    again = delivery(packet_id=7, duplicate=True)

    commit = decide(intake, again)

    assert commit.lines == []
    assert commit.duplicates == 1
    assert commit.deliveries == [again]


def test_redelivery_within_one_batch_is_not_stored_again(intake: Intake) -> None:
    commit = decide(intake, delivery(packet_id=7), Connected(True), delivery(packet_id=7, duplicate=True))

    assert len(commit.lines) == 1


def test_redelivery_of_what_never_reached_us_is_stored(intake: Intake) -> None:
    assert len(decide(intake, delivery(packet_id=7, duplicate=True)).lines) == 1


@pytest.mark.parametrize(
    "again",
    [
        delivery(packet_id=7),
        delivery(packet_id=8, duplicate=True),
        delivery(CLIMATE + b" ", packet_id=7, duplicate=True),
        delivery(topic="sensors/s2/temperature_reading", packet_id=7, duplicate=True),
        delivery(packet_id=7, duplicate=True, subscription_ids=[2]),
    ],
    ids=["without DUP", "another packet id", "another payload", "another topic", "another subscription"],
)
def test_message_that_only_resembles_a_known_one_is_stored(intake: Intake, again: Delivery) -> None:
    decide(intake, delivery(packet_id=7))

    assert len(decide(intake, again).lines) == 1


def test_new_message_with_a_used_packet_id_takes_the_place_of_the_old_one(intake: Intake) -> None:
    decide(intake, delivery(packet_id=7), delivery(b"{}", packet_id=7))

    commit = decide(intake, delivery(packet_id=7, duplicate=True))

    assert len(commit.lines) == 1


def test_redelivery_of_a_rejected_message_is_not_rejected_again(intake: Intake) -> None:
    decide(intake, delivery(b"{", packet_id=7))

    assert decide(intake, delivery(b"{", packet_id=7, duplicate=True)).dead_letters == []


def test_new_session_makes_all_fingerprints_void(intake: Intake) -> None:
    decide(intake, delivery(packet_id=7))

    commit = decide(intake, Connected(False), delivery(packet_id=7, duplicate=True))

    assert commit.starts_session
    assert len(commit.lines) == 1
    assert len(commit.fingerprints) == 1


def test_new_session_makes_the_fingerprints_of_the_same_batch_void(intake: Intake) -> None:
    commit = decide(intake, delivery(packet_id=7), Connected(False), delivery(packet_id=7, duplicate=True))

    assert len(commit.lines) == 2
    assert len(commit.fingerprints) == 1


def test_session_that_goes_on_keeps_its_fingerprints(intake: Intake) -> None:
    decide(intake, delivery(packet_id=7))

    commit = decide(intake, Connected(True), delivery(packet_id=7, duplicate=True))

    assert not commit.starts_session
    assert commit.lines == []


def test_new_session_alone_is_worth_a_commit(intake: Intake) -> None:
    assert decide(intake, Connected(True)).is_empty
    assert not decide(intake, Connected(False)).is_empty


# --- receipts --------------------------------------------------------------------------------------------------------


def test_receipt_names_the_id_of_each_reading_by_correlation(intake: Intake) -> None:
    commit = decide(
        intake,
        posted(received_us=NOW_US, correlation_data=b"0a"),
        posted(received_us=NOW_US, correlation_data=b"0b"),
        posted(received_us=NOW_US, correlation_data=b"0c", response_topic="receipts/http_api-2"),
    )

    assert commit.receipts == {
        RECEIPTS: {"0a": [NOW_US], "0b": [NOW_US + 1]},
        "receipts/http_api-2": {"0c": [NOW_US + 2]},
    }


def test_receipt_of_an_array_keeps_its_order_and_says_what_was_wrong(intake: Intake) -> None:
    payload = b'[{"a": 1}, {"a": "%b"}, {"a": 2}]' % (b"x" * 257)

    commit = decide(intake, posted(payload, "sensors/s1/telemetry", received_us=NOW_US, correlation_data=b"0a"))

    first, second, third = commit.receipts[RECEIPTS]["0a"]
    assert (first, third) == (NOW_US, NOW_US + 1)
    assert second["reason"] == "bad_reading"
    assert second["detail"].startswith("a: ")


def test_receipt_of_a_known_reading_is_its_id(intake: Intake) -> None:
    payload = with_time(NOW_US)
    decide(intake, delivery(payload, packet_id=1))

    commit = decide(intake, posted(payload, received_us=NOW_US + 5, correlation_data=b"0a", packet_id=2))

    assert commit.receipts[RECEIPTS]["0a"] == [NOW_US]
    assert commit.lines == []
    assert commit.duplicates == 1


@pytest.mark.parametrize(
    ("response_topic", "correlation"),
    [
        ("live", b"0a"),
        ("status/bridge", b"0a"),
        ("receipts/a/b", b"0a"),
        ("sensors/s1/telemetry", b"0a"),
        ("", b"0a"),
        (RECEIPTS, b""),
        (RECEIPTS, b"0A"),
        (RECEIPTS, b"\xff"),
        (RECEIPTS, b"0" * 33),
    ],
)
def test_nothing_is_sent_where_a_device_wants_it(intake: Intake, response_topic: str, correlation: bytes) -> None:
    commit = decide(intake, delivery(response_topic=response_topic, correlation_data=correlation))

    assert commit.receipts == {}
    assert len(commit.lines) == 1


# --- many sensors in one message -------------------------------------------------------------------------------------

MANY = topics.many("telemetry")


def test_each_reading_of_many_goes_to_the_sensor_that_it_names_in_order(intake: Intake) -> None:
    payload = b'[{"sensor_id": "a", "x": 1}, {"sensor_id": "b", "x": 2}, {"sensor_id": "a", "x": 1}]'

    commit = decide(intake, posted(payload, MANY, received_us=NOW_US, correlation_data=b"0a"))

    assert commit.lines == [
        f'telemetry,sensor_id=a x=1.0,client_ip="10.0.0.7" {NOW_US}',
        f'telemetry,sensor_id=b x=2.0,client_ip="10.0.0.7" {NOW_US}',
        f'telemetry,sensor_id=a x=1.0,client_ip="10.0.0.7" {NOW_US + 1}',
    ]
    assert [json.loads(frame)["sensor_id"] for frame in commit.frames] == ["a", "b", "a"]
    assert commit.receipts[RECEIPTS]["0a"] == [NOW_US, NOW_US, NOW_US + 1]


def test_times_of_one_sensor_go_on_whichever_topic_its_readings_come_by(intake: Intake) -> None:
    one = delivery(b'{"x": 1}', "sensors/a/telemetry")

    commit = decide(intake, one, delivery(b'{"sensor_id": "a", "x": 1}', MANY), one)

    assert [line.rpartition(" ")[2] for line in commit.lines] == [str(NOW_US), str(NOW_US + 1), str(NOW_US + 2)]


@pytest.mark.parametrize(
    ("bad", "reason", "topic"),
    [
        (b'{"x": 1}', "bad_reading", MANY),
        (b'{"sensor_id": "a/b", "x": 1}', "bad_reading", MANY),
        (b'{"sensor_id": "_", "x": 1}', "bad_reading", MANY),
        (b'{"sensor_id": "", "x": 1}', "bad_reading", MANY),
        (b'{"sensor_id": 5, "x": 1}', "bad_reading", MANY),
        (b"5", "bad_reading", MANY),
        (b'{"sensor_id": "b", "x": 1, "x": 2}', "bad_json", "sensors/b/telemetry"),
        (b'{"sensor_id": "b", "x": null}', "bad_reading", "sensors/b/telemetry"),
        (b'{"sensor_id": "b", "x": 1%b}' % (b"0" * 30), "", ""),
        (b'{"sensor_id": "b", "y": null, "x": 1%b}' % (b"0" * 30), "bad_reading", "sensors/b/telemetry"),
        (b'{"sensor_id": "b", "x": 1, "time": 5}', "bad_time", "sensors/b/telemetry"),
        (b'{"sensor_id": "b", "x": "text"}', "bad_reading", "sensors/b/telemetry"),
    ],
)
def test_bad_one_of_many_is_a_dead_letter_where_it_can_be_sent_again_and_costs_no_other(
    intake: Intake, bad: bytes, reason: str, topic: str
) -> None:
    payload = b'[{"sensor_id": "a", "x": 1}, %b, {"sensor_id": "a", "x": 2}]' % bad

    commit = decide(intake, delivery(payload, MANY))

    assert len(commit.lines) == 2 + (not reason)
    letters = [(letter.reason, letter.topic, json.loads(letter.payload)) for letter in commit.dead_letters]
    assert letters == ([(reason, topic, json.loads(bad))] if reason else [])


def test_reading_alone_on_the_topic_of_many_is_as_good(intake: Intake) -> None:
    commit = decide(intake, delivery(b'{"sensor_id": "a", "x": 1}', MANY), delivery(b"{", MANY))

    assert len(commit.lines) == 1
    assert [(letter.reason, letter.topic) for letter in commit.dead_letters] == [("bad_json", MANY)]


# --- requests that come again ----------------------------------------------------------------------------------------


def asked_again(
    payload: bytes = CLIMATE,
    topic: str = TOPIC,
    *,
    request: str = "a" * 32,
    content: str = "c" * 32,
    number: int = 0,
    received_us: int = NOW_US,
) -> Delivery:
    properties = [("received_us", str(received_us)), ("idempotency", f"{request}.{content}.{number:x}")]
    return delivery(
        payload, topic, user_properties=properties, response_topic=RECEIPTS, correlation_data=b"0a", packet_id=1
    )


def told(commit: Commit) -> Any:
    return commit.receipts[RECEIPTS]["0a"]


def test_request_that_comes_again_is_not_stored_again_and_gets_the_same_ids(intake: Intake) -> None:
    decide(intake, asked_again(), now_us=NOW_US)

    commit = decide(intake, asked_again(received_us=NOW_US + 9_000_000), now_us=NOW_US + 9_000_000)

    assert (commit.lines, commit.frames, commit.answers) == ([], [], [])
    assert told(commit) == [NOW_US]
    assert commit.duplicates == 1


def test_what_was_rejected_of_a_request_is_rejected_again_and_is_no_second_dead_letter(intake: Intake) -> None:
    payload = b'[{"sensor_id": "a", "x": 1}, {"sensor_id": "a", "x": null}]'
    first = decide(intake, asked_again(payload, MANY))

    second = decide(intake, asked_again(payload, MANY))

    assert told(second) == told(first)
    assert told(first)[1]["reason"] == "bad_reading"
    assert told(first)[1]["field"] == "x"
    assert (len(first.dead_letters), second.dead_letters) == (1, [])


@pytest.mark.parametrize("other", [{"content": "d" * 32}, {"content": "d" * 32, "number": 7}, {"payload": b"{}"}])
def test_key_that_comes_with_another_request_stores_nothing_of_it(intake: Intake, other: dict[str, Any]) -> None:
    decide(intake, asked_again())

    commit = decide(intake, asked_again(**other))

    assert (commit.lines, commit.answers) == ([], [])
    (outcome,) = told(commit)
    assert outcome["reason"] == "idempotency_mismatch"
    assert [letter.reason for letter in commit.dead_letters] == ["idempotency_mismatch"]


def test_messages_of_one_request_are_told_apart_though_they_are_equal(intake: Intake) -> None:
    commit = decide(intake, asked_again(number=0), asked_again(number=1))

    assert len(commit.lines) == 2


def test_sensor_that_shows_the_request_of_another_gets_no_answer_of_it_and_cannot_spoil_it(intake: Intake) -> None:
    decide(intake, asked_again(topic="sensors/s1/temperature_reading"))

    commit = decide(intake, asked_again(topic="sensors/s2/temperature_reading", content="d" * 32))

    assert commit.lines == [f"sensor_readings,sensor_id=s2 {CLIMATE_FIELDS} {NOW_US}"]


@pytest.mark.parametrize("text", ["", "a", f"{'a' * 32}.{'c' * 32}", f"{'A' * 32}.{'c' * 32}.0", f"{'a' * 32}.c.0"])
def test_property_that_says_nothing_is_passed_over(intake: Intake, text: str) -> None:
    properties = [("idempotency", text)]

    commit = decide(intake, *(delivery(user_properties=properties) for _ in range(2)))

    assert len(commit.lines) == 2
    assert commit.answers == []


# --- a user's kinds --------------------------------------------------------------------------------------------------


def test_numbers_that_a_kind_makes_whole_are_floats_as_all_numbers(intake: Intake) -> None:
    topic = "sensors/s1/loose"

    commit = decide(intake, delivery(b'{"ex": 2.4}', topic), delivery(b'{"ex": 3, "offset": 0.5}', topic))

    assert [line.split(" ")[1] for line in commit.lines] == ["x=2.0,offset=0.0", "x=3.0,offset=0.5"]
    assert commit.columns == [("loose", "x", "float"), ("loose", "offset", "float")]


def test_value_of_a_type_that_no_column_has_is_a_dead_letter_and_no_end_of_the_bridge(intake: Intake) -> None:
    payload = b'{"ex": 1}'

    commit = decide(intake, delivery(payload, "sensors/s1/loose"))

    (letter,) = commit.dead_letters
    assert (letter.reason, letter.payload) == ("bad_reading", payload)
    assert letter.detail == "x: Odd (1.0) cannot be stored, only a number, true or false, text"


def test_reading_without_any_value_is_a_dead_letter_since_no_store_takes_it(intake: Intake) -> None:
    commit = decide(intake, delivery(b'{"maybe": null}', "sensors/s1/sparse"))

    assert commit.lines == []
    assert [(letter.reason, letter.detail) for letter in commit.dead_letters] == [
        ("bad_reading", "no values, at least 1")
    ]


def test_dead_letter_out_of_an_array_has_the_names_that_the_device_gave(intake: Intake) -> None:
    payload = b'[{"ex": 2}, {"ex": 3, "time": "now"}]'

    commit = decide(intake, delivery(payload, "sensors/s1/loose"))

    (letter,) = commit.dead_letters
    assert json.loads(letter.payload) == {"ex": 3, "time": "now"}


# --- hostile properties ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "received_us",
    ["", "yesterday", "-1", "1e6", "0", "9" * 18, "9" * 5000, "\u0661", " 5", str(NOW_US + 601_000_000), "1\n"],
)
def test_time_that_no_http_api_would_claim_is_not_believed(intake: Intake, received_us: str) -> None:
    commit = decide(intake, posted(received_us=received_us))

    assert commit.lines[0].endswith(f" {NOW_US}")


@pytest.mark.parametrize(
    "client_ip", ["", "1", "a b", '1.2.3.4"', '1.2.3.4",x="', "1.2.3.4\n", "1.2.3.4 5", "f" * 46, "example.org", "٣.٣"]
)
def test_address_that_is_none_is_left_out(intake: Intake, client_ip: str) -> None:
    commit = decide(intake, posted(received_us=NOW_US, client_ip=client_ip))

    assert commit.lines == [f"sensor_readings,sensor_id=s1 {CLIMATE_FIELDS} {NOW_US}"]


def test_many_and_repeated_properties_do_no_harm(intake: Intake) -> None:
    properties = [("client_ip", "x")] * 100 + [("", ""), ("received_us", "x"), ("client_ip", "::1")]

    commit = decide(intake, delivery(user_properties=properties))

    assert commit.lines == [f'sensor_readings,sensor_id=s1 {CLIMATE_FIELDS},client_ip="::1" {NOW_US}']


# --- times -----------------------------------------------------------------------------------------------------------


def test_times_that_are_assigned_increase_also_when_the_clock_goes_back(intake: Intake) -> None:
    times = [
        int(decide(intake, delivery(), now_us=now_us).lines[0].rpartition(" ")[2])
        for now_us in (NOW_US, NOW_US, NOW_US - 3_600_000_000, NOW_US + 1, NOW_US + 10)
    ]

    assert times == [NOW_US, NOW_US + 1, NOW_US + 2, NOW_US + 3, NOW_US + 10]


def test_sensors_and_kinds_have_their_own_times(intake: Intake) -> None:
    topics = ["sensors/a/telemetry", "sensors/b/telemetry", "sensors/a/poison"]
    payloads = [b'{"x": 5}'] * 3

    commit = decide(intake, *(delivery(payload, topic) for payload, topic in zip(payloads, topics, strict=True)))

    assert {line.rpartition(" ")[2] for line in commit.lines} == {str(NOW_US)}


def test_device_time_is_kept_in_whatever_unit_it_came(intake: Intake) -> None:
    second = NOW_US // 1_000_000

    commit = decide(intake, delivery(with_time(second)), delivery(with_time(second * 1000 + 1)))

    assert [line.rpartition(" ")[2] for line in commit.lines] == [f"{second}000000", f"{second}001000"]


def test_two_readings_at_one_device_time_are_moved_apart_and_the_same_again_is_known(intake: Intake) -> None:
    payloads = [with_time(NOW_US, 1), with_time(NOW_US, 2), with_time(NOW_US, 1), with_time(NOW_US, 2)]

    commit = decide(intake, *map(delivery, payloads))

    assert [line.rpartition(" ")[2] for line in commit.lines] == [str(NOW_US), str(NOW_US + 1)]
    assert commit.duplicates == 2


def test_thousand_readings_at_one_device_time_are_a_thousand_lines(intake: Intake) -> None:
    commit = decide(intake, *(delivery(with_time(NOW_US, number / 8)) for number in range(1000)))

    assert len({line.rpartition(" ")[2] for line in commit.lines}) == 1000


@pytest.mark.parametrize(
    "time",
    [0, -5, "1970-01-01T00:00:00Z", "2106-02-07T06:28:15Z", NOW_US + 601_000_000, 10**400, -(10**400), 1e308, "now"],
)
def test_device_time_out_of_the_window_is_a_dead_letter(intake: Intake, time: object) -> None:
    payload = with_time(time)

    commit = decide(intake, delivery(payload, packet_id=1))

    assert commit.lines == []
    (letter,) = commit.dead_letters
    assert (letter.reason, letter.topic, letter.payload, letter.time_us) == ("bad_time", TOPIC, payload, NOW_US)


# --- dead letters ----------------------------------------------------------------------------------------------------


def reasons(commit: Commit) -> list[str]:
    return [letter.reason for letter in commit.dead_letters]


@pytest.mark.parametrize(
    ("payload", "topic", "reason", "detail"),
    [
        (b"{", TOPIC, "bad_json", "Invalid JSON: EOF while parsing"),
        (b"", TOPIC, "bad_json", "the payload is empty"),
        (b"{}", TOPIC, "bad_reading", "temperature: Field required"),
        (CLIMATE, "sensors/s1", "bad_topic", "topic: 'sensors/s1' is not sensors/<sensor_id>/<kind>"),
        (CLIMATE, "sensors/a b/telemetry", "bad_topic", "topic: 'sensors/a b/telemetry' is not"),
        (CLIMATE, "sensors/s1/colour", "unknown_kind", "kind: 'colour', known are loose, poison, sparse, telemetry, t"),
        (b'{"sensor_id": "s2", "a": 1}', "sensors/s1/telemetry", "bad_topic", "sensor_id: 's2' in the payload, 's1'"),
        (b" " * (MAX_PAYLOAD_BYTES + 1), TOPIC, "too_large", "payload of 65537 bytes, at most 65536"),
        (b'{"x": 1}', "sensors/s1/poison", "validator_failed", "RecursionError: maximum recursion depth exceeded"),
        (b'{"x": 2}', "sensors/s1/poison", "validator_failed", "MemoryError: "),
    ],
)
def test_message_that_cannot_be_accepted_is_kept_with_its_reason(
    intake: Intake, payload: bytes, topic: str, reason: str, detail: str
) -> None:
    good = delivery(packet_id=2)

    commit = decide(intake, delivery(payload, topic, packet_id=1), good)

    (letter,) = commit.dead_letters
    assert (letter.reason, letter.topic, letter.payload, letter.time_us) == (reason, topic, payload, NOW_US)
    assert letter.detail.startswith(detail)
    assert len(commit.lines) == 1
    assert len(commit.fingerprints) == 2


def test_sensor_id_in_the_payload_that_equals_the_topics_is_fine(intake: Intake) -> None:
    assert len(decide(intake, delivery(b'{"sensor_id": "s1", "a": 1}', "sensors/s1/telemetry")).lines) == 1


def test_dead_letter_of_a_board_has_its_address_and_time(intake: Intake) -> None:
    (letter,) = decide(intake, posted(b"{", received_us=NOW_US - 7)).dead_letters

    assert (letter.time_us, letter.client_ip) == (NOW_US - 7, "10.0.0.7")


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ({"a": None}, "bad_reading"),
        ({"a": 1, "time": 5}, "bad_time"),
        ({"a": 1, "time": "soon"}, "bad_time"),
        ({"a": 1, "sensor_id": "s2"}, "bad_topic"),
    ],
)
def test_bad_element_of_an_array_is_a_dead_letter_of_its_own(intake: Intake, bad: dict[str, Any], reason: str) -> None:
    payload = json.dumps([{"a": 1}, bad, {"a": 2}]).encode()

    commit = decide(intake, delivery(payload, "sensors/s1/telemetry"))

    assert len(commit.lines) == 2
    assert reasons(commit) == [reason]
    assert json.loads(commit.dead_letters[0].payload) == bad


def test_what_a_message_costs_in_dead_letters_is_bounded_by_its_size(intake: Intake) -> None:
    payload = b"[" + b",".join([b'{"a":1,"time":5}'] * 3_800) + b"]"

    commit = decide(intake, delivery(payload, "sensors/s1/telemetry"))

    assert len(commit.dead_letters) == 3_800
    assert sum(len(letter.payload) for letter in commit.dead_letters) < 2 * len(payload)


@pytest.mark.parametrize("value", ["object", "bytes", "surrogate", "huge"])
@pytest.mark.parametrize("shape", ['{"x": "%s"}', '[{"x": 1.5}, {"x": "%s"}]'])
def test_whatever_a_users_kind_makes_of_a_value_is_a_dead_letter_and_stops_nothing(
    intake: Intake, value: str, shape: str
) -> None:
    commit = decide(intake, delivery((shape % value).encode(), "sensors/s1/wild"), delivery())

    assert len(commit.dead_letters) == 1
    assert len(commit.lines) == 1 + shape.count("1.5")


def test_number_that_no_float_holds_is_a_dead_letter_of_a_users_kind_too(intake: Intake) -> None:
    commit = decide(intake, delivery(b'{"ex": 3, "time": %b}' % (b"1" * 310), "sensors/s1/loose"))

    assert [letter.reason for letter in commit.dead_letters] == ["bad_time"]
