import re

import pytest

from sensorflow import topics
from sensorflow.errors import RejectedError
from sensorflow.kinds import SENSOR_ID_PATTERN

HOSTILE = [
    "",
    "sensors",
    "sensors/",
    "sensors/a",
    "sensors//telemetry",
    "sensors/a/",
    "sensors/a/telemetry/",
    "sensors/a/telemetry/more",
    "/sensors/a/telemetry",
    "Sensors/a/telemetry",
    "sensors/a/telemetry\n",
    "sensors/a\n/telemetry",
    "sensors/a\0/telemetry",
    "sensors/-a/telemetry",
    "sensors/.a/telemetry",
    "sensors/../telemetry",
    "sensors/a b/telemetry",
    "sensors/a,b=c/telemetry",
    'sensors/a"/telemetry',
    "sensors/a'; DROP TABLE x/telemetry",
    "sensors/+/telemetry",
    "sensors/#",
    "sensors/ä/telemetry",
    "sensors/a\u202e/telemetry",
    "sensors/١/telemetry",  # noqa: RUF001 - a digit, but not one of ours
    f"sensors/{'a' * 65}/telemetry",
    "sensors/a/Telemetry",
    "sensors/a/1telemetry",
    "sensors/a/_telemetry",
    "sensors/a/tele-metry",
    f"sensors/a/{'k' * 49}",
    "$share/g/sensors/a/telemetry",
]


@pytest.mark.parametrize(
    ("sensor_id", "kind"),
    [("a", "k"), ("sensor_001", "temperature_reading"), ("0.A_z-9", "k9_"), ("a" * 64, "k" * 48)],
)
def test_reading_topic_is_taken_apart_into_what_it_was_made_of(sensor_id: str, kind: str) -> None:
    assert topics.parse_reading(topics.reading(sensor_id, kind)) == (sensor_id, kind)


def test_topic_of_many_sensors_names_none() -> None:
    assert topics.parse_reading(topics.many("telemetry")) == (None, "telemetry")
    assert not re.fullmatch(SENSOR_ID_PATTERN, topics.many("k").split("/")[1])


@pytest.mark.parametrize("topic", HOSTILE)
def test_any_other_topic_is_rejected_by_name(topic: str) -> None:
    with pytest.raises(RejectedError) as caught:
        topics.parse_reading(topic)

    assert caught.value.reason == "bad_topic"
    assert str(caught.value) == f"topic: {topic!r} is not sensors/<sensor_id>/<kind>"


def test_very_long_topic_is_cut_in_the_message() -> None:
    with pytest.raises(RejectedError) as caught:
        topics.parse_reading("x" * 65_535)

    assert len(str(caught.value)) < 300


def test_receipts_go_to_receipt_topics_alone() -> None:
    assert topics.is_receipts(topics.receipts("http_api-0123456789abcdef"))
    for topic in ("", "live", "receipts/", "receipts/+", "receipts/#", "receipts/a/b", "receipts/a\n", "status/bridge"):
        assert not topics.is_receipts(topic), topic


def test_dead_letters_are_mirrored_by_reason_and_statuses_by_service() -> None:
    assert topics.dead_letters("bad_json") == "dead_letters/bad_json"
    assert topics.status("bridge") == "status/bridge"
