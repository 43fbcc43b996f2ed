import httpx
import orjson
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families as text_families

from bridge.stats import Stats
from bridge.status import status
from http_api import health
from http_api.bridge_status import STALE_AFTER_S
from http_api.metrics import OPENMETRICS, TEXT, Facts, Metrics
from tests.bridge.conditions import condition
from tests.http_api.processes import KEY, KEY_WS, Api, StandIn, silence
from tests.http_api.requests import READING, assert_problem
from tests.waiting import until
from ws.hub import Hub

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def samples(exposition: str) -> Samples:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_families(exposition)
        for sample in family.samples
    }


def value(found: Samples, name: str, **labels: str) -> float:
    return found[name, frozenset(labels.items())]


def scraped(api: Api) -> Samples:
    response = api.client.get("/metrics")
    assert response.status_code == 200, response.text
    return samples(response.text)


def exposition(bridge: object, media_type: str = TEXT, silent_s: float = 1.5) -> str:
    """Of a quiet API that heard this of the bridge."""
    facts = Facts(
        health=health.Facts(
            has_broker=True,
            has_store=False,
            is_bridge_active=True,
            bridge_has_store=True,
            is_spool_full=False,
            has_failed=False,
            spool={},
        ),
        readings={("telemetry", "accepted"): 7},
        refused=3,
        hub=Hub().counters(),
        bridge=bridge if isinstance(bridge, dict) else {},
        bridge_silent_s=silent_s,
    )
    metrics = Metrics("1.2.3")
    metrics.expose(lambda: facts)
    return metrics.exposition(media_type).decode()


def test_of_the_bridge_all_that_its_status_says_is_exposed() -> None:
    stats = Stats()
    stats.committed(0.004, 50)
    stats.stored(0.3)
    said = orjson.loads(
        status(
            condition(
                process={"memory_bytes": 5_000_000, "cpu_s": 1.5, "open_files": 9}, since_start=stats.since_start()
            ),
            "running",
        )
    )

    found = samples(exposition(said))

    assert value(found, "sensorflow_readings_accepted_total") == 10
    assert value(found, "sensorflow_spool_oldest_seconds") == 1.5
    assert value(found, "sensorflow_spool_full") == 0
    assert value(found, "sensorflow_bridge_store_up") == 1
    assert value(found, "sensorflow_bridge_memory_bytes") == 5_000_000
    assert value(found, "sensorflow_bridge_silent_seconds") == 1.5
    assert value(found, "sensorflow_commit_seconds_bucket", le="0.0025") == 0
    assert value(found, "sensorflow_commit_seconds_bucket", le="0.005") == 1
    assert value(found, "sensorflow_commit_seconds_bucket", le="+Inf") == 1
    assert value(found, "sensorflow_commit_readings_sum") == 50
    assert value(found, "sensorflow_store_delay_seconds_sum") == 0.3


def test_every_family_of_the_bridge_has_a_sample_once_it_has_spoken() -> None:
    stats = Stats()
    process = {"memory_bytes": 1, "cpu_s": 1, "open_files": 1}
    said = orjson.loads(status(condition(process=process, since_start=stats.since_start()), "running"))
    # Nothing was measured or rejected yet, or it is of the process, which measures here as it does in the bridge.
    without = {"sensorflow_dead_letters_by_reason", "sensorflow_http_request_seconds"}

    empty = {family.name for family in text_families(exposition(said)) if not family.samples}

    assert empty <= without


@pytest.mark.parametrize(
    "said",
    [
        {"service": "bridge", "state": "gone"},
        {"counters": 7, "spool": [], "process": None, "since_start": {"commit_s": {"bounds": [1], "counts": [1]}}},
        {"counters": {"accepted": "many"}, "since_start": {"dead_letters": {"bad_json": "x"}, "store_s": 5}},
    ],
)
def test_what_the_bridge_does_not_say_is_not_exposed(said: object) -> None:
    names = {name for name, _ in samples(exposition(said))}

    assert "sensorflow_bridge_silent_seconds" in names
    assert not {"sensorflow_readings_accepted_total", "sensorflow_commit_seconds_sum"} & names


def test_what_the_bridge_said_long_ago_is_not_exposed_as_if_it_were_now() -> None:
    said = orjson.loads(status(condition(), "running"))

    found = samples(exposition(said, silent_s=STALE_AFTER_S + 0.1))

    assert value(found, "sensorflow_bridge_silent_seconds") == STALE_AFTER_S + 0.1
    names = {name for name, _ in found}
    assert not {"sensorflow_readings_accepted_total", "sensorflow_spool_bytes", "sensorflow_bridge_store_up"} & names


def test_openmetrics_is_what_its_parser_reads() -> None:
    families = {family.name for family in openmetrics_families(exposition({}, OPENMETRICS))}  # type: ignore[no-untyped-call] # the library types it not

    assert {"sensorflow_http_refused", "sensorflow_puback_seconds", "sensorflow_build"} & families


def test_scrape_needs_a_key_that_may_read(api: Api) -> None:
    assert_problem(httpx.get(f"{api.url}/metrics"), 401)
    assert httpx.get(f"{api.url}/metrics", headers={"X-API-Key": KEY_WS}).status_code in {401, 403}
    assert httpx.get(f"{api.url}/metrics", headers={"Authorization": f"Bearer {KEY}"}).status_code == 200


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("", TEXT),
        ("*/*", TEXT),
        ("text/plain; version=abc", TEXT),
        ("application/openmetrics-text; version=x", OPENMETRICS),
        ("application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.3,*/*;q=0.2", OPENMETRICS),
    ],
)
def test_format_is_the_one_that_is_asked_for(api: Api, accept: str, media_type: str) -> None:
    response = api.client.get("/metrics", headers={"Accept": accept})

    assert response.status_code == 200
    assert response.headers["content-type"] == media_type
    assert response.text.endswith("# EOF\n") == (media_type == OPENMETRICS)


def test_readings_are_counted_by_kind_and_outcome_and_timed(api: Api, bridge: StandIn) -> None:
    before = scraped(api)
    assert api.post("temperature_reading", READING).status_code == 201
    assert api.post("temperature_reading", {"temperature": 1}).status_code == 422
    bridge.outcome = silence
    assert api.post("telemetry", {"sensor_id": "a", "volts": 1}).status_code == 202

    after = scraped(api)

    def grew(name: str, **labels: str) -> float:
        key = (name, frozenset(labels.items()))
        return after[key] - before.get(key, 0)

    assert grew("sensorflow_http_readings_total", kind="temperature_reading", outcome="accepted") == 1
    assert grew("sensorflow_http_readings_total", kind="temperature_reading", outcome="rejected") == 1
    assert grew("sensorflow_http_readings_total", kind="telemetry", outcome="pending") == 1
    assert grew("sensorflow_puback_seconds_count") == 2
    assert grew("sensorflow_receipt_seconds_count") == 1
    labels = {"method": "POST", "route": "/api/v1/temperature_reading"}
    assert grew("sensorflow_http_request_seconds_count", **labels, status="2xx") == 1
    assert grew("sensorflow_http_request_seconds_count", **labels, status="4xx") == 1


def test_readings_of_a_batch_are_counted_one_by_one(api: Api) -> None:
    before = scraped(api)
    batch = [READING, READING | {"sensor_id": "b"}, {"sensor_id": "c"}, {"kind": "vats"}]

    assert api.post("readings", batch).status_code == 207

    after = scraped(api)
    for kind, outcome, count in (("temperature_reading", "accepted", 2), ("-", "rejected", 2)):
        key = ("sensorflow_http_readings_total", frozenset({("kind", kind), ("outcome", outcome)}))
        assert after[key] - before[key] == count


def test_labels_are_those_of_the_routes_whatever_is_asked(api: Api) -> None:
    for number in range(5):
        api.client.get(f"/api/v1/sensor/s{number}/latest")
        api.client.get(f"/nowhere/{number}")
        api.client.request("PROPFIND", f"/api/v1/{number}")

    found = scraped(api)

    routes = {dict(labels)["route"] for name, labels in found if name == "sensorflow_http_request_seconds_count"}
    methods = {dict(labels)["method"] for name, labels in found if name == "sensorflow_http_request_seconds_count"}
    assert {"none", "/api/v1/sensor/{sensor_id}/latest"} <= routes
    assert not [route for route in routes if "nowhere" in route or "s1" in route]
    assert methods <= {"GET", "HEAD", "POST", "OPTIONS", "other"}


def test_refused_websocket_is_a_request_and_browsers_are_counted(api: Api) -> None:
    assert httpx.get(f"{api.url}/ws/sensor_updates").status_code == 426

    found = scraped(api)

    labels = {"method": "GET", "route": "/ws/sensor_updates", "status": "4xx"}
    assert value(found, "sensorflow_http_request_seconds_count", **labels) >= 1
    assert value(found, "sensorflow_websocket_clients") == 0
    assert value(found, "process_resident_memory_bytes") > 10_000_000
    assert value(found, "sensorflow_broker_up") == 1
    assert value(found, "sensorflow_store_up") == 0


def test_bridge_that_is_gone_is_seen(api: Api, bridge: StandIn) -> None:
    try:
        bridge.say("gone")
        until(lambda: value(scraped(api), "sensorflow_bridge_up") == 0)
    finally:
        bridge.say("running")
        until(lambda: value(scraped(api), "sensorflow_bridge_up") == 1)
