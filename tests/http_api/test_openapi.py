from typing import Any, cast

from http_api import endpoints, schemas
from http_api.openapi import document
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
    ],
    schemas.shared(KINDS) | endpoints.readings.schemas(KINDS),
    "1.2.3",
)


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
    schemas = DOCUMENT["components"]["schemas"]

    names = {reference.removeprefix("#/components/schemas/") for reference in references(DOCUMENT)}

    assert names
    assert names <= set(schemas)


def references(node: Any) -> set[str]:
    if isinstance(node, list):
        return set().union(*map(references, node))
    if not isinstance(node, dict):
        return set()
    return {node["$ref"]} if "$ref" in node else set().union(*map(references, node.values()))
