"""What Grafana does to a query before it is sent, and to the answer before a panel or an alert rule sees it.

There is no Grafana to run the tests against, so these are its rules, read in its source (12.4, October 2026):

* macros: pkg/tsdb/influxdb/fsql/macro.go, and data/sqlutil/macros.go of grafana-plugin-sdk-go;
* variables: the formats ``raw`` and ``sqlstring`` of public/app/features/variables/utils.ts;
* intervals: packages/grafana-data/src/datetime/rangeutil.ts;
* types and the time column: pkg/tsdb/influxdb/fsql/arrow.go;
* number tables: pkg/expr/converter.go, thresholds: pkg/expr/threshold.go.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

_ROUNDED_MS = (
    (10, 1), (15, 10), (35, 20), (75, 50), (150, 100), (350, 200), (750, 500), (1500, 1000), (3500, 2000),
    (7500, 5000), (12_500, 10_000), (17_500, 15_000), (25_000, 20_000), (45_000, 30_000), (90_000, 60_000),
    (210_000, 120_000), (450_000, 300_000), (750_000, 600_000), (1_050_000, 900_000), (1_500_000, 1_200_000),
    (2_700_000, 1_800_000), (5_400_000, 3_600_000), (9_000_000, 7_200_000), (16_200_000, 10_800_000),
    (32_400_000, 21_600_000), (86_400_000, 43_200_000), (604_800_000, 86_400_000), (1_814_400_000, 604_800_000),
    (3_628_800_000, 2_592_000_000),
)  # fmt: skip
_UNITS_S = {"s": 1, "m": 60, "h": 3600}


@dataclass(frozen=True, slots=True)
class TimeRange:
    """What the time picker says, or an alert rule's range."""

    start: datetime
    end: datetime

    @classmethod
    def last(cls, span: timedelta, end: datetime) -> "TimeRange":
        return cls(end - span, end)

    def interval_ms(self, max_points: int, min_interval: str) -> int:
        """Choose a panel's interval: its range over its points, rounded, and not below its minimum."""
        exact = (self.end - self.start) / timedelta(milliseconds=1) / max_points
        rounded = next((to for below, to in _ROUNDED_MS if exact < below), 31_536_000_000)
        return max(rounded, int(min_interval[:-1]) * _UNITS_S[min_interval[-1]] * 1000)


def with_variables(text: str, variables: Mapping[str, str]) -> str:
    """Put the values of single-value variables in place of ``${name:format}``."""

    def value(found: re.Match[str]) -> str:
        name, form = found.groups()
        assert form in {"raw", "sqlstring"}, f"{found[0]}: a data source may format it as it likes"
        return variables[name] if form == "raw" else "'" + variables[name].replace("'", "''") + "'"

    return re.sub(r"\$\{(\w+)(?::(\w+))?\}", value, text)


def with_macros(sql: str, time_range: TimeRange, interval_ms: int) -> str:
    """Expand the macros as the backend does, its traps included."""
    seconds = interval_ms // 1000
    start, end = _rfc3339(time_range.start), _rfc3339(time_range.end)
    epoch = "timestamp '1970-01-01T00:00:00Z'"
    macros: dict[str, Callable[[list[str]], str]] = {
        "dateBin": lambda args: f"date_bin(interval '{seconds} second', {args[0]}, {epoch})",
        "interval": lambda _: f"interval '{seconds} second'",
        "timeFrom": lambda _: f"cast('{start}' as timestamp)",
        "timeTo": lambda _: f"cast('{end}' as timestamp)",
        "timeFilter": lambda args: f"{args[0]} >= '{start}' AND {args[0]} <= '{end}'",
    }
    for name, expand in macros.items():
        for macro, arguments in _calls(sql, name):
            sql = sql.replace(macro, expand([argument.strip() for argument in arguments.split(",")]))
    return sql


def _calls(sql: str, name: str) -> list[tuple[str, str]]:
    """Find a macro with its arguments: what the next parentheses hold, wherever they are, unless one closes first."""
    found = []
    for match in re.finditer(rf"\$__{name}\b", sql):
        depth, opened, end = 0, 0, match.end()
        for place in range(match.start(), len(sql)):
            if sql[place] == "(":
                depth += 1
                opened = opened or place + 1
            elif sql[place] == ")":
                if depth == 0:
                    break
                depth -= 1
                end = place + 1
                if depth == 0:
                    break
        found.append((sql[match.start() : end], sql[opened : end - 1] if opened else ""))
    return found


def _rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def check_frame(table: pa.Table, output: str) -> None:
    """Fail where Grafana would show nothing, or something wrong."""
    shown = {pa.string(), pa.int64(), pa.float64(), pa.bool_(), pa.timestamp("ns")}
    assert {field.type for field in table.schema} <= shown
    if output != "time_series":
        return
    assert table.schema.field("time").type == pa.timestamp("ns")
    times = table["time"].cast(pa.int64()).to_pylist()
    assert times == sorted(times), "LongToWide wants ascending times"
    assert any(field.type in {pa.int64(), pa.float64(), pa.bool_()} for field in table.schema), "no value to draw"
    keys = [field.name for field in table.schema if field.name == "time" or field.type == pa.string()]
    labelled = table.select(keys).to_pylist() if len(keys) > 1 else []
    assert len({tuple(row.items()) for row in labelled}) == len(labelled), "two values for one series and time"


@dataclass(frozen=True, slots=True)
class Instance:
    """One alert of a rule: a row of its table."""

    labels: dict[str, str]
    value: float
    is_bad: bool


def evaluate(rule: Mapping[str, Any], query: Callable[[str], pa.Table], now: datetime) -> list[Instance]:
    """Run a rule's query and its threshold; no instances are Grafana's NoData."""
    source, threshold = rule["data"]
    assert rule["condition"] == threshold["refId"]
    assert threshold["model"]["expression"] == source["refId"]
    span = source["relativeTimeRange"]
    time_range = TimeRange(now - timedelta(seconds=span["from"]), now - timedelta(seconds=span["to"]))
    table = query(with_macros(source["model"]["rawSql"], time_range, source["model"].get("intervalMs", 64)))
    check_frame(table, source["model"]["format"])
    (evaluator,) = (condition["evaluator"] for condition in threshold["model"]["conditions"])
    numbers = [field.name for field in table.schema if field.type != pa.string()]
    assert len(numbers) == 1, "a number table has one number; every other column is a label"
    instances = []
    for row in table.to_pylist():
        value = row.pop(numbers[0])
        number = math.nan if value is None else float(value)
        instances.append(Instance({name: text or "" for name, text in row.items()}, number, _is_bad(number, evaluator)))
    assert len({str(each.labels) for each in instances}) == len(instances), "two rows with the same labels"
    return instances


def _is_bad(value: float, evaluator: Mapping[str, Any]) -> bool:
    limits = evaluator["params"]
    match evaluator["type"]:
        case "gt":
            return bool(value > limits[0])
        case "lt":
            return bool(value < limits[0])
        case "outside_range":
            return bool(value < limits[0] or value > limits[1])
    raise AssertionError(f"no threshold of type {evaluator['type']}")


def rendered(template: str, instance: Instance) -> str:
    """Fill in an annotation, of whose language ours use three forms."""

    def part(found: re.Match[str]) -> str:
        if label := re.fullmatch(r"\$labels\.(\w+)", found[1]):
            return instance.labels[label[1]]
        if form := re.fullmatch(r'printf "(%\.\d[fg])" \$values\.A\.Value', found[1]):
            return form[1] % instance.value
        assert found[1] == "humanizeDuration $values.A.Value", f"not one of the forms: {found[1]}"
        minutes, seconds = divmod(int(instance.value), 60)
        hours, minutes = divmod(minutes, 60)
        return f"{hours}h {minutes}m {seconds}s" if hours else f"{minutes}m {seconds}s"

    return re.sub(r"\{\{ (.*?) \}\}", part, template)
