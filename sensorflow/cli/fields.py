"""What the fields of a kind may hold, read from its declaration."""

from __future__ import annotations

from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt

if TYPE_CHECKING:
    from sensorflow.kinds import Kind


class Field(NamedTuple):
    """One declared field of a kind.

    Args:
        type: ``bool``, ``float`` or ``str``.
        choices: The only texts it may hold; empty where it may hold others.
        low: The bound below which it is rejected, None where there is none.
        high: The same above.
    """

    name: str
    type: type
    is_required: bool
    choices: tuple[str, ...]
    unit: str
    low: float | None
    high: float | None


def is_open(kind: type[Kind]) -> bool:
    """Whether readings of this kind may have fields that it does not declare."""
    return kind.model_config.get("extra") == "allow"


def fields_of(kind: type[Kind]) -> dict[str, Field]:
    """The declared fields, in their order."""
    return {name: _field(kind, name) for name in kind.value_names}


def _field(kind: type[Kind], name: str) -> Field:
    declared = kind.model_fields[name]
    parts = list(_parts(declared.annotation))
    types = {part if isinstance(part, type) else type(part) for part in parts}
    limits = [*declared.metadata, *_limits(declared.annotation)]
    lows = [limit.ge if isinstance(limit, Ge) else limit.gt for limit in limits if isinstance(limit, Ge | Gt)]
    highs = [limit.le if isinstance(limit, Le) else limit.lt for limit in limits if isinstance(limit, Le | Lt)]
    extra = declared.json_schema_extra
    return Field(
        name,
        next((candidate for candidate in (bool, str) if candidate in types), float),
        declared.is_required(),
        tuple(part for part in parts if isinstance(part, str)),
        str(extra.get("unit", "")) if isinstance(extra, dict) else "",
        max(map(_number, lows), default=None),
        min(map(_number, highs), default=None),
    )


def _parts(annotation: Any) -> list[Any]:
    """The plain types in an annotation, and the values of its literals."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return list(arguments)
    if origin is Annotated:
        return _parts(arguments[0])
    if origin in {Union, UnionType}:
        return [part for argument in arguments for part in _parts(argument)]
    return [annotation]


def _limits(annotation: Any) -> list[Any]:
    """What the Annotated members of a union carry; pydantic lifts only an outermost Annotated into the metadata."""
    if get_origin(annotation) is Annotated:
        return [limit for field in get_args(annotation)[1:] for limit in getattr(field, "metadata", [field])]
    return [limit for argument in get_args(annotation) for limit in _limits(argument)]


def _number(bound: Any) -> float:
    return float(bound)
