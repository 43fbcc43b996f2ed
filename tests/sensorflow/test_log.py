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
