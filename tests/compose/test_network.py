"""Who reaches whom in the compose files, and what is published."""

import re
from itertools import combinations
from typing import Any

from sensorflow.up.containers import MQTT_SERVICES_PORT
from tests.compose.stack import ONE_SHOT, ROOT, load

HANDBOOK = (ROOT / "docs" / "compose.md").read_text()

TALKING = {
    "plain": {"bridge-http_api", "bridge-influxdb", "bridge-mosquitto", "grafana-influxdb", "http_api-influxdb"}
    | {"http_api-mosquitto"},
    "tls": {"caddy-grafana", "caddy-http_api"},
}


def test_three_ports_are_published_to_this_machine_until_a_setting_says_otherwise(plain: dict[str, Any]) -> None:
    published = {name: each["ports"] for name, each in plain.items() if "ports" in each}

    assert published == {
        "mosquitto": [{"target": 1883, "host_ip": "127.0.0.1", "published": "1883"}],
        "http_api": [{"target": 8000, "host_ip": "127.0.0.1", "published": "8000"}],
        "grafana": [{"target": 3000, "host_ip": "127.0.0.1", "published": "3000"}],
    }


def test_services_use_the_brokers_listener_that_is_published_nowhere(plain: dict[str, Any]) -> None:
    theirs = {
        name: each["environment"].get("MQTT_PORT")
        for name, each in plain.items()
        if "MQTT_HOST" in each.get("environment", {})
    }

    assert {name for name, port in theirs.items() if port == MQTT_SERVICES_PORT} == {"bridge", "http_api", "tools"}
    assert MQTT_SERVICES_PORT not in {port["target"] for each in plain.values() for port in each.get("ports", [])}


def test_a_setting_says_where_a_port_is_published() -> None:
    moved = load("plain", {"HTTP_HOST": "192.168.1.10", "HTTP_PORT": "8080"})["services"]["http_api"]

    assert moved["ports"] == [{"target": 8000, "host_ip": "192.168.1.10", "published": "8080"}]
    assert moved["environment"]["HTTP_HOST"] == "0.0.0.0"
    assert moved["environment"]["HTTP_PORT"] == 8000


def test_every_published_port_is_in_the_handbook(services: dict[str, Any]) -> None:
    for each in services.values():
        for port in each.get("ports", []):
            assert re.search(rf"\b{port['published']}\b", HANDBOOK), port


def test_only_who_must_talk_to_each_other_share_a_network(stack_name: str, services: dict[str, Any]) -> None:
    running = {name: set(each.get("networks", [])) for name, each in services.items() if name not in ONE_SHOT}

    together = {f"{a}-{b}" for a, b in combinations(sorted(running), 2) if running[a] & running[b]}

    assert together == TALKING["plain"] | TALKING.get(stack_name, set())


def test_whoever_publishes_nothing_and_asks_nobody_has_no_way_out(stack: dict[str, Any]) -> None:
    inner = {name for name, network in stack["networks"].items() if (network or {}).get("internal")}

    assert set(stack["services"]["influxdb"]["networks"]) <= inner
    for name, each in stack["services"].items():
        assert "ports" not in each or set(each["networks"]) - inner, name


def test_caddy_leads_to_services_that_it_reaches_from_ports_that_are_published() -> None:
    services = load("tls")["services"]
    caddy = services["caddy"]
    sites = dict(
        re.findall(
            r"^:(\d+) \{\n.*?reverse_proxy (\S+)\n\}", (ROOT / "deploy/Caddyfile").read_text(), re.MULTILINE | re.DOTALL
        )
    )

    assert sites.keys() == {str(port["target"]) for port in caddy["ports"]}
    for address in sites.values():
        name, _, port = address.partition(":")
        assert int(port) in {published["target"] for published in services[name]["ports"]}
        assert set(services[name]["networks"]) & set(caddy["networks"])
