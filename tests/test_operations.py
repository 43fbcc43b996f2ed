"""docs/operations.md speaks of what there is, and of all of it."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.http_api.test_metrics import exposition

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs/operations.md").read_text()
RULES = yaml.safe_load((ROOT / "docs/prometheus-alerts.yaml").read_text())["groups"][0]["rules"]
SERVICES = ("bridge", "http_api", "sensorflow", "store", "ws")


def section(title: str) -> str:
    return TEXT.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def first_cells(title: str) -> list[str]:
    return re.findall(r"^\| `([^`]+)` \|", section(title), re.MULTILINE)


def exposed() -> dict[str, str]:
    """Types of metrics by name, of a process that runs on Linux."""
    return dict(re.findall(r"^# TYPE (\S+) (\S+)$", exposition({}), re.MULTILINE))


def log_lines() -> Iterator[str]:
    """What the services say as a warning or an error, with … for what differs."""
    for file in (each for service in SERVICES for each in (ROOT / service).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            if node.func.attr in {"warning", "error", "exception", "_say_once"} and node.args:
                said = node.args[0]
                if isinstance(said, ast.Constant) and isinstance(said.value, str) and said.value != "%s":
                    line = re.sub(r"%[.\d]*[a-z]", "…", said.value)
                    yield re.sub(r"(…:)+…", "…", line)


@pytest.mark.skipif(not Path("/proc/stat").exists(), reason="process_* come from Linux' /proc")
def test_each_metric_is_explained_and_there_is_none_that_is_not_there() -> None:
    assert sorted(first_cells("Metrics")) == sorted(exposed())


def test_each_histogram_is_called_one() -> None:
    told = {name for name in first_cells("Metrics") if f"| `{name}` | histogram: " in TEXT}

    assert told == {name for name, type_ in exposed().items() if type_ == "histogram"}


def test_each_alert_says_what_to_do() -> None:
    assert first_cells("Alerts") == [rule["alert"] for rule in RULES]
    assert all(rule["annotations"]["summary"] and rule["labels"]["severity"] for rule in RULES)


def test_alerts_ask_for_metrics_that_there_are() -> None:
    series = set()
    for name, type_ in exposed().items():
        series |= {f"{name}_{part}" for part in ("bucket", "count", "sum")} if type_ == "histogram" else {name}

    asked = {name for rule in RULES for name in re.findall(r"\b(?:sensorflow|process)_\w+", rule["expr"])}

    assert asked
    assert asked <= series


def test_each_warning_and_error_of_the_log_is_explained() -> None:
    explained = set(first_cells("Logs"))

    assert {line for line in log_lines() if line not in explained} == set()
