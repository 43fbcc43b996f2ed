"""Which real InfluxDB 3 the contract runs against."""

from pathlib import Path

import pytest

from tests.contract.target import real_target

URL = {"INFLUX_CONTRACT_URL": "http://influxdb.example:8181/"}


def test_there_is_none_unless_named() -> None:
    assert real_target({"INFLUX_CONTRACT_TOKEN": "apiv3_x"}) is None


def test_token_may_stand_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("apiv3_x\n")

    target = real_target({**URL, "INFLUX_CONTRACT_TOKEN_FILE": str(path)})

    assert target is not None
    assert (target.url, target.token) == ("http://influxdb.example:8181", "apiv3_x")
    assert "apiv3_x" not in repr(target)


def test_without_a_token_nothing_runs() -> None:
    with pytest.raises(ValueError, match="INFLUX_CONTRACT_URL needs INFLUX_CONTRACT_TOKEN"):
        real_target(URL)
