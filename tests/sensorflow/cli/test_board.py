import io

import pytest
from rich.console import Console

from sensorflow.cli.board import MAX_SENSORS, Board, age_text, line, values_text


def frame(sensor_id: str, time_us: int = 0, **values: object) -> dict[str, object]:
    return values | {"sensor_id": sensor_id, "timestamp": "T", "kind": "k", "id": time_us}


def shown(board: Board, now_us: int = 0, rows: int = 10) -> list[list[str]]:
    out = io.StringIO()
    Console(file=out, width=200).print(board.table(now_us, rows=rows))
    return [text.split() for text in out.getvalue().splitlines()[1:]]


def test_board_shows_the_last_values_age_and_count_by_sensor() -> None:
    board = Board()
    for reading in (frame("b", 1_000_000, v=1), frame("a", 2_000_000, v=2), frame("b", 3_000_000, v=3.5)):
        board.add(reading)

    assert shown(board, now_us=5_000_000) == [["a", "k", "v=2", "3", "s", "1"], ["b", "k", "v=3.5", "2", "s", "2"]]


def test_board_with_too_few_rows_shows_those_that_spoke_last() -> None:
    board = Board()
    for sensor_id in ("a", "b", "c", "a"):
        board.add(frame(sensor_id, v=1))

    assert [row[0] for row in shown(board, rows=2)] == ["a", "c"]


def test_board_forgets_who_was_silent_longest_when_it_is_full() -> None:
    board = Board()
    for number in range(MAX_SENSORS + 1):
        board.add(frame(f"s{number:04}", v=1))

    assert [row[0] for row in shown(board, rows=MAX_SENSORS + 1)][:2] == ["s0001", "s0002"]


def test_line_shows_texts_without_what_a_terminal_would_act_on() -> None:
    assert line(frame("a", note="x\x1b[2J[bold]", on=True)) == "T  a  k  note=x\\x1b[2J[bold] on=true"


def test_values_are_all_that_is_not_the_envelope() -> None:
    assert values_text(frame("a", v=1e-7, w="u")) == "v=1e-7 w=u"


@pytest.mark.parametrize(
    ("age_s", "text"), [(-5, "0 s"), (59.4, "59 s"), (60, "1 min"), (7200, "2 h"), (41 * 86400, "41 d")]
)
def test_age_is_in_the_largest_unit_that_it_fills(age_s: float, text: str) -> None:
    assert age_text(age_s) == text
