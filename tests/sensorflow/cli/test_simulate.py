import signal
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

from sensorflow.cli.simulate import simulated
from sensorflow.kinds import TemperatureReading
from tests.sensorflow.cli.conftest import Api, Run

PROGRAM = "import typer; from sensorflow.cli import simulate; app = typer.Typer(); simulate.register(app); app()"


def test_readings_are_due_and_timed_at_the_rate() -> None:
    readings = simulated(TemperatureReading, ["a", "b"], rate=4, seed=1, count=3, start_us=0)

    schedule = [(due_s, reading.sensor_id, reading.time) for due_s, reading in readings]
    assert schedule == [
        (0.0, "a", "1970-01-01T00:00:00.000000Z"),
        (0.25, "b", "1970-01-01T00:00:00.250000Z"),
        (0.5, "a", "1970-01-01T00:00:00.500000Z"),
    ]


def test_without_a_count_readings_never_end_and_the_seed_decides_them() -> None:
    def some(seed: int) -> list[object]:
        endless = simulated(TemperatureReading, ["a"], rate=4, seed=seed, count=None, start_us=0)
        return [reading.values for _, reading in islice(endless, 100)]

    assert some(1) == some(1) != some(2)


def test_kind_of_the_user_is_simulated_within_its_bounds(
    run: Run, api: Api, tmp_path: Path, settings: Callable[..., None]
) -> None:
    (tmp_path / "tank.py").write_text(
        "from sensorflow.kinds import Kind, measure\n\n\n"
        "class Tank(Kind):\n    level: float = measure('m', ge=7, le=8)\n"
    )
    settings(kinds=tmp_path / "tank.py")

    result = run("simulate", "--kind", "tank", "--duration", "100ms", "--rate", "50")

    assert result.exit_code == 0, result.output
    assert len(api.bodies) == 5
    assert all(7 <= body["level"] <= 8 for body in api.bodies)


def test_kind_with_texts_that_nobody_could_guess_is_refused(
    run: Run, tmp_path: Path, settings: Callable[..., None]
) -> None:
    (tmp_path / "tag.py").write_text(
        "from pydantic import Field\nfrom sensorflow.kinds import Kind\n\n\n"
        "class Tag(Kind):\n    serial: str = Field(pattern='^[0-9]{8}$')\n"
    )
    settings(kinds=tmp_path / "tag.py")

    result = run("simulate", "--kind", "tag")

    assert result.exit_code == 1
    assert "cannot make up a tag: serial: String should match pattern" in result.stderr


def test_prefix_that_is_no_beginning_of_a_sensor_id_is_refused(run: Run) -> None:
    result = run("simulate", "--prefix", "a/b")

    assert result.exit_code == 2
    assert "--prefix: the sensor id 'a/b10' does not match" in result.stderr


def test_interrupt_ends_it_with_the_summary(api: Api) -> None:
    code, stdout, stderr = interrupted(api, signal.SIGINT)

    assert (code, stderr) == (0, "")
    assert f"durable  {len(api.bodies):>9,}" in stdout
    assert "unanswered         0" in stdout


def test_interrupt_ends_it_even_if_nobody_answers(api: Api) -> None:
    api.answer = lambda _: (503, {"Retry-After": "100"}, {"detail": "full"})

    code, stdout, stderr = interrupted(api, signal.SIGTERM)

    assert code == 1
    assert "stopped; no answer within" in stderr
    assert "503: full" in stderr
    assert "sent               0" in stdout


def interrupted(api: Api, number: signal.Signals) -> tuple[int, str, str]:
    """Let it run until it has sent something, then end it: exit code, standard output and error."""
    command = [sys.executable, "-c", PROGRAM, "--rate", "200"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 10
        while len(api.bodies) < 20 and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(number)
        stdout, stderr = process.communicate(timeout=10)
    return process.returncode, stdout, stderr
