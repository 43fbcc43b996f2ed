"""One endpoint: what serves it, who may, and what /openapi.json says of it. Declared once, so that they agree."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from http_api.answers import LINE_CONTENT
from http_api.problems import MEDIA_TYPE, STATUSES
from sensorflow.errors import FieldError, RejectedError

if TYPE_CHECKING:
    from http_api.auth import Guard

Json = dict[str, Any]
Scope = Literal["write", "read", "live", "admin"]
Endpoint = Callable[[Request], Awaitable[Response]]

GUARD_PROBLEMS = (401, 403, 429)
_COMMON = {name: {"$ref": f"#/components/headers/{name}"} for name in ("X-Request-Id", "X-Server-Time-Us")}
_RETRY_AFTER = {"description": "Seconds.", "required": True, "schema": {"type": "integer", "minimum": 0}}
_HEADERS: Mapping[int, Json] = {
    401: {"WWW-Authenticate": {"description": "How to show a key.", "required": True, "schema": {"type": "string"}}},
    429: {"Retry-After": _RETRY_AFTER},
    503: {"Retry-After": _RETRY_AFTER},
}


class Query(BaseModel):
    """The parameters of one endpoint; a name that it does not know is an error, so that a typo does not go unseen."""

    model_config = ConfigDict(frozen=True, extra="forbid")


AnyQuery = TypeVar("AnyQuery", bound=Query)


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer that is no problem.

    Args:
        content: Media Type Object (OpenAPI 3.1, 4.8.14) by media type; see :func:`json_content`.
    """

    description: str
    content: Mapping[str, Json] = field(default_factory=dict)

    def document(self) -> Json:
        """As a Response Object."""
        return {"description": self.description} | ({"content": dict(self.content)} if self.content else {})


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method of one path.

    Args:
        path: As Starlette writes it; the parameters in it are described by ``path_parameters``, a schema each.
        tag: Under which the documentation shows it.
        scope: What a key has to be good for; None lets everybody in.
        query: Reads the parameters; ``serve`` gets them by :func:`read_query`.
        query_values: Of parameters that take one of a few, which are only known here.
        headers: Those of the request that ``serve`` looks at, a schema each.
        body: Media Type Object by media type; empty where none is read.
        problems: The statuses that it answers with problem details.
    """

    method: Literal["GET", "POST"]
    path: str
    serve: Endpoint
    tag: str
    summary: str
    description: str = ""
    scope: Scope | None = None
    path_parameters: Mapping[str, Json] = field(default_factory=dict)
    query: type[Query] | None = None
    query_values: Mapping[str, Sequence[str]] = field(default_factory=dict)
    headers: Mapping[str, Json] = field(default_factory=dict)
    body: Mapping[str, Json] = field(default_factory=dict)
    answers: Mapping[int, Answer]
    problems: tuple[int, ...] = ()

    @property
    def plain_path(self) -> str:
        """As OpenAPI writes it."""
        return re.sub(r":\w+}", "}", self.path)

    def route(self, guard: Guard) -> Route:
        """To be mounted: who has no right to it does not get as far as ``serve``."""

        async def serve(request: Request) -> Response:
            if self.scope is not None:
                guard.authorize(request, self.scope)
            return await self.serve(request)

        return Route(self.path, serve, methods=[self.method])

    def document(self) -> Json:
        """As an Operation Object."""
        name = re.sub(r"\W+", "_", self.plain_path.removeprefix("/api/v1")).strip("_")
        document: Json = {
            "operationId": f"{self.method.lower()}_{name}",
            "tags": [self.tag],
            "summary": self.summary,
            "responses": {
                str(status): response | {"headers": _COMMON | response.get("headers", {})}
                for status, response in self._responses().items()
            },
        }
        if self.description:
            document["description"] = self.description
        if parameters := [
            *_in_path(self.path_parameters),
            *_in_query(self.query, self.query_values),
            *_in_headers(self.headers),
        ]:
            document["parameters"] = parameters
        if self.body:
            document["requestBody"] = {"required": True, "content": dict(self.body)}
        if self.scope is None:
            document["security"] = []
        return document

    def _responses(self) -> dict[int, Json]:
        problems = sorted({*self.problems, *(GUARD_PROBLEMS if self.scope else ())})
        return {status: answer.document() for status, answer in self.answers.items()} | {
            status: _problem(status) for status in problems
        }


def read_query(model: type[AnyQuery], request: Request) -> AnyQuery:
    """The request's parameters; one that comes twice counts by its last value.

    Raises:
        RejectedError: ``bad_query``: names each parameter, what it was and what it must be.
    """
    try:
        return model.model_validate(dict(request.query_params))
    except ValidationError as error:
        errors = error.errors(include_url=False, include_context=False)
        raise RejectedError("bad_query", *map(_field_error, errors)) from None


def json_content(schema: Json, *, example: Any = None, media_type: str = "application/json") -> dict[str, Json]:
    """Content of one media type."""
    return {media_type: {"schema": schema} | ({} if example is None else {"example": example})}


def ref(name: str) -> Json:
    """A schema of the document's components."""
    return {"$ref": f"#/components/schemas/{name}"}


def _field_error(error: Any) -> FieldError:
    name = ".".join(map(str, error["loc"]))
    if error["type"] == "extra_forbidden":
        return FieldError(name, "there is no such parameter here")
    return FieldError(name, f"{error['input']!r:.80}: {error['msg']}")


def _problem(status: int) -> Json:
    document: Json = {
        "description": STATUSES[status],
        "content": {MEDIA_TYPE: {"schema": ref("problem")}} | LINE_CONTENT,
    }
    return document | ({"headers": _HEADERS[status]} if status in _HEADERS else {})


def _in_path(parameters: Mapping[str, Json]) -> list[Json]:
    return [
        {"name": name, "in": "path", "required": True, "schema": schema} | _example(schema)
        for name, schema in parameters.items()
    ]


def _example(schema: Json) -> Json:
    """The schema's first, where Swagger UI puts it into the form."""
    return {"example": schema["examples"][0]} if schema.get("examples") else {}


def _in_headers(headers: Mapping[str, Json]) -> list[Json]:
    return [
        # Without its examples: Swagger UI would fill in the first, and what names one request be shown with the next.
        {"name": name, "in": "header", "schema": {each: schema[each] for each in schema if each != "examples"}}
        for name, schema in headers.items()
    ]


def _in_query(model: type[Query] | None, values: Mapping[str, Sequence[str]]) -> list[Json]:
    schema = model.model_json_schema() if model else {}
    return [
        {"name": name, "in": "query", "required": name in schema.get("required", [])}
        | _parameter(each, values.get(name))
        for name, each in schema.get("properties", {}).items()
    ]


def _parameter(property_: Json, values: Sequence[str] | None) -> Json:
    """What is None by default is left out, for there is no null in a query."""
    schema = {name: each for name, each in property_.items() if name != "anyOf" and each is not None}
    for alternative in property_.get("anyOf", []):
        if alternative != {"type": "null"}:
            schema = alternative | schema
    if values is not None:
        schema["enum"] = list(values)
    description = schema.pop("description", None)
    return {"schema": schema} | ({"description": description} if description else {})
