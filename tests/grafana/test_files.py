"""The files that Grafana reads at its start: complete, in agreement with each other, and none of them stale."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from grafana.alerts import provisioning
from grafana.build import HERE, built
from grafana.measures import Measure
from sensorflow.kinds import load_kinds
from tests.grafana.test_queries import panels_of

DASHBOARDS_PATH = "/etc/grafana/dashboards"  # where the dashboards are mounted in the container
UID = r"[A-Za-z0-9_-]{1,40}"

Dashboards = list[dict[str, Any]]
Rules = dict[str, dict[str, Any]]


def provisioned(name: str) -> Any:
    return yaml.safe_load((HERE / "provisioning" / name).read_text(encoding="utf-8"))


def test_committed_files_are_what_the_shipped_kinds_give() -> None:
    expected = built(load_kinds())
    committed = {path: (HERE / path).read_text(encoding="utf-8") for path in expected if (HERE / path).exists()}

    stale = [path for path, text in expected.items() if committed.get(path) != text]

    assert not stale, f"{stale} differ from what grafana/build.py writes; renew them with `make dashboards`"
    assert {f"dashboards/{path.name}" for path in (HERE / "dashboards").iterdir()} <= expected.keys()


def test_own_kinds_are_written_into_an_own_folder_with_all_that_grafana_reads(tmp_path: Path) -> None:
    environment = {"KINDS": str(HERE.parent / "examples/kinds/cip.py"), "PYTHONPATH": str(HERE.parent)}
    command = [sys.executable, "-m", "grafana.build", "--into", str(tmp_path / "mine")]

    subprocess.run(command, cwd=tmp_path, env=environment, check=True, timeout=60)

    def names(folder: Path) -> set[Path]:
        return {path.relative_to(folder) for path in folder.rglob("*") if path.suffix in {".json", ".yaml"}}

    assert names(tmp_path / "mine") == names(HERE)
    assert "cip: concentration" in (tmp_path / "mine/dashboards/overview.json").read_text(encoding="utf-8")
    assert "sensorflow-cip_readings-pressure" in (tmp_path / "mine/provisioning/alerting/rules.yaml").read_text()


def test_data_source_is_what_grafana_needs_for_influxdb_3() -> None:
    (source,) = provisioned("datasources/sensorflow.yaml")["datasources"]

    assert (source["uid"], source["type"], source["access"]) == ("sensorflow", "influxdb", "proxy")
    assert (source["url"], source["isDefault"], source["editable"]) == ("http://influxdb:8181", True, False)
    assert source["jsonData"]["version"] == "SQL"
    assert source["jsonData"]["insecureGrpc"] is True
    assert source["jsonData"]["dbName"] == "${INFLUX_DATABASE}"
    assert source["jsonData"]["timeInterval"] == "1s"
    assert source["secureJsonData"] == {"token": "$__file{/run/sensorflow/influx_token}"}


def test_dashboards_are_read_only_and_where_they_are_mounted() -> None:
    (provider,) = provisioned("dashboards/sensorflow.yaml")["providers"]

    assert (provider["type"], provider["options"]) == ("file", {"path": DASHBOARDS_PATH})
    assert (provider["allowUiUpdates"], provider["disableDeletion"]) == (False, True)
    assert "folderUid" not in provider


def test_each_dashboard_has_an_identity_and_no_number(dashboards: Dashboards) -> None:
    assert {each["uid"] for each in dashboards} == {"sensorflow-overview", "sensorflow-sensor", "sensorflow-pipeline"}
    for dashboard in dashboards:
        assert dashboard["title"]
        assert dashboard["schemaVersion"] == 42
        assert "id" not in dashboard, "Grafana would take it for another one's"
        assert dashboard["editable"] is False
        assert (dashboard["time"], dashboard["tags"]) == ({"from": "now-24h", "to": "now"}, ["sensorflow"])


def test_each_panel_has_an_id_a_place_and_words_for_no_data(dashboards: Dashboards) -> None:
    for dashboard in dashboards:
        panels = list(panels_of(dashboard))
        ids = [panel["id"] for panel in [*panels, *(row for row in dashboard["panels"] if row["type"] == "row")]]
        assert len(set(ids)) == len(ids)
        for panel in panels:
            assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
            assert panel["fieldConfig"]["defaults"]["noValue"]


def places(panels: list[dict[str, Any]]) -> Iterator[tuple[int, int]]:
    for panel in panels:
        grid = panel["gridPos"]
        yield from (
            (x, y) for x in range(grid["x"], grid["x"] + grid["w"]) for y in range(grid["y"], grid["y"] + grid["h"])
        )


def test_no_panel_covers_another(dashboards: Dashboards) -> None:
    for dashboard in dashboards:
        covered = list(places(dashboard["panels"]))
        assert len(set(covered)) == len(covered)


def test_every_data_source_that_is_used_is_provisioned(dashboards: Dashboards, rules: Rules) -> None:
    (source,) = provisioned("datasources/sensorflow.yaml")["datasources"]
    reference = {"type": source["type"], "uid": source["uid"]}

    for dashboard in dashboards:
        for panel in panels_of(dashboard):
            assert panel["datasource"] == reference
            assert [target["datasource"] for target in panel["targets"]] == [reference]
        assert all(variable["datasource"] == reference for variable in dashboard["templating"].get("list", []))
    assert {query["datasourceUid"] for rule in rules.values() for query in rule["data"]} == {source["uid"], "__expr__"}


def test_every_link_leads_to_a_dashboard_and_its_variables(dashboards: Dashboards) -> None:
    by_uid = {dashboard["uid"]: dashboard for dashboard in dashboards}
    links = re.findall(r'"url": "/d/([^/"]+)/[^?"]*\?([^"]*)"', json.dumps(dashboards))

    assert links
    for uid, query in links:
        known = {variable["name"] for variable in by_uid[uid]["templating"]["list"]}
        assert {
            part.split("=")[0].removeprefix("var-") for part in query.split("&") if part.startswith("var-")
        } <= known


def test_macros_without_arguments_have_parentheses(dashboards: Dashboards, rules: Rules) -> None:
    text = json.dumps([dashboards, rules])

    assert re.findall(r"\$__(?:interval|timeFrom|timeTo)(?!\()\b", text) == []


def test_rules_have_unique_names_and_end_up_beside_the_dashboards(files: dict[str, str], rules: Rules) -> None:
    (provider,) = provisioned("dashboards/sensorflow.yaml")["providers"]
    groups = yaml.safe_load(files["provisioning/alerting/rules.yaml"])["groups"]

    assert {group["folder"] for group in groups} == {provider["folder"]}
    assert len({rule["title"] for rule in rules.values()}) == sum(len(group["rules"]) for group in groups) == len(rules)
    assert [uid for uid in rules if not re.fullmatch(UID, uid)] == []


def test_rule_leads_to_a_panel_that_exists(dashboards: Dashboards, rules: Rules) -> None:
    panels = {(dashboard["uid"], panel["id"]) for dashboard in dashboards for panel in panels_of(dashboard)}

    assert {(rule["dashboardUid"], rule["panelId"]) for rule in rules.values()} <= panels


def test_grafana_expands_nothing_in_a_rule_when_it_reads_it(rules: Rules) -> None:
    for rule in rules.values():
        assert "$" not in "".join([rule["uid"], rule["title"], *rule["labels"].values()])
        assert not re.search(r"\$[{$]", "".join(rule["annotations"].values()))
        assert "${" not in rule["data"][0]["model"]["rawSql"], "a rule has no variables"


LONG_KIND = """
from sensorflow.kinds import Kind, measure

class Long(Kind):
    kind = "{0}"
    table = "{0}"

    {1}: float = measure("rpm", high=5)
    {1}_2: float = measure("°C", low=-5)
    plain: float
"""


def test_long_names_of_a_kind_still_give_short_unique_uids(tmp_path: Path) -> None:
    name = "a_kind_that_has_a_name_of_48_characters_in_total"
    (tmp_path / "long.py").write_text(LONG_KIND.format(name, "a_field_that_has_quite_a_long_name_too"))
    kinds = load_kinds([str(tmp_path / "long.py")])

    rules = yaml.safe_load(built(kinds)["provisioning/alerting/rules.yaml"])["groups"][0]["rules"]

    uids = [rule["uid"] for rule in rules]
    assert all(re.fullmatch(UID, uid) for uid in uids)
    assert len(set(uids)) == len(uids)


@pytest.mark.parametrize(
    ("measure", "normal", "unit", "colours"),
    [
        (Measure("t", "°C", -40, 60), "-40 to 60 °C", "celsius", [(None, "red"), (-40, "green"), (60, "red")]),
        (Measure("n", "rpm", None, 5), "at most 5 rpm", "suffix:rpm", [(None, "green"), (5, "red")]),
        (Measure("p", "hPa", 500, None), "at least 500 hPa", "pressurehpa", [(None, "red"), (500, "green")]),
        (Measure("x", "", 0, 1), "0 to 1", "short", [(None, "red"), (0, "green"), (1, "red")]),
    ],
)
def test_bounds_become_words_and_colours(
    measure: Measure, normal: str, unit: str, colours: list[tuple[float | None, str]]
) -> None:
    assert (measure.normal, measure.grafana_unit) == (normal, unit)
    assert [(step.value, step.color) for step in measure.thresholds.build().steps] == colours


def test_zero_is_a_bound(tmp_path: Path) -> None:
    (tmp_path / "zero.py").write_text(LONG_KIND.format("zero", "x").replace("high=5", "high=0"))
    kinds = load_kinds([str(tmp_path / "zero.py")])
    panels = _AnyId()

    groups: Any = provisioning(kinds, panels)["groups"]

    (rule,) = (rule for rule in groups[0]["rules"] if rule["uid"] == "sensorflow-zero-x")
    assert rule["data"][1]["model"]["conditions"] == [{"evaluator": {"type": "gt", "params": [0.0]}}]


class _AnyId(dict[tuple[str, str], int]):
    def __missing__(self, key: tuple[str, str]) -> int:
        return 1
