from base64 import urlsafe_b64encode

import orjson
import pytest

from http_api.history_cursor import Cursor, decode, encode
from sensorflow.errors import RejectedError

CURSOR = Cursor(1, 2**63 - 1, 1_755_354_645_123_456_000, "sensor_001")
QUESTION = ["temperature_reading", ["temperature"], None]


def forged(*told: object) -> str:
    return urlsafe_b64encode(orjson.dumps(told)).decode()


def test_a_cursor_comes_back_as_it_was() -> None:
    text = encode(CURSOR, QUESTION)

    assert decode(text, QUESTION) == CURSOR
    assert len(encode(Cursor(-(2**63) + 1, 2**63 - 1, 2**63 - 1, "x" * 64), QUESTION)) < 300
    assert text.replace("-", "").replace("_", "").isalnum()


def test_a_cursor_of_another_question_is_refused() -> None:
    with pytest.raises(RejectedError, match="another question"):
        decode(encode(CURSOR, QUESTION), ["temperature_reading", ["humidity"], None])


@pytest.mark.parametrize(
    "text",
    [
        "", "x", "ä", "====", "A" * 301, "' OR 1=1 --", "\x00",
        forged(), forged(1), forged({}), forged(2, "", 1, 2, 3, "a"), forged(1, "", 1, 2, 2**63, "a"),
        forged(1, "", 1, 2, 3, "'"), forged(1, "", 1, 2, 3.5, "a"), forged(1, "", 1, 2, None, "a"),
    ],
)  # fmt: skip
def test_what_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(RejectedError, match="not from here"):
        decode(text, QUESTION)
