import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.sensorflow.cli.conftest import KEY, Answer, Api, Run

REPOSITORY = Path(__file__).parents[3]


@pytest.fixture
def climate(tmp_path: Path) -> Path:
    """Five rows, an hour apart."""
    rows = "".join(f"{hour}.5,{40 + hour},1000,2026-05-01T0{hour}:00:00Z\n" for hour in range(5))
    file = tmp_path / "climate.csv"
    file.write_text("\ufefftemperature,humidity,pressure,at\n" + rows, encoding="utf-8")
    return file


def summary(output: str) -> dict[str, int]:
    return {
        name: int(number.replace(",", ""))
        for name, number in re.findall(r"^ *([a-z]+) +([\d,]+)(?:  |$)", output, re.MULTILINE)
    }


def test_rows_are_posted_with_their_times_and_the_key(run: Run, api: Api, climate: Path) -> None:
    result = run("replay", climate, "--sensor-id", "s1", "--time-column", "at", "--concurrency", 1)

    assert result.exit_code == 0, result.output
    assert api.bodies[0] == {
        "temperature": 0.5,
        "humidity": 40.0,
        "pressure": 1000.0,
        "sensor_id": "s1",
        "time": "2026-05-01T00:00:00.000000Z",
    }
    assert (set(api.paths), api.keys) == ({"/api/v1/temperature_reading"}, {KEY})
    assert summary(result.stdout) == {"sent": 5, "durable": 5, "accepted": 0, "rejected": 0, "unanswered": 0}


def test_weather_file_of_the_readme_fits_its_command_and_the_window_of_times(run: Run, api: Api) -> None:
    result = run(
        *("replay", REPOSITORY / "examples/data/greensboro_hourly.csv", "--sensor-id", "greensboro", "--every", "1h"),
        *("--map", "temperature=temperature_c", "--map", "humidity=relative_humidity_pct"),
        *("--map", "pressure=pressure_hpa", "--until", "2026-11-01T05:00:00Z", "--limit", 20, "--concurrency", 1),
    )

    assert result.exit_code == 0, result.output
    assert [body["temperature"] for body in api.bodies[:5]] == [10.0, 10.0, 10.0, 10.0, 10.0]
    assert [body["pressure"] for body in api.bodies[:5]] == [993, 993, 993, 992, 992]
    assert api.bodies[0]["time"] == "2025-11-01T06:00:00.000000Z"  # 8,759 hours before the last one


def test_limit_leaves_the_times_of_the_rows_as_they_are(run: Run, api: Api, climate: Path) -> None:
    until = ("--until", "2026-11-01T05:00:00Z")

    result = run("replay", climate, "--sensor-id", "s", "--every", "1h", *until, "--limit", 2, "--concurrency", 1)

    assert result.exit_code == 0, result.output
    assert [body["time"][11:16] for body in api.bodies] == ["01:00", "02:00"]


def test_without_until_the_last_row_is_at_the_last_full_hour(run: Run, api: Api, climate: Path) -> None:
    run("replay", climate, "--sensor-id", "s", "--every", "1h")

    assert {body["time"][14:] for body in api.bodies} == {"00:00.000000Z"}


def test_accepted_and_rejected_are_told_apart_with_the_reason(run: Run, api: Api, climate: Path) -> None:
    def answer(body: dict[str, Any]) -> Answer:
        if body["temperature"] == 1.5:
            return 422, {}, {"title": "no", "detail": "temperature: too warm, got 1.5"}
        return (202 if body["temperature"] == 2.5 else 201), {}, {}

    api.answer = answer

    result = run("replay", climate, "--sensor-id", "s1", "--time-column", "at")

    assert result.exit_code == 1
    assert summary(result.stdout) == {"sent": 4, "durable": 3, "accepted": 1, "rejected": 1, "unanswered": 0}
    assert "  line 3: s1 at 2026-05-01T01:00:00.000000Z: 422: temperature: too warm, got 1.5" in result.stdout


def test_bad_rows_are_rejected_with_line_column_and_value_and_the_others_are_sent(
    run: Run, api: Api, tmp_path: Path
) -> None:
    file = tmp_path / "bad.csv"
    file.write_text("temperature,humidity,pressure\n1,2,3\nhot,2,3\n1,2\n\n1,2,3,4\n4,5,6\n")

    result = run("replay", file, "--sensor-id", "s", "--every", "1h")

    assert result.exit_code == 1
    assert summary(result.stdout) == {"sent": 2, "durable": 2, "accepted": 0, "rejected": 3, "unanswered": 0}
    assert "line 3: column temperature: 'hot' is not a finite number" in result.stdout
    assert "line 4: column pressure: '' is empty; pressure is required" in result.stdout
    assert "line 6: more cells than the 3 columns" in result.stdout


def test_times_of_a_spreadsheet_are_those_of_the_zone_given(run: Run, api: Api, tmp_path: Path) -> None:
    file = tmp_path / "sheet.csv"
    file.write_text("temperature,humidity,pressure,at\n1,2,3,2026-11-23 08:00:00\n")
    arguments = ("replay", file, "--sensor-id", "s", "--time-column", "at")

    without = run(*arguments)
    result = run(*arguments, "--time-zone", "Asia/Tokyo")

    assert "line 2: column at: '2026-11-23 08:00:00' has no offset; say where its clock was with --time-zone" in (
        without.stdout
    )
    assert result.exit_code == 0, result.output
    assert [body["time"] for body in api.bodies] == ["2026-11-22T23:00:00.000000Z"]


def test_busy_server_is_asked_again_after_the_time_it_names(run: Run, api: Api, climate: Path) -> None:
    refusals = threading.Semaphore(3)
    busy: Answer = (503, {"Retry-After": "1"}, {"detail": "spool full"})
    api.answer = lambda _: busy if refusals.acquire(blocking=False) else (201, {}, {})

    result = run("replay", climate, "--sensor-id", "s", "--time-column", "at")

    assert result.exit_code == 0, result.output
    assert summary(result.stdout)["durable"] == 5
    assert len(api.bodies) == 8
    seconds = re.search(r"in ([\d.]+) s", result.stdout)
    assert seconds
    assert float(seconds[1]) >= 1


def test_server_that_comes_up_late_gets_every_row(run: Run, api: Api, climate: Path) -> None:
    api.close()
    late = threading.Timer(0.5, api.open)
    late.start()

    result = run("replay", climate, "--sensor-id", "s", "--time-column", "at")

    late.join()
    assert result.exit_code == 0, result.output
    assert len({body["time"] for body in api.bodies}) == 5


def test_server_that_stays_away_ends_the_run_with_the_trouble(run: Run, api: Api, climate: Path) -> None:
    api.close()

    result = run("replay", climate, "--sensor-id", "s", "--time-column", "at", "--give-up-after", "0.3")

    assert result.exit_code == 1
    assert summary(result.stdout) == {"sent": 0, "durable": 0, "accepted": 0, "rejected": 0, "unanswered": 5}
    assert "gave up after 0.3 s without any success: http://127.0.0.1:" in result.stderr


def test_wrong_key_ends_the_run_at_once(run: Run, api: Api, climate: Path) -> None:
    api.answer = lambda _: (401, {}, {"detail": "X-API-Key is not the key"})

    result = run("replay", climate, "--sensor-id", "s", "--time-column", "at", "--concurrency", 1)

    assert result.exit_code == 1
    assert "answered 401: X-API-Key is not the key" in result.stderr
    assert len(api.bodies) == 1


def test_speed_makes_the_rows_come_as_far_apart_as_they_were(run: Run, api: Api, climate: Path) -> None:
    result = run("replay", climate, "--sensor-id", "s", "--time-column", "at", "--speed", 4 * 3600 / 0.4)

    seconds = re.search(r"in ([\d.]+) s", result.stdout)
    assert seconds
    assert 0.4 <= float(seconds[1]) < 2
    assert [body["temperature"] for body in api.bodies] == [0.5, 1.5, 2.5, 3.5, 4.5]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--every", "1h"], "either --sensor-id or --sensor-column"),
        (["--sensor-id", "s"], "either --time-column or --every"),
        (["--sensor-id", "a/b", "--every", "1h"], "--sensor-id: 'a/b' does not match"),
        (
            ["--sensor-id", "s", "--every", "1h", "--kind", "wind"],
            "temperature_reading; more come from the setting KINDS",
        ),
        (["--sensor-id", "s", "--every", "1h", "--map", "temperature=t"], "no column 't'; the columns are: temper"),
        (["--sensor-id", "s", "--every", "1h", "--until", "noon"], "time: 'noon' is not RFC 3339"),
        (["--sensor-id", "s", "--every", "1h", "--time-zone", "UTC"], "--time-zone is for --time-column"),
        (["--sensor-id", "s", "--time-column", "at", "--time-zone", "Mars"], "'Mars' is not an IANA time zone such as"),
        (["--sensor-id", "s", "--time-column", "at", "--time-zone", "../x"], "'../x' is not an IANA time zone such as"),
        (["--sensor-id", "s", "--every", "fast"], "'fast' is not a duration such as 1h"),
        (["--sensor-id", "s", "--every", "999999999d"], "is outside of the calendar"),
    ],
)
def test_wrong_call_is_explained_and_sends_nothing(
    run: Run, api: Api, climate: Path, arguments: list[str], message: str
) -> None:
    result = run("replay", climate, *arguments)

    assert result.exit_code == 2
    assert message in result.stderr
    assert not api.bodies


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "file.csv: cannot be read: No such file or directory\n"),
        (b"", "no rows below the line that names the columns"),
        (b"a,a\n1,2\n", "two columns are called 'a'"),
        (b"a\n\xff\n", "file.csv: not UTF-8 (byte 0xff); save it as CSV UTF-8\n"),
    ],
)
def test_file_that_is_no_csv_is_explained(run: Run, tmp_path: Path, content: bytes | None, message: str) -> None:
    file = tmp_path / "file.csv"
    if content is not None:
        file.write_bytes(content)

    result = run("replay", file, "--sensor-id", "s", "--every", "1h")

    assert result.exit_code == 2
    assert message in result.stderr


def test_missing_setting_is_named(run: Run, climate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("API_KEY")

    result = run("replay", climate, "--sensor-id", "s", "--every", "1h")

    assert "API_KEY: missing" in str(result.exception)


@pytest.mark.parametrize("command", ["replay", "simulate", "watch", "query", "dead-letters"])
def test_help_needs_no_settings_and_shows_an_example(
    run: Run, command: str, monkeypatch: pytest.MonkeyPatch, settings: Callable[..., None]
) -> None:
    for name in ("API_KEY", "INFLUX_TOKEN", "MQTT_PASSWORD", "MQTT_DEVICE_PASSWORD"):
        monkeypatch.delenv(name)

    result = run(command, "--help")

    assert result.exit_code == 0
    assert f"  sensorflow {command}" in result.stdout
