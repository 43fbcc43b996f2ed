import pytest

from bridge import idempotency
from bridge.idempotency import MAX_AGE_US, Answers, Asked, asked
from sensorflow.errors import RejectedError

NOW_US = 1_755_354_645_123_456


def message(request: str = "r", number: int = 0, content: str = "c", payload: str = "p") -> Asked:
    return Asked(request.encode(), number, content.encode(), payload.encode())


def test_answer_is_found_again_as_it_was_given() -> None:
    answers = Answers()
    outcomes = [1, {"reason": "bad_time", "field": "time", "detail": "time: too old"}]

    answers.add(message(), outcomes, NOW_US)

    assert answers.find(message(), NOW_US + 1) == outcomes
    assert answers.find(message("another"), NOW_US) is None
    assert answers.find(message(number=1), NOW_US) is None


@pytest.mark.parametrize("other", [message(content="d"), message(number=1, content="d"), message(payload="q")])
def test_request_with_another_content_is_a_mismatch_whichever_of_its_messages_comes(other: Asked) -> None:
    answers = Answers()
    answers.add(message(), [1], NOW_US)

    with pytest.raises(RejectedError, match=r"^Idempotency-Key: it was used for another request before$") as caught:
        answers.find(other, NOW_US)

    assert caught.value.reason == "idempotency_mismatch"


def test_what_the_spool_kept_is_known_and_ids_go_on() -> None:
    before = Answers()
    kept = [before.add(message(str(number)), [number], NOW_US) for number in range(3)]

    after = Answers(kept)

    assert [after.find(message(str(number)), NOW_US) for number in range(3)] == [[0], [1], [2]]
    assert after.add(message("new"), [], NOW_US).id == 4


def test_oldest_are_forgotten_beyond_the_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idempotency, "MAX_ANSWERS", 2)
    answers = Answers()

    for number in range(3):
        answers.add(message(str(number)), [number], NOW_US)

    assert [answers.find(message(str(number)), NOW_US) for number in range(3)] == [None, [1], [2]]
    assert answers.oldest_id == 2


def test_oldest_are_forgotten_when_all_together_are_too_large_and_the_last_never(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(idempotency, "MAX_BYTES", 10)
    answers = Answers()

    answers.add(message("0"), [1, 2], NOW_US)
    answers.add(message("1"), [1, 2], NOW_US)
    assert answers.find(message("0"), NOW_US) == [1, 2]
    answers.add(message("2"), list(range(100)), NOW_US)

    assert [answers.find(message(str(number)), NOW_US) is None for number in range(3)] == [True, True, False]


def test_after_a_day_the_key_is_as_good_as_new() -> None:
    answers = Answers()
    answers.add(message(), [1], NOW_US)

    assert answers.find(message(), NOW_US + MAX_AGE_US) == [1]
    assert answers.find(message(content="d"), NOW_US + MAX_AGE_US + 1) is None
    assert answers.oldest_id == 2


def test_request_is_known_by_the_sensor_of_its_topic_too_but_not_by_the_kind() -> None:
    text = f"{'a' * 32}.{'b' * 32}.1f"

    one, other, same = (asked(text, topic, b"p") for topic in ("sensors/a/x", "sensors/b/x", "sensors/a/y"))

    assert one is not None
    assert (one.number, one.content) == (31, b"\xbb" * 16)
    assert one == same
    assert other is not None
    assert one.request != other.request
