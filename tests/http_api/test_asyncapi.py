import json
from typing import Any

import jsonschema_rs
import orjson
import pytest

from http_api import asyncapi, schemas
from sensorflow import reading, topics
from sensorflow.kinds import Kind, Kinds, load_kinds
from tests.e2e.system import ROOT

KINDS: Kinds = load_kinds([str(ROOT / "examples/kinds/cip.py")])
DOCUMENT = asyncapi.document(KINDS, "1.2.3")
# AsyncAPI's own, from the npm package that `make web` installs.
META = ROOT / "web/node_modules/@asyncapi/specs/schemas/3.0.0.json"


def errors(document: Any, schema: Any) -> list[str]:
    validator = jsonschema_rs.validator_for(schema)
    return [f"{error.instance_path}: {error.message}" for error in validator.iter_errors(document)]


def resolved(schema: Any) -> Any:
    """With what it refers to, for a validator that does not know the document."""
    return {"components": DOCUMENT["components"], "allOf": [schema]}


def test_it_is_an_asyncapi_document() -> None:
    meta = json.loads(META.read_text())

    assert errors(DOCUMENT, meta) == []
    assert errors(DOCUMENT | {"channels": {"a": {"adress": "b"}}}, meta) != []


@pytest.mark.parametrize("name", DOCUMENT["components"]["messages"])
def test_examples_are_what_their_schemas_accept(name: str) -> None:
    message = DOCUMENT["components"]["messages"][name]

    for example in message.get("examples", []):
        assert errors(example["payload"], resolved(message["payload"])) == []
    assert message.get("examples") or name == "batch"


@pytest.mark.parametrize("name", KINDS)
def test_a_kind_has_its_topic_and_its_message_in_the_browser(name: str) -> None:
    channels = DOCUMENT["channels"]

    assert channels[name]["address"] == topics.reading("{sensor_id}", name)
    assert channels[f"{name}_of_many"]["address"] == topics.many(name)
    assert f"{name}_live" in channels["websocket"]["messages"]


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.kind)
def test_what_a_browser_gets_is_what_the_schema_says(kind: type[Kind]) -> None:
    values = schemas.on_topic(kind)["examples"][0]

    frame = orjson.loads(reading.frame(kind.kind, "a", 1_755_354_645_123_456, values))

    assert errors(frame, schemas.frame(kind)) == []
    assert set(schemas.frame(kind)["required"]) <= set(frame)


def test_every_topic_is_one_that_the_broker_lets_through() -> None:
    rules = (ROOT / "mosquitto/acl").read_text()
    channels = DOCUMENT["channels"].values()
    told = {each["address"].partition("/")[0] for each in channels if each["servers"] == [{"$ref": "#/servers/mqtt"}]}

    assert told == {"sensors", "live", "status", "dead_letters"}
    for topic in told:
        assert f"topic write {topic}" in rules
