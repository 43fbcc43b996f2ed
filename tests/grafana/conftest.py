import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import yaml

from grafana.build import built
from tests.grafana import plant
from tests.grafana.engines import Engines, both, connected
from tests.store.store_process import StoreProcess


@pytest.fixture(scope="session")
def now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


@pytest.fixture(scope="session")
def grafana_store(tmp_path_factory: pytest.TempPathFactory, now: datetime) -> Iterator[StoreProcess]:
    """A store with the year of the made plant."""
    process = StoreProcess(tmp_path_factory.mktemp("grafana-store")).start()
    answer = process.write("\n".join(plant.year(now)))
    assert answer.status_code == 204, answer.text
    yield process
    process.stop()


@pytest.fixture(scope="session")
def engines(grafana_store: StoreProcess) -> Iterator[Engines]:
    with connected(grafana_store, "sensorflow") as connection:
        yield both(connection)


@pytest.fixture(scope="session")
def files() -> dict[str, str]:
    """What is built for the made plant's kinds: all that is shipped, and the same for a user's kind."""
    return built(plant.kinds())


@pytest.fixture(scope="session")
def dashboards(files: dict[str, str]) -> list[dict[str, Any]]:
    return [json.loads(text) for path, text in files.items() if path.endswith(".json")]


@pytest.fixture(scope="session")
def rules(files: dict[str, str]) -> dict[str, dict[str, Any]]:
    """The alert rules by uid."""
    groups = yaml.safe_load(files["provisioning/alerting/rules.yaml"])["groups"]
    return {rule["uid"]: rule for group in groups for rule in group["rules"]}
