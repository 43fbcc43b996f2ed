"""Each alert rule, evaluated from its own query and threshold: false on a healthy system, true on a made fault."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count
from typing import Any

import pyarrow as pa
import pytest
from adbc_driver_manager import ProgrammingError

from grafana.measures import Measure, measures_of
from sensorflow.kinds import Kind
from tests.grafana import plant
from tests.grafana.engines import Engines, answer, connected
from tests.grafana.grafana_server import Instance, TimeRange, evaluate, rendered, with_macros
from tests.store.store_process import StoreProcess

SILENT = "sensorflow-silent-sensor_readings"
WAITING, UNHEARD_OF, DEAD_LETTERS = "sensorflow-waiting", "sensorflow-unheard-of", "sensorflow-dead-letters"
DATABASE = "alerts"
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
WRITERS: dict[str, Callable[..., str]] = {"sensor_readings": plant.climate, "cip_readings": plant.cip}
BOUNDED = [
    pytest.param(kind, measure, id=f"{kind.kind}-{measure.name}")
    for kind in plant.kinds().values()
    for measure in measures_of(kind)
    if measure.is_bounded
]

Rules = dict[str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Plant:
    """One moment at which everything was well until a test writes something else; no rule sees another's rows."""

    at: datetime
    store: StoreProcess
    connection: Any

    def write(self, *lines: str) -> None:
        response = self.store.write("\n".join(lines), db=DATABASE)
        assert response.status_code == 204, response.text

    def evaluate(self, rule: dict[str, Any]) -> list[Instance]:
        return evaluate(rule, lambda sql: answer(self.connection, sql), self.at)

    def bad(self, rule: dict[str, Any]) -> list[Instance]:
        return [instance for instance in self.evaluate(rule) if instance.is_bad]


@pytest.fixture(scope="module")
def connection(grafana_store: StoreProcess, now: datetime) -> Iterator[Any]:
    grafana_store.write("\n".join(healthy(now - 1000 * DAY)), db=DATABASE)
    with connected(grafana_store, DATABASE) as connection:
        yield connection


moments = count(1)


@pytest.fixture
def empty(grafana_store: StoreProcess, connection: Any, now: datetime) -> Plant:
    """Nothing was written for days."""
    return Plant(now - next(moments) * 3 * DAY, grafana_store, connection)


@pytest.fixture
def well(empty: Plant) -> Plant:
    empty.write(*healthy(empty.at))
    return empty


def healthy(at: datetime) -> Iterator[str]:
    for minutes in range(20):
        then = at - minutes * MINUTE
        yield from (plant.climate("a", then), plant.climate("b", then - 14 * MINUTE), plant.telemetry("boiler", then))
        yield plant.cip("tank1", then)
    for n in range(120):
        yield plant.stats(
            at - timedelta(seconds=10 * n + 5), accepted=5000 - n, stored=4997 - n, dead_letters=3, spool_oldest_s=0.4
        )


def test_no_rule_is_true_on_a_healthy_system(well: Plant, rules: Rules) -> None:
    instances = {uid: well.evaluate(rule) for uid, rule in rules.items()}

    assert all(instances.values()), "each rule has something to judge"
    assert [instance for each in instances.values() for instance in each if instance.is_bad] == []


def test_no_rule_wakes_anyone_on_a_system_that_has_just_started(empty: Plant, rules: Rules) -> None:
    empty.write(plant.stats(empty.at - timedelta(seconds=4)))

    states = {
        uid: any(instance.is_bad for instance in instances)
        if (instances := empty.evaluate(rule))
        else rule["noDataState"]
        for uid, rule in rules.items()
    }

    assert set(states.values()) <= {False, "OK"}


@pytest.mark.parametrize("uid", ["sensor_readings", "telemetry", "cip_readings"])
def test_sensor_without_a_reading_for_a_quarter_of_an_hour_is_silent(well: Plant, rules: Rules, uid: str) -> None:
    write = {**WRITERS, "telemetry": plant.telemetry}[uid]
    well.write(write("lost", well.at - 16 * MINUTE), write("late", well.at - 14 * MINUTE))

    (silent,) = well.bad(rules[f"sensorflow-silent-{uid}"])

    assert (silent.labels, silent.value) == ({"sensor_id": "lost"}, 960)


def test_sensor_that_was_not_seen_for_a_day_is_no_longer_called_silent(well: Plant, rules: Rules) -> None:
    well.write(plant.climate("gone", well.at - DAY - MINUTE), plant.climate("going", well.at - DAY + MINUTE))

    assert [instance.labels["sensor_id"] for instance in well.bad(rules[SILENT])] == ["going"]


def beyond(measure: Measure) -> Iterator[float]:
    if measure.low is not None:
        yield measure.low - 0.5
    if measure.high is not None:
        yield measure.high + 0.5


@pytest.mark.parametrize(("kind", "measure"), BOUNDED)
def test_newest_value_beyond_a_bound_is_called_out(
    well: Plant, rules: Rules, kind: type[Kind], measure: Measure
) -> None:
    write, rule = WRITERS[kind.table], rules[f"sensorflow-{kind.table}-{measure.name}"]

    for n, value in enumerate(beyond(measure)):
        well.write(
            write(f"off{n}", well.at - 2 * MINUTE),
            write(f"off{n}", well.at - MINUTE, **{measure.name: value}),
            write(f"was-off{n}", well.at - 2 * MINUTE, **{measure.name: value}),
            write(f"was-off{n}", well.at - MINUTE),
        )

    assert [(bad.labels, bad.value) for bad in well.bad(rule)] == [
        ({"sensor_id": f"off{n}"}, value) for n, value in enumerate(beyond(measure))
    ]


@pytest.mark.parametrize(("kind", "measure"), BOUNDED)
def test_value_on_a_bound_is_normal(well: Plant, rules: Rules, kind: type[Kind], measure: Measure) -> None:
    for n, bound in enumerate(bound for bound in (measure.low, measure.high) if bound is not None):
        well.write(WRITERS[kind.table](f"edge{n}", well.at - MINUTE, **{measure.name: bound}))

    assert well.bad(rules[f"sensorflow-{kind.table}-{measure.name}"]) == []


def test_readings_that_wait_for_the_store_are_called_out(well: Plant, rules: Rules) -> None:
    well.write(plant.stats(well.at - timedelta(seconds=2), accepted=5100, stored=4990, spooled=107, spool_oldest_s=75))

    (waiting,) = well.bad(rules[WAITING])

    assert (waiting.labels, waiting.value) == ({"service": "bridge"}, 75)
    assert well.bad(rules[UNHEARD_OF]) == []


def test_bridge_that_fell_silent_is_called_out(empty: Plant, rules: Rules) -> None:
    empty.write(*(plant.stats(empty.at - timedelta(seconds=125 + 10 * n)) for n in range(30)))

    (unheard_of,) = empty.bad(rules[UNHEARD_OF])

    assert (unheard_of.labels, unheard_of.value) == ({"service": "bridge"}, 125)


def test_no_data_and_no_answer_mean_that_the_pipeline_is_down(empty: Plant, rules: Rules) -> None:
    assert empty.evaluate(rules[UNHEARD_OF]) == []
    assert (rules[UNHEARD_OF]["noDataState"], rules[UNHEARD_OF]["execErrState"]) == ("Alerting", "Alerting")


def test_each_other_rule_keeps_its_state_while_the_store_does_not_answer(rules: Rules) -> None:
    others = [rule for uid, rule in rules.items() if uid != UNHEARD_OF]

    assert {(rule["noDataState"], rule["execErrState"]) for rule in others} == {("OK", "KeepLast")}


def test_dead_letters_that_rise_are_called_out(well: Plant, rules: Rules) -> None:
    well.write(plant.stats(well.at - timedelta(seconds=2), accepted=5003, stored=4998, dead_letters=5))

    (rising,) = well.bad(rules[DEAD_LETTERS])

    assert (rising.labels, rising.value) == ({"service": "bridge"}, 2)


def test_dead_letters_that_are_older_than_the_window_are_not_called_out(well: Plant, rules: Rules) -> None:
    well.write(plant.stats(well.at - 16 * MINUTE, accepted=4000, stored=3998, dead_letters=2))

    assert well.bad(rules[DEAD_LETTERS]) == []


def test_spool_that_was_deleted_is_no_rise_of_dead_letters(well: Plant, rules: Rules) -> None:
    well.write(plant.stats(well.at - timedelta(seconds=2), accepted=0, stored=0, dead_letters=0))

    assert well.bad(rules[DEAD_LETTERS]) == []


def test_table_that_does_not_exist_yet_is_an_error_that_grafana_lets_pass(
    grafana_store: StoreProcess, rules: Rules
) -> None:
    grafana_store.write("unrelated x=1", db="without-telemetry")
    rule = rules["sensorflow-silent-telemetry"]

    with (
        connected(grafana_store, "without-telemetry") as connection,
        pytest.raises(ProgrammingError, match=r"table 'public\.iox\.telemetry' not found"),
    ):
        evaluate(rule, lambda sql: answer(connection, sql), datetime.fromisoformat("2026-01-01T00:00:00Z"))

    assert rule["execErrState"] == "KeepLast"


def test_query_of_each_rule_gives_the_same_on_both_engines(engines: Engines, rules: Rules, now: datetime) -> None:
    for rule in rules.values():
        source = rule["data"][0]
        time_range = TimeRange.last(timedelta(seconds=source["relativeTimeRange"]["from"]), now)

        table = engines.run(with_macros(source["model"]["rawSql"], time_range, 64))

        assert table.num_rows > 0
        assert pa.types.is_floating(table.schema.types[-1])


@pytest.mark.parametrize(
    ("uid", "instance", "sentence"),
    [
        (
            SILENT,
            Instance({"sensor_id": "cellar"}, 2405, is_bad=True),
            "cellar has sent no temperature_reading for 40m 5s (limit: 15 min)",
        ),
        (
            "sensorflow-sensor_readings-temperature",
            Instance({"sensor_id": "oven"}, 75.25, is_bad=True),
            "temperature of oven is 75.25 °C, normal is -40 to 60 °C",
        ),
        (
            "sensorflow-cip_readings-pressure",
            Instance({"sensor_id": "tank1"}, 8.5, is_bad=True),
            "pressure of tank1 is 8.5 bar, normal is at most 8 bar",
        ),
        (
            WAITING,
            Instance({"service": "bridge"}, 3700, is_bad=True),
            "The oldest reading has waited for 1h 1m 40s to be stored (limit: 60 s)",
        ),
        (
            UNHEARD_OF,
            Instance({}, 0, is_bad=True),
            "The bridge has written nothing about itself for more than 120 s: it or the store is down",
        ),
        (
            DEAD_LETTERS,
            Instance({"service": "bridge"}, 12, is_bad=True),
            "12 readings were rejected in the last 15 minutes (limit: 0)",
        ),
    ],
)
def test_summary_says_who_what_and_how_far(rules: Rules, uid: str, instance: Instance, sentence: str) -> None:
    assert rendered(rules[uid]["annotations"]["summary"], instance) == sentence


def test_annotations_use_only_labels_and_values_that_their_rule_has(well: Plant, rules: Rules) -> None:
    for uid, rule in rules.items():
        (instance, *_) = well.evaluate(rule)
        text = " ".join(rule["annotations"].values())

        assert set(re.findall(r"\$labels\.(\w+)", text)) <= instance.labels.keys(), uid
        assert "{{" not in rendered(text, instance)
