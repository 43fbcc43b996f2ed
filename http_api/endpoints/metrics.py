"""``GET /metrics``: for Prometheus, or whoever reads its format."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import Response

from http_api.metrics import OPENMETRICS, TEXT, Metrics
from http_api.operation import Answer, Json, Operation, json_content

if TYPE_CHECKING:
    from starlette.requests import Request

_DESCRIPTION = (
    "Prometheus' text format, or OpenMetrics for who accepts it. Prometheus sends the key as `authorization: "
    "{type: Bearer, credentials_file: …}`. What each metric means: docs/operations.md."
)


def operation(metrics: Metrics) -> Operation:
    """The endpoint. A key that may read all readings may know how many there are."""

    async def get_metrics(request: Request) -> Response:
        # Whoever names OpenMetrics can read it. Not choose_encoder() of prometheus_client, which some headers crash.
        wants_openmetrics = "application/openmetrics-text" in request.headers.get("accept", "")
        media_type = OPENMETRICS if wants_openmetrics else TEXT
        return Response(metrics.exposition(media_type), headers={"Content-Type": media_type})

    content = _content("text/plain", "") | _content("application/openmetrics-text", "# EOF\n")
    return Operation(
        method="GET",
        path="/metrics",
        serve=get_metrics,
        tag="system",
        summary="Metrics for Prometheus.",
        description=_DESCRIPTION,
        scope="read",
        answers={200: Answer("All metrics.", content)},
        problems=(401, 403, 429),
    )


def _content(media_type: str, end: str) -> dict[str, Json]:
    example = f"# HELP sensorflow_broker_up Whether the broker is there.\nsensorflow_broker_up 1.0\n{end}"
    return json_content({"type": "string"}, example=example, media_type=media_type)
