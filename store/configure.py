"""Databases and tables that are wanted before their first row: ``/api/v3/configure``, in InfluxDB 3's words."""

import logging
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Literal, TypeVar

import duckdb
from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from store.bodies import Budget, received
from store.database import Databases, check_database_name
from store.errors import (
    ExistsError,
    InvalidConfigurationError,
    InvalidRequestError,
    MediaTypeError,
    StartError,
    StorageError,
)
from store.line_grammar import Kind, Shape
from store.retention import duration_s
from store.tables import SchemaConflictError
from store.writer import Writer

logger = logging.getLogger("store")

_EXISTS = "attempted to create a resource that already exists"
_KINDS = {
    "utf8": Kind.STRING,
    "int64": Kind.INTEGER,
    "uint64": Kind.UNSIGNED,
    "float64": Kind.FLOAT,
    "bool": Kind.BOOLEAN,
}


class NewDatabase(BaseModel):
    """What is asked for. Keys that InfluxDB does not know it does not mind."""

    model_config = ConfigDict(strict=True)

    db: str
    retention_period: str | None = None


class NewField(BaseModel):
    model_config = ConfigDict(strict=True)

    name: str
    type: Literal["utf8", "int64", "uint64", "float64", "bool"]


class NewTable(BaseModel):
    model_config = ConfigDict(strict=True)

    db: str
    table: str
    tags: list[str]
    fields: list[NewField]


Wanted = TypeVar("Wanted", NewDatabase, NewTable)


@dataclass(slots=True)
class Configuration:
    """The handlers, and what they need. What they answered is on disk, as after a write."""

    databases: Databases
    writer: Writer
    budget: Budget

    async def create_database(self, request: Request) -> Response:
        wanted = await self._wanted(request, NewDatabase)
        retention_s = _retention_s(wanted.retention_period)
        await self._change(partial(self._create_database, wanted.db, retention_s))
        return Response()

    async def create_table(self, request: Request) -> Response:
        wanted = await self._wanted(request, NewTable)
        await self._change(partial(self._create_table, wanted))
        return Response()

    async def _wanted(self, request: Request, model: type[Wanted]) -> Wanted:
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise MediaTypeError("unacceptable content-type, expected: application/json")
        encoding = request.headers.get("content-encoding", "").strip().lower()
        with self.budget.share() as share:
            text = await received(request.stream(), encoding, share)
        try:
            wanted = model.model_validate_json(text)
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False, include_input=False)[0]
            where = "".join(f"{part}: " for part in first["loc"])
            raise InvalidConfigurationError(f"serde json error: {where}{first['msg']}") from None
        check_database_name(wanted.db)
        return wanted

    async def _change(self, change: Callable[[], None]) -> None:
        try:
            await self.writer.call(change)
        except (duckdb.Error, StartError) as error:
            logger.error("nothing is created: %s", error)  # noqa: TRY400 - the text says it
            raise StorageError("the store could not write; its log has the reason") from error

    def _create_database(self, name: str, retention_s: float | None) -> None:
        if any(name == database.name for database in self.databases.all()):
            raise ExistsError(_EXISTS)
        database = self.databases.create(name)
        if retention_s is not None:
            database.set_retention(retention_s)

    def _create_table(self, wanted: NewTable) -> None:
        """Create the table, and the database where there is none."""
        database = self.databases.create(wanted.db)
        if wanted.table in database.tables.columns():
            raise ExistsError(_EXISTS)
        shape = _shape(wanted)
        try:
            columns = database.tables.columns_with(shape, {})
        except SchemaConflictError as error:
            raise InvalidConfigurationError(f"invalid configuration provided: {error}") from error
        with database.transaction():
            database.tables.adopt({wanted.table: columns})


def _retention_s(period: str | None) -> float | None:
    try:
        return None if period is None else duration_s(period)
    except InvalidRequestError as error:
        raise InvalidConfigurationError(f"serde json error: {error}") from error


def _shape(wanted: NewTable) -> Shape:
    if not wanted.table:
        raise InvalidConfigurationError("invalid configuration provided: table name cannot be empty")
    seen: dict[str, Kind] = {}
    for name, kind in _columns(wanted):
        role = "tag" if kind is Kind.TAG else "field"
        if not name:
            raise InvalidConfigurationError(f"invalid configuration provided: {role} key cannot be empty")
        if any(unicodedata.category(character) == "Cc" for character in name):
            raise InvalidConfigurationError(
                f"invalid configuration provided: {role} key cannot contain control characters"
            )
        if name == "time":
            raise InvalidConfigurationError("'time' is a reserved column")
        if name in seen:
            raise InvalidConfigurationError(
                f"cannot add column {name} because it already exists with type iox::column_type::{seen[name].value}"
            )
        seen[name] = kind
    fields = tuple((field.name, _KINDS[field.type]) for field in wanted.fields)
    return Shape(wanted.table, tuple(wanted.tags), fields)


def _columns(wanted: NewTable) -> Iterator[tuple[str, Kind]]:
    for tag in wanted.tags:
        yield tag, Kind.TAG
    for field in wanted.fields:
        yield field.name, _KINDS[field.type]
