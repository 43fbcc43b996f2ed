"""What no schema can say of a request, put right before it is sent; loaded by ``st``, see test_schemathesis.py."""

import re
import secrets
import time
from datetime import UTC, datetime
from typing import Any

import schemathesis

from http_api import idempotency

TYPES = {bool: "boolean", int: "number", float: "number", str: "string"}
# Of these formats no schema knows the grammar.
TEXTS = {
    "application/x-ndjson": '{"sensor_id": "pump_7", "kind": "telemetry", "rpm": 1480}\n' * 3,
    "text/plain": "telemetry,sensor_id=pump_7 rpm=1480\n" * 3,
}

first: dict[str, Any] = {}
"""Of each field of telemetry, the first value."""


@schemathesis.hook
def before_call(_: schemathesis.HookContext, case: schemathesis.Case[Any], __: Any) -> None:
    headers: Any = case.headers
    if re.fullmatch(idempotency.PATTERN, headers.get(idempotency.HEADER, "")):
        headers[idempotency.HEADER] = secrets.token_hex(16)  # one of its own for each request
    if isinstance(case.body, str) and case.media_type in TEXTS:
        case.body = TEXTS[case.media_type]
    for reading in case.body if isinstance(case.body, list) else [case.body]:
        if isinstance(reading, dict):
            if "time" in reading:
                reading["time"] = near(reading["time"])
            if case.path.endswith("/telemetry") or reading.get("kind") == "telemetry":
                reading |= {name: as_before(name, reading[name]) for name in reading.keys() - {"sensor_id", "time"}}


@schemathesis.serializer("application/x-ndjson")
def as_it_is(_: schemathesis.SerializationContext, value: Any) -> bytes:
    return str(value).encode()


def near(moment: Any) -> Any:
    """Now, which a reading's time has to be near, in the form in which it was given; what is no time stays as it is."""
    if isinstance(moment, bool):
        return moment
    if isinstance(moment, int | float):
        return time.time()
    try:
        has_offset = datetime.fromisoformat(moment).tzinfo is not None
    except (TypeError, ValueError):
        return moment
    return datetime.now(UTC).isoformat() if has_offset else moment


def as_before(name: str, value: Any) -> Any:
    """A value of the type that the field had at first, which decides."""
    if type(value) not in TYPES:
        return value
    before = first.setdefault(name, value)
    return value if TYPES[type(before)] == TYPES[type(value)] else before
