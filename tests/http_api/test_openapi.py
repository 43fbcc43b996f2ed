from types import SimpleNamespace
from typing import Any, cast

import pytest
import schemathesis
from jsonschema_rs import Draft202012Validator

from http_api import endpoints, schemas
from http_api.openapi import document
from http_api.operation import Json
from http_api.static_files import StaticFiles
from sensorflow.kinds import Kind, Kinds, load_kinds, measure


class Vat(Kind):
    """A vat with a lid."""

    level: float = measure("%", ge=0, le=100)
    is_open: bool | None = None


KINDS: Kinds = {**load_kinds(), "vat": Vat}
DOCUMENT = document(
    [
        *endpoints.readings.operations(KINDS, cast("Any", None)),
        endpoints.latest.operation(KINDS, cast("Any", None), cast("Any", None)),
        *endpoints.vitals.operations(dict),
        *endpoints.batches.operations(KINDS, cast("Any", None)),
        *endpoints.history.operations(cast("Any", SimpleNamespace(kinds=KINDS))),
        endpoints.sensors.operation(KINDS, cast("Any", None)),
        endpoints.stats.operation(cast("Any", None), dict),
        endpoints.metrics.operation(cast("Any", None)),
        *endpoints.documents.operations(KINDS, "1.2.3", StaticFiles()),
    ],
    schemas.shared(KINDS)
    | endpoints.readings.schemas(KINDS)
    | endpoints.batches.schemas()
    | endpoints.history.schemas()
    | endpoints.sensors.schemas()
    | endpoints.stats.schemas(),
    "1.2.3",
)

BINARY = {"application/vnd.apache.parquet", "application/vnd.apache.arrow.stream"}


def test_a_kind_of_the_users_own_has_its_endpoint_and_schema() -> None:
    post = DOCUMENT["paths"]["/api/v1/vat"]["post"]

    assert post["requestBody"]["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/vat"}
    schema = DOCUMENT["components"]["schemas"]["vat"]
    assert {"type": "number", "minimum": 0, "maximum": 100, "unit": "%"}.items() <= schema["properties"][
        "level"
    ].items()
    assert schema["required"] == ["level", "sensor_id"]
    assert schema["description"] == "A vat with a lid."


def test_a_record_has_the_keys_of_the_answer() -> None:
    record = DOCUMENT["components"]["schemas"]["temperature_reading_record"]

    assert list(record["properties"])[:8] == [
        "id",
        "temperature",
        "humidity",
        "pressure",
        "date_recorded",
        "time_recorded",
        "sensor_id",
        "client_ip",
    ]


def test_every_reference_leads_somewhere() -> None:
    names = {reference.removeprefix("#/components/") for reference in references(DOCUMENT)}

    assert names
    assert names <= {f"{part}/{name}" for part, named in DOCUMENT["components"].items() for name in named}


def test_it_is_an_openapi_document() -> None:
    schemathesis.openapi.from_dict(DOCUMENT).validate()

    with pytest.raises(ValueError, match="is not of type"):
        schemathesis.openapi.from_dict(DOCUMENT | {"components": {"schemas": []}}).validate()


@pytest.mark.parametrize("name", DOCUMENT["components"]["schemas"])
def test_each_schema_has_an_example_that_it_accepts(name: str) -> None:
    schema = DOCUMENT["components"]["schemas"][name]

    assert schema["examples"]
    for example in schema["examples"]:
        assert errors(example, schema) == []


def test_each_operation_has_a_name_of_its_own_a_tag_that_is_explained_and_examples() -> None:
    operations = [each for methods in DOCUMENT["paths"].values() for each in methods.values()]
    names = [each["operationId"] for each in operations]

    assert len(set(names)) == len(names)
    assert {tag for each in operations for tag in each["tags"]} <= {tag["name"] for tag in DOCUMENT["tags"]}
    for each in operations:
        contents = [each.get("requestBody", {}), *each["responses"].values()]
        for media_type, content in (item for part in contents for item in part.get("content", {}).items()):
            assert media_type in BINARY or errors_of_content(content) == [], (each["operationId"], media_type)


def errors(example: Any, schema: Json) -> list[str]:
    whole = {"components": DOCUMENT["components"], "allOf": [schema]}
    return [error.message for error in Draft202012Validator(whole).iter_errors(example)]


def errors_of_content(content: Json) -> list[str]:
    """Of the examples of a media type; that there is none is an error, too."""
    if "example" in content:
        return errors(content["example"], content["schema"])
    return [] if references(content["schema"]) else [f"no example: {content}"]


def references(node: Any) -> set[str]:
    if isinstance(node, list):
        return set().union(*map(references, node))
    if not isinstance(node, dict):
        return set()
    return {node["$ref"]} if "$ref" in node else set().union(*map(references, node.values()))
