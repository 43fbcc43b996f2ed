"""Every query of every dashboard, as Grafana sends it, on the embedded store and on InfluxDB 3's engine."""

import json
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import pyarrow as pa
import pytest

from bridge import stats
from bridge.declarations import declarations
from grafana.build import built
from sensorflow.influx import Influx
from tests.grafana import plant
from tests.grafana.engines import Engines, answer, connected
from tests.grafana.grafana_server import TimeRange, check_frame, with_macros, with_variables
from tests.store.store_process import TOKEN, StoreProcess

RANGES = {"1h": timedelta(hours=1), "24h": timedelta(days=1), "30d": timedelta(days=30), "1y": timedelta(days=365)}

CHOICES = [
    {"kind": "sensor_readings", "sensor": "greensboro", "field": "temperature"},
    {"kind": "sensor_readings", "sensor": "workshop", "field": "pressure"},
    {"kind": "telemetry", "sensor": "boiler", "field": "watts"},
    {"kind": "telemetry", "sensor": "boiler", "field": "starts"},
    {"kind": "telemetry", "sensor": "pump", "field": "litres"},
    {"kind": "cip_readings", "sensor": "tank1", "field": "concentration"},
]
NO_CHOICE: dict[str, str] = {}


class Case(NamedTuple):
    panel: dict[str, Any]
    variables: dict[str, str]

    @property
    def name(self) -> str:
        return "-".join([str(self.panel["title"]), *self.variables.values()])


def panels_of(dashboard: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for panel in dashboard["panels"]:
        yield from panel["panels"] if panel["type"] == "row" else [panel]


def _dashboards() -> dict[str, dict[str, Any]]:
    files = built(plant.kinds())
    return {path: json.loads(text) for path, text in files.items() if path.endswith(".json")}


DASHBOARDS = {dashboard["uid"]: dashboard for dashboard in _dashboards().values()}
CASES = [
    Case(panel, choice)
    for uid, dashboard in DASHBOARDS.items()
    for panel in panels_of(dashboard)
    for choice in (CHOICES if uid == "sensorflow-sensor" else [NO_CHOICE])
]
VARIABLES = {each["name"]: each for each in DASHBOARDS["sensorflow-sensor"]["templating"]["list"]}


def interval_ms(panel: dict[str, Any], time_range: TimeRange) -> int:
    return time_range.interval_ms(panel.get("maxDataPoints", 1000), panel.get("interval", "1s"))


@pytest.mark.parametrize("span", RANGES.values(), ids=RANGES)
@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_panel_shows_data_which_is_the_same_on_both_engines(
    engines: Engines, now: datetime, case: Case, span: timedelta
) -> None:
    (target,) = case.panel["targets"]
    time_range = TimeRange.last(span, now)
    sql = with_variables(target["rawSql"], case.variables)

    table = engines.run(with_macros(sql, time_range, interval_ms(case.panel, time_range)))

    assert table.num_rows > 0
    assert any(value is not None for value in table.columns[-1].to_pylist())
    check_frame(table, target["format"])


def options(engines: Engines, name: str, now: datetime, **variables: str) -> list[str]:
    """Ask for a variable's values as its drop-down list does."""
    sql = with_variables(VARIABLES[name]["query"]["query"], variables)
    table = engines.run(with_macros(sql, TimeRange.last(RANGES["24h"], now), 1000))
    assert table.schema.types == [pa.string()]
    values: list[str] = table.columns[0].to_pylist()
    return values


def test_kind_variable_shows_kinds_and_stands_for_their_tables(engines: Engines, now: datetime) -> None:
    pattern = VARIABLES["kind"]["regex"].strip("/").replace("(?<", "(?P<")

    found = [re.fullmatch(pattern, option) for option in options(engines, "kind", now)]

    assert [(match["text"], match["value"]) for match in found if match] == [
        ("cip", "cip_readings"),
        ("telemetry", "telemetry"),
        ("temperature_reading", "sensor_readings"),
    ]
    assert VARIABLES["kind"]["current"] == {"text": "temperature_reading", "value": "sensor_readings"}


def test_sensor_variable_lists_the_sensors_of_the_kind_in_the_time_range(engines: Engines, now: datetime) -> None:
    assert options(engines, "sensor", now, kind="sensor_readings") == ["cellar", "greensboro", "workshop"]
    assert options(engines, "sensor", now, kind="telemetry") == ["boiler", "pump"]


def test_field_variable_lists_numbers_only(engines: Engines, now: datetime) -> None:
    assert options(engines, "field", now, kind="sensor_readings") == ["humidity", "pressure", "temperature"]
    assert options(engines, "field", now, kind="telemetry") == ["litres", "starts", "watts"]
    assert options(engines, "field", now, kind="cip_readings") == ["concentration", "pressure", "temperature"]


@pytest.mark.parametrize("uid", DASHBOARDS)
def test_points_of_a_panel_are_whole_seconds_apart_whatever_the_range(uid: str, now: datetime) -> None:
    minimum_ms = 10_000 if uid == "sensorflow-pipeline" else 1000

    for panel in panels_of(DASHBOARDS[uid]):
        if "$__dateBin" in panel["targets"][0]["rawSql"]:
            assert interval_ms(panel, TimeRange.last(timedelta(seconds=30), now)) >= minimum_ms
            assert interval_ms(panel, TimeRange.last(RANGES["1y"], now)) >= 3_600_000


def panel(uid: str, title: str) -> dict[str, Any]:
    return next(each for each in panels_of(DASHBOARDS[uid]) if each["title"] == title)


def rows_of(engines: Engines, panel: dict[str, Any], time_range: TimeRange) -> list[dict[str, Any]]:
    sql = with_macros(panel["targets"][0]["rawSql"], time_range, interval_ms(panel, time_range))
    rows: list[dict[str, Any]] = engines.run(sql).to_pylist()
    return rows


def test_overview_counts_who_reports_and_who_is_silent(engines: Engines, now: datetime) -> None:
    day = TimeRange.last(RANGES["24h"], now)

    (counts,) = rows_of(engines, panel("sensorflow-overview", "temperature_reading: sensors"), day)
    (silent,) = rows_of(engines, panel("sensorflow-overview", "temperature_reading: silent sensors"), day)

    assert counts == {"active": 2, "silent": 1}
    assert (silent["sensor_id"], silent["silent_for"]) == ("cellar", 40 * 60)


def test_rates_are_right_across_a_restart(engines: Engines, now: datetime) -> None:
    rates = rows_of(engines, panel("sensorflow-pipeline", "Readings per second"), TimeRange.last(RANGES["24h"], now))

    assert {round(rate["accepted"], 6) for rate in rates} == {2.5}


def test_stored_readings_that_are_sent_again_are_no_counter_that_began_anew(engines: Engines, now: datetime) -> None:
    rates = rows_of(engines, panel("sensorflow-pipeline", "Readings per second"), TimeRange.last(RANGES["1h"], now))

    # 25 readings in 10 s, and at most 240 that waited before
    assert 0 <= min(rate["stored"] for rate in rates) <= max(rate["stored"] for rate in rates) <= 26.5


def test_counter_that_began_anew_counts_from_zero(engines: Engines, now: datetime) -> None:
    (totals,) = rows_of(engines, panel("sensorflow-pipeline", "In this time range"), TimeRange.last(RANGES["24h"], now))

    before, after = (1079 - 90) // 100, (2159 - 1080) // 200
    assert totals["live_dropped"] == before + after
    assert totals["dead_letters"] == 2159 // 500


def test_bridge_writes_the_columns_that_the_made_one_has(engines: Engines) -> None:
    made = engines.run("SELECT column_name FROM information_schema.columns WHERE table_name = 'pipeline_stats'")

    assert set(made["column_name"].to_pylist()) == {"time", stats.TAG, *stats.FIELDS}


def test_nothing_is_an_error_on_a_system_without_a_reading(grafana_store: StoreProcess, now: datetime) -> None:
    influx = Influx(grafana_store.url, TOKEN, "empty")
    for wanted in declarations(plant.kinds()):
        influx.declare(wanted.table, wanted.tags, wanted.fields)
    influx.close()
    day = TimeRange.last(RANGES["24h"], now)
    first = {"kind": "sensor_readings", "sensor": "", "field": "temperature"}
    rows = [each for dashboard in DASHBOARDS.values() for each in dashboard["panels"]]
    panels = [panel for row in rows for panel in ([row] if row["type"] != "row" else row["panels"])]

    with connected(grafana_store, "empty") as connection:
        for each in panels:
            sql = with_macros(with_variables(each["targets"][0]["rawSql"], first), day, interval_ms(each, day))
            assert answer(connection, sql).num_rows <= 1, each["title"]
        kinds = answer(connection, with_variables(VARIABLES["kind"]["query"]["query"], {}))

    assert kinds["kind"].to_pylist() == [
        "cip cip_readings",
        "telemetry telemetry",
        "temperature_reading sensor_readings",
    ]
