"""History by a real store on the other side."""

import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.http_api.processes import Api
from tests.http_api.requests import HOSTILE_IDS, assert_problem
from tests.store.store_process import StoreProcess

NOON_US = 1_755_345_600_000_000  # 2025-08-16T12:00:00Z
DAY = {"start": "2025-08-16T00:00:00Z", "end": "2025-08-17T00:00:00Z"}


@pytest.fixture(scope="module", autouse=True)
def written(store: StoreProcess) -> None:
    """Three sensors, a reading each ten seconds for five minutes, all at the same times; and some telemetry."""
    lines = [
        f"sensor_readings,sensor_id=hall-{sensor} temperature={20 + sensor}.5,humidity={n}.0,pressure=1000.0,"
        f'client_ip="192.0.2.1" {NOON_US + n * 10_000_000}'
        for n in range(30)
        for sensor in (1, 2, 3)
    ]
    lines += [
        f"telemetry,sensor_id=pump rpm=900.0,ok=true {NOON_US}",
        f'telemetry,sensor_id=pump rpm=1100.0,state="a, \\"b\\"" {NOON_US + 1}',
        f"telemetry,sensor_id=yard lux=7.0 {NOON_US + 2}",
    ]
    assert store.write("\n".join(lines)).status_code == 204


def history(api: Api, one: str | None = None, /, **query: object) -> httpx.Response:
    path = "/api/v1/history" if one is None else f"/api/v1/sensor/{one}/history"
    return api.client.get(path, params=DAY | {name: str(value) for name, value in query.items()})


def rows(response: httpx.Response) -> list[dict[str, Any]]:
    assert response.status_code == 200, response.text
    found: list[dict[str, Any]] = response.json()["rows"]
    return found


def pages(api: Api, **query: object) -> Iterator[list[dict[str, Any]]]:
    cursor: dict[str, object] = {}
    while True:
        response = history(api, **query, **cursor)
        yield rows(response)
        if (after := response.json()["next"]) is None:
            return
        cursor = {"cursor": after}


def test_a_page_says_what_it_is_of(api: Api) -> None:
    answer = history(api, "hall-1", limit=1).json()

    assert answer.pop("next")
    assert answer == {
        "kind": "temperature_reading",
        "start": "2025-08-16T00:00:00.000Z",
        "end": "2025-08-17T00:00:00.000Z",
        "rows": [
            {
                "sensor_id": "hall-1",
                "id": NOON_US,
                "timestamp": "2025-08-16T12:00:00.000Z",
                "temperature": 21.5,
                "humidity": 0.0,
                "pressure": 1000.0,
            }
        ],
    }


def test_the_last_page_says_that_it_is_the_last(api: Api) -> None:
    assert history(api, "hall-1", limit=30).json()["next"] is None
    assert history(api, "hall-1", limit=29).json()["next"] is not None


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("limit", [1, 2, 7, 89])
def test_pages_have_each_row_once(api: Api, order: str, limit: int) -> None:
    got = [row for page in pages(api, order=order, limit=limit) for row in page]

    keys = [(row["id"], row["sensor_id"]) for row in got]
    assert len(keys) == 90
    assert keys == sorted(set(keys), reverse=order == "desc")


def test_pages_stay_while_readings_come(api: Api, store: StoreProcess) -> None:
    walk = pages(api, kind="telemetry", limit=1)
    first = next(walk)
    lines = [f"telemetry,sensor_id=aaa lux=1.0 {NOON_US - 5}", f"telemetry,sensor_id=zzz lux=1.0 {NOON_US + 9}"]
    assert store.write("\n".join(lines)).status_code == 204

    rest = [row for page in walk for row in page]

    assert [row["sensor_id"] for row in first + rest] == ["pump", "pump", "yard", "zzz"]


def test_bins_have_pages_too(api: Api) -> None:
    whole = rows(history(api, every="1m", agg="max"))

    got = [row for page in pages(api, every="1m", agg="max", limit=4) for row in page]

    assert got == whole
    assert len(whole) == 15
    assert (whole[0]["id"], whole[0]["humidity"], whole[-1]["humidity"]) == (NOON_US, 5.0, 29.0)


@pytest.mark.parametrize(
    ("agg", "expected"),
    [
        ("avg", 2.5), ("min", 0.0), ("max", 5.0), ("first", 0.0), ("last", 5.0), ("sum", 15.0), ("count", 6),
        ("median", 2.5),
    ],
)  # fmt: skip
def test_a_bin_is_what_was_asked(api: Api, agg: str, expected: float) -> None:
    answer = history(api, "hall-2", every="1m", agg=agg, fields="humidity", limit=1).json()

    assert (answer["every_s"], answer["agg"]) == (60, agg)
    assert answer["rows"][0] == {
        "sensor_id": "hall-2",
        "id": NOON_US,
        "timestamp": "2025-08-16T12:00:00.000Z",
        "humidity": expected,
    }


def test_bins_are_averages_where_nothing_is_said(api: Api) -> None:
    assert history(api, every="1h").json()["agg"] == "avg"


def test_the_sensors_can_be_named(api: Api) -> None:
    assert {row["sensor_id"] for row in rows(history(api, sensor_id="hall-1,hall-3"))} == {"hall-1", "hall-3"}
    assert {row["sensor_id"] for row in rows(history(api, prefix="hall-"))} == {"hall-1", "hall-2", "hall-3"}
    assert {row["sensor_id"] for row in rows(history(api, prefix="hall-1", sensor_id="hall-1,hall-2"))} == {"hall-1"}
    assert rows(history(api, prefix="nobody")) == []


def test_the_fields_can_be_named(api: Api) -> None:
    assert [set(row) for row in rows(history(api, fields="humidity,pressure", limit=1))] == [
        {"sensor_id", "id", "timestamp", "humidity", "pressure"}
    ]


def test_readings_without_the_named_fields_are_left_out(api: Api) -> None:
    assert {row["sensor_id"] for row in rows(history(api, kind="telemetry", fields="rpm"))} == {"pump"}


def test_averages_leave_out_what_is_no_number(api: Api) -> None:
    (row,) = rows(history(api, "pump", kind="telemetry", every="1d"))

    assert (row["rpm"], "state" in row, "ok" in row) == (1000.0, False, False)
    (row,) = rows(history(api, "pump", kind="telemetry", every="1d", agg="last"))
    assert (row["rpm"], row["state"], row["ok"]) == (1100.0, 'a, "b"', True)


def test_what_was_never_written_is_empty(api: Api) -> None:
    assert rows(history(api, kind="vat")) == []
    assert rows(history(api, kind="telemetry", fields="never_seen")) == []
    assert rows(history(api, "nobody")) == []
    assert history(api, kind="vat", format="csv").text == "sensor_id,id,timestamp,level,is_open,note\n"


def test_the_range_is_the_last_day_where_nothing_is_said(api: Api, store: StoreProcess) -> None:
    now_us = time.time_ns() // 1000
    ages_s = {"fresh": 60, "old": 90_000}
    lines = [
        f"vat_levels,sensor_id={name} level=1.0,is_open=true {now_us - age * 1_000_000}" for name, age in ages_s.items()
    ]
    assert store.write("\n".join(lines)).status_code == 204

    def found(**query: str) -> list[str]:
        response = api.client.get("/api/v1/history", params={"kind": "vat"} | query)
        return [row["sensor_id"] for row in rows(response)]

    assert found(fields="level") == ["fresh"]
    assert found(start="-2d") == ["old", "fresh"]
    assert found(start="-2d", end="-1h") == ["old"]


def test_the_format_is_chosen_by_accept_and_by_format(api: Api) -> None:
    def media_type(accept: str, **query: str) -> str:
        response = api.client.get("/api/v1/history", params=DAY | query, headers={"Accept": accept})
        assert response.status_code == 200
        return response.headers["content-type"].partition(";")[0]

    assert media_type("*/*") == "application/json"
    assert media_type("text/csv") == "text/csv"
    assert media_type("application/vnd.apache.parquet") == "application/vnd.apache.parquet"
    assert media_type("text/csv", format="ndjson") == "application/x-ndjson"
    assert media_type("image/png", format="arrow") == "application/vnd.apache.arrow.stream"


def test_accept_that_names_nothing_of_ours_is_406(api: Api) -> None:
    response = api.client.get("/api/v1/history", params=DAY, headers={"Accept": "image/png"})

    assert_problem(response, 406, "text/csv")


def test_an_export_has_all_rows_or_as_many_as_were_asked_for(api: Api) -> None:
    assert len(history(api, format="ndjson").text.splitlines()) == 90
    assert len(history(api, format="csv", limit=10).text.splitlines()) == 11
    assert [json.loads(line) for line in history(api, format="ndjson").text.splitlines()] == rows(history(api))


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_an_export_of_bins_has_what_the_pages_have(api: Api, order: str) -> None:
    lines = history(api, format="ndjson", every="70s", agg="last", order=order).text.splitlines()

    assert [json.loads(line) for line in lines] == rows(history(api, every="70s", agg="last", order=order))
    assert len(lines) == 15


def test_head_of_an_export_has_no_body(api: Api) -> None:
    response = api.client.head("/api/v1/history", params=DAY | {"format": "csv"})

    assert (response.status_code, response.headers["content-type"]) == (200, "text/csv; charset=utf-8")
    assert response.content == b""
    assert history(api, limit=1).status_code == 200


@pytest.mark.parametrize(
    ("query", "field", "words"),
    [
        ({"start": "yesterday"}, "start", "RFC 3339"),
        ({"start": DAY["end"], "end": DAY["start"]}, "start", "not before end"),
        ({"every": "0s"}, "every", "at least 1"),
        ({"every": "367d"}, "every", "at most"),
        ({"every": "1 minute"}, "every", ""),
        ({"agg": "avg"}, "agg", "every"),
        ({"agg": "stddev", "every": "1m"}, "agg", "avg"),
        ({"fields": "temperature,nonsense"}, "fields", "none of temperature, humidity, pressure"),
        ({"fields": ""}, "fields", "does not match"),
        ({"kind": "telemetry", "fields": "state", "every": "1h"}, "agg", "needs numbers"),
        ({"kind": "telemetry", "fields": "client_ip"}, "fields", "none of"),
        ({"kind": "nonsense"}, "kind", "telemetry"),
        ({"limit": 0}, "limit", "greater"),
        ({"limit": 10_001}, "limit", "10000"),
        ({"order": "up"}, "order", "asc"),
        ({"cursor": "nonsense"}, "cursor", "not from here"),
        ({"format": "xml"}, "format", "csv"),
        ({"prefix": "a'"}, "prefix", "pattern"),
        ({"sensor_id": "a,"}, "sensor_id", "does not match"),
        ({"sensor_id": ",".join(f"s{n}" for n in range(129))}, "sensor_id", "at most 128"),
        ({"color": "red"}, "color", "no such parameter"),
    ],
)
def test_a_wrong_parameter_is_422_and_named(api: Api, query: dict[str, object], field: str, words: str) -> None:
    problem = assert_problem(history(api, **query), 422)

    assert [each["field"] for each in problem["errors"]] == [field]
    assert words in problem["detail"]


def test_a_cursor_of_another_question_is_422(api: Api) -> None:
    cursor = history(api, limit=1).json()["next"]

    assert_problem(history(api, limit=1, cursor=cursor, order="desc"), 422, "another question")
    assert len(rows(history(api, limit=5, cursor=cursor))) == 5


NAMES = (
    "kind", "fields", "start", "end", "every", "agg", "limit", "order", "cursor", "format", "sensor_id", "prefix"
)  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE_IDS, ids=ascii)
def test_hostile_text_is_422_wherever_it_stands(api: Api, text: str) -> None:
    coded = "".join(f"%{byte:02X}" for byte in text.encode())
    paths = [f"/api/v1/sensor/{coded}/history"]
    paths += [f"/api/v1/history?{name}={coded}" for name in NAMES if (name, text) != ("sensor_id", "a,b")]

    for path in paths:
        assert_problem(api.client.get(httpx.URL(api.url, raw_path=path.encode())), 422)


def test_without_the_key_it_is_401(api: Api) -> None:
    assert_problem(httpx.get(f"{api.url}/api/v1/history"), 401)
    assert_problem(httpx.get(f"{api.url}/api/v1/sensor/a/history"), 401)
