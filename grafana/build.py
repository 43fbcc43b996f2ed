"""Write Grafana's dashboards and alert rules from the kinds: ``python -m grafana.build [--into DIR]``.

What it writes for the shipped kinds is committed. With kinds of your own, name them in ``KINDS`` as for the services
and write into a directory of your own, which gets all that Grafana reads.
"""

from __future__ import annotations

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import TYPE_CHECKING

import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder

from grafana.alerts import provisioning
from grafana.overview import overview
from grafana.panels import numbered, panels_of
from grafana.pipeline import pipeline
from grafana.sensor import sensor
from sensorflow.settings import Common, read

if TYPE_CHECKING:
    from grafana_foundation_sdk.models.dashboard import Dashboard

    from sensorflow.kinds import Kinds

HERE = Path(__file__).parent
_BY_HAND = ("provisioning/dashboards/sensorflow.yaml", "provisioning/datasources/sensorflow.yaml")


def main() -> None:
    """The command."""
    parser = ArgumentParser(prog="python -m grafana.build", description="Write dashboards and alert rules.")
    parser.add_argument("--into", type=Path, default=HERE, metavar="DIR", help="default: where the shipped ones are")
    into: Path = parser.parse_args().into
    for path, text in built(read(Common).load_kinds()).items():
        _write(into / path, text)
    if into.resolve() != HERE:
        for path in _BY_HAND:
            _write(into / path, (HERE / path).read_text(encoding="utf-8"))


def built(kinds: Kinds) -> dict[str, str]:
    """The content of each file by its path. The same kinds give the same bytes."""
    dashboards = [numbered(dashboard.build()) for dashboard in (overview(kinds), sensor(kinds), pipeline())]
    rules = provisioning(kinds, _panel_ids(dashboards))
    return {
        **{f"dashboards/{str(dashboard.title).lower()}.json": _json(dashboard) for dashboard in dashboards},
        "provisioning/alerting/rules.yaml": "# Written by grafana/build.py; `make dashboards` renews it.\n"
        + _yaml(rules),
    }


def _panel_ids(dashboards: list[Dashboard]) -> dict[tuple[str, str], int]:
    return {
        (str(dashboard.uid), str(panel.title)): int(panel.id_val or 0)
        for dashboard in dashboards
        for panel in panels_of(dashboard)
    }


def _json(dashboard: Dashboard) -> str:
    return json.dumps(dashboard, cls=JSONEncoder, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


class _Dumper(yaml.SafeDumper):
    """Shows SQL as it was written."""


def _as_block(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _as_block)


def _yaml(content: object) -> str:
    return yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
