"""The topics: the only place that puts one together or takes one apart. ``mosquitto/acl`` says who may use which."""

from __future__ import annotations

import re

from sensorflow.errors import FieldError, RejectedError
from sensorflow.kinds import KIND_PATTERN, SENSOR_ID_PATTERN

READINGS = "sensors/#"  # not sensors/+/+: a reading on a topic too many is a dead letter, not silence
LIVE = "live"
STATUSES = "status/+"

# In a sensor's place. No sensor can be called so, and no device with a user of its own may write there.
_MANY = "_"

_READING = re.compile(f"sensors/({SENSOR_ID_PATTERN[1:-1]}|{_MANY})/({KIND_PATTERN[1:-1]})")
_RECEIPTS = re.compile(r"receipts/[A-Za-z0-9._-]{1,64}")


def reading(sensor_id: str, kind: str) -> str:
    """Where readings go. Both parts must have been checked: a client's text never reaches a topic unchecked."""
    return f"sensors/{sensor_id}/{kind}"


def many(kind: str) -> str:
    """Where readings of many sensors go in one message: each names its own."""
    return reading(_MANY, kind)


def parse_reading(topic: str) -> tuple[str | None, str]:
    """Sensor id and kind of a reading's topic; None where each reading names its own sensor.

    Raises:
        RejectedError: ``bad_topic``.
    """
    match = _READING.fullmatch(topic)
    if not match:
        raise RejectedError("bad_topic", FieldError("topic", f"{topic!r:.200} is not sensors/<sensor_id>/<kind>"))
    return None if match[1] == _MANY else match[1], match[2]


def receipts(client_id: str) -> str:
    """Where the bridge tells one http_api what is durable."""
    return f"receipts/{client_id}"


def is_receipts(topic: str) -> bool:
    """Whether a response topic is one that the bridge will answer to."""
    return _RECEIPTS.fullmatch(topic) is not None


def status(service: str) -> str:
    """Where a service says how it is; retained."""
    return f"status/{service}"


def dead_letters(reason: str) -> str:
    """Where rejected readings are mirrored; the record is in the spool."""
    return f"dead_letters/{reason}"
