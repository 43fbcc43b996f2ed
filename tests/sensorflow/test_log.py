import io
import json
import logging
import os
from collections.abc import Iterator

import pytest

from sensorflow.log import start_logging


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def test_json_event_is_one_line_with_time_level_service_and_message(capsys: pytest.CaptureFixture[str]) -> None:
    start_logging("INFO", "json")

    logging.getLogger("bridge").warning("topic %r", "a\nb")

    output = capsys.readouterr().err
    assert output.count("\n") == 1
    event = json.loads(output)
    assert event.pop("time").endswith("+00:00")
    assert event == {"level": "WARNING", "service": "bridge", "message": "topic 'a\\nb'"}


def test_json_event_of_an_exception_holds_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    start_logging("INFO", "json")

    try:
        os.environ["NO_WAY"]
    except KeyError:
        logging.getLogger("bridge").exception("it broke")

    assert "KeyError: 'NO_WAY'" in json.loads(capsys.readouterr().err)["exception"]


def test_text_event_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    start_logging("INFO", "text")

    logging.getLogger("bridge").info("started")

    assert capsys.readouterr().err.endswith(" INFO    bridge    started\n")


def test_what_is_below_the_level_is_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    start_logging("WARNING", "text")

    logging.getLogger("bridge").info("started")

    assert capsys.readouterr().err == ""


def test_context_and_extra_stand_in_each_line(capsys: pytest.CaptureFixture[str]) -> None:
    start_logging("INFO", "json", lambda: {"request_id": "r1"})
    logging.getLogger("http_api").info("done", extra={"route": "/x", "message_bytes": 7})
    event = json.loads(capsys.readouterr().err)
    start_logging("INFO", "text", lambda: {"request_id": "r1"})
    logging.getLogger("http_api").info("done", extra={"route": "/x"})

    assert (event["request_id"], event["route"], event["message_bytes"]) == ("r1", "/x", 7)
    assert "done" in (line := capsys.readouterr().err)
    assert line.count("\n") == 1
    assert {"request_id=r1", "route=/x"} <= set(line.split())


def test_foreign_text_cannot_fake_a_line_or_colour_one(capsys: pytest.CaptureFixture[str]) -> None:
    start_logging("INFO", "text")

    logging.getLogger("bridge").info("from %s", "a\nERROR\x1b[2J")

    assert capsys.readouterr().err.endswith("from a\\x0aERROR\\x1b[2J\n")


@pytest.mark.parametrize("value", ["\ud800", 2**70, {1}])
def test_what_json_cannot_say_is_still_a_line(value: object, capsys: pytest.CaptureFixture[str]) -> None:
    start_logging("INFO", "json")

    logging.getLogger("bridge").info("value %s", value, extra={"value": value})

    assert json.loads(capsys.readouterr().err)["message"].startswith("value ")


@pytest.mark.parametrize(("no_color", "is_coloured"), [("", True), ("1", False)])
def test_terminal_gets_colours_unless_it_wants_none(
    no_color: str, monkeypatch: pytest.MonkeyPatch, *, is_coloured: bool
) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("NO_COLOR", no_color)
    monkeypatch.setenv("TERM", "xterm")
    start_logging("INFO", "text")

    logging.getLogger("bridge").error("it broke")

    assert ("\x1b[1;31mERROR" in terminal.getvalue()) == is_coloured
    assert "it broke" in terminal.getvalue()
