"""What kinds of reading there are.

A kind is one class: its fields with their units and bounds, and its table. The HTTP endpoint, the topic, the table, the
validation, the schemas and the WebSocket message follow from it; nothing else names a kind.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import math
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import from_json, to_json

from sensorflow.errors import FieldError, RejectedError

if TYPE_CHECKING:
    from types import ModuleType

SENSOR_ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
KIND_PATTERN = r"^[a-z][a-z0-9_]{0,47}$"
FIELD_PATTERN = r"^[A-Za-z_][A-Za-z0-9_]{0,63}$"
MAX_TELEMETRY_FIELDS = 64
MAX_READINGS = 10_000  # of one array: more than 64 KiB can hold of good ones, and a bound for what bad ones cost
MAX_ERRORS = 10  # told of one reading
# Taken by other paths below /api/v1/.
RESERVED_KINDS = frozenset({"health", "history", "live", "ping", "readings", "sensor", "sensors", "stats"})
RESERVED_TABLES = frozenset({"pipeline_stats"})  # where the bridge writes about itself
# Keys of a reading that are not its values, in the payload, the table, the 201 answer or the WebSocket message.
RESERVED_FIELDS = frozenset(
    {"client_ip", "date_recorded", "id", "kind", "sensor_id", "time", "time_recorded", "timestamp"}
)

SensorId = Annotated[str, Field(pattern=SENSOR_ID_PATTERN, description="Letters, digits, '.', '_', '-'; 1 to 64.")]
# Strings end up in line protocol, in SQL results and on terminals; a control character has no business in any of them.
Text = Annotated[str, Field(max_length=256, pattern=r"^[^\x00-\x1f\x7f]*$")]

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def measure(
    unit: str,
    *,
    ge: float | None = None,
    le: float | None = None,
    low: float | None = None,
    high: float | None = None,
) -> Any:
    """A number with its unit and its bounds, all inclusive.

    Args:
        unit: As people write it: ``°C``, ``%``, ``hPa``.
        ge: A reading below it is rejected: no sensor of the kind can mean it.
        le: A reading above it is rejected.
        low: A value below it is stored, and called out by the dashboards and the alerts.
        high: A value above it is stored, and called out likewise.

    Raises:
        ValueError: The bounds are not in the order ge, low, high, le.
    """
    ordered = {"ge": ge, "low": low, "high": high, "le": le}
    bounds = {name: bound for name, bound in ordered.items() if bound is not None}
    if list(bounds.values()) != sorted(bounds.values()):
        raise ValueError(f"bounds are out of order: {', '.join(f'{name}={bound:g}' for name, bound in bounds.items())}")
    soft: dict[str, Any] = {name: bounds[name] for name in ("low", "high") if name in bounds}
    return Field(ge=ge, le=le, json_schema_extra={"unit": unit} | soft)


class Kind(BaseModel):
    """The base of all kinds: what every payload may carry beside its values.

    A subclass names its ``kind`` (default: the class's name in snake case) and its ``table`` (default: the kind) and
    declares fields of type ``float``, ``bool`` or ``Text`` (or one of these ``| None``); numbers are stored as floats.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    kind: ClassVar[str]
    table: ClassVar[str]
    value_names: ClassVar[tuple[str, ...]]
    is_shipped: ClassVar[bool]

    sensor_id: SensorId | None = None
    time: int | float | str | None = Field(
        default=None, description="RFC 3339 with offset, or seconds, ms, us or ns since 1970, told apart by magnitude."
    )

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Give the class its kind and table where it names none."""
        super().__pydantic_init_subclass__(**kwargs)
        if "kind" not in cls.__dict__:
            cls.kind = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls.__name__).lower()
        if "table" not in cls.__dict__:
            cls.table = cls.kind
        cls.value_names = tuple(name for name in cls.model_fields if name not in Kind.model_fields)
        cls.is_shipped = cls.__module__ == __name__

    def values(self) -> dict[str, float | bool | str]:
        """The fields that were measured, in the order of their declaration; those that are None are left out.

        A number that a default or a user's validator has made an int is a float here, as all numbers are stored.
        """
        own = self.__dict__
        declared = {
            name: float(value) if type(value) is int else value
            for name in type(self).value_names
            if (value := own[name]) is not None
        }
        return declared | self.__pydantic_extra__ if self.__pydantic_extra__ else declared


class TemperatureReading(Kind):
    """A climate sensor's reading."""

    table = "sensor_readings"

    temperature: float = measure("°C", ge=-100, le=1000, low=-40, high=60)
    humidity: float = measure("%", ge=0, le=100)
    pressure: float = measure("hPa", ge=0, le=2000, low=500, high=1100)


class Telemetry(Kind):
    """Any flat object of numbers, booleans and short strings."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[Annotated[str, Field(pattern=FIELD_PATTERN)], float | bool | Text]

    @model_validator(mode="after")
    def _has_usable_fields(self) -> Telemetry:
        count = len(self.__pydantic_extra__)
        if not 1 <= count <= MAX_TELEMETRY_FIELDS:
            raise ValueError(f"{count} fields, at least 1 and at most {MAX_TELEMETRY_FIELDS}")
        if reserved := RESERVED_FIELDS & self.__pydantic_extra__.keys():
            raise ValueError(f"{sorted(reserved)} cannot be names of fields: SensorFlow uses them itself")
        return self


Kinds = Mapping[str, type[Kind]]


def load_kinds(modules: Iterable[str] = ()) -> Kinds:
    """All kinds: the shipped ones and those of the user's modules, by name.

    Args:
        modules: Dotted names, or paths that end in ``.py``.

    Raises:
        ValueError: A module cannot be found, or a kind in it is unusable; the message says which and why.
    """
    kinds: dict[str, type[Kind]] = {kind.kind: kind for kind in (TemperatureReading, Telemetry)}
    for module in map(_import, modules):
        for value in vars(module).values():
            if isinstance(value, type) and issubclass(value, Kind) and value.__module__ == module.__name__:
                _check_usable(value, kinds)
                kinds[value.kind] = value
    return kinds


def parse_one(kind: type[Kind], body: bytes) -> Kind:
    """A payload that is one JSON object.

    Raises:
        RejectedError: ``bad_json``, ``bad_reading`` or ``validator_failed``.
    """
    reading = _validated(kind.model_validate_json, body)
    # A validator of a user's can add to the fields that are set.
    count = len(reading.model_fields_set) if kind.is_shipped else _names(from_json(body))
    if not _are_all_names(body, count + _colons(reading.time)):
        members = json.loads(body, object_pairs_hook=_members)
        if isinstance(members, _Members):
            raise members.rejected()
    return reading


def parse_many(kind: type[Kind], body: bytes) -> list[Kind | RejectedError]:
    """A payload that is one JSON object or an array of them; a bad element costs nothing but itself.

    Raises:
        RejectedError: As by :func:`parse_one`, where there is no element to tell apart.
    """
    if not body.lstrip().startswith(b"["):
        return [parse_one(kind, body)]
    return [_kept(kind, element) for element in parse_array(body)]


def parse_array(body: bytes) -> list[object]:
    """The elements of a JSON array, for :func:`validate`; at most ``MAX_READINGS``.

    Raises:
        RejectedError: ``bad_json``, ``bad_reading``: there are none, or ``too_large``: there are too many.
    """
    try:
        elements = from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise RejectedError("bad_json", FieldError("", str(error))) from None
    if not elements:
        raise RejectedError("bad_reading", FieldError("", "an empty array, at least 1 reading"))
    if len(elements) > MAX_READINGS:
        detail = f"an array of {len(elements)} readings, at most {MAX_READINGS}"
        raise RejectedError("too_large", FieldError("", detail))
    if not _are_all_names(body, sum(len(each) + _colons(each.get("time")) for each in elements if type(each) is dict)):
        elements = json.loads(body, object_pairs_hook=_members)
    return list(elements)


def parse_value(body: bytes) -> object:
    """One JSON value that stands alone, for :func:`validate`.

    Raises:
        RejectedError: ``bad_json``.
    """
    try:
        value = from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise RejectedError("bad_json", FieldError("", str(error))) from None
    if type(value) is dict and not _are_all_names(body, len(value) + _colons(value.get("time"))):
        value = json.loads(body, object_pairs_hook=_members)
    return value


def validate(kind: type[Kind], element: object) -> Kind:
    """One element of :func:`parse_array`, or what :func:`parse_value` returned.

    Raises:
        RejectedError: As by :func:`parse_one`; its ``payload`` is the element.
    """
    if isinstance(element, _Members):
        raise element.rejected()
    try:
        return _validated(kind.model_validate, element)
    except RejectedError as error:
        error.payload = to_json(element)
        raise


def _kept(kind: type[Kind], element: object) -> Kind | RejectedError:
    try:
        return validate(kind, element)
    except RejectedError as error:
        return error


# A name that an object has twice has two values, and of the parsers that a payload meets each takes the one it likes.
# Ours take the last without a word; one that tells costs more than the whole validation. So count: each member has one
# colon, and where there are no more of them than names (and what a time has), no name can have been there twice.


def _are_all_names(body: bytes, colons: int) -> bool:
    """Whether a good JSON text has just these colons; with an escape in it, which can be one, nobody knows."""
    return body.count(b":") == colons and b"\\" not in body


def _names(value: object) -> int:
    return len(value) if isinstance(value, dict) else 0


def _colons(value: object) -> int:
    return value.count(":") if isinstance(value, str) else 0


class _Members(list[tuple[str, Any]]):
    """An object in which a name stands twice, as it was written."""

    def rejected(self) -> RejectedError:
        names = [name for name, _ in self]
        twice = next(name for name in names if names.count(name) > 1)
        payload = b"{%b}" % b",".join([to_json(name) + b":" + to_json(value) for name, value in self])
        return RejectedError("bad_json", FieldError(twice[:64], "given more than once"), payload=payload)


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any] | _Members:
    members = dict(pairs)
    return members if len(members) == len(pairs) else _Members(pairs)


def _validated(validate: Callable[[Any], Kind], raw: object) -> Kind:
    try:
        reading = validate(raw)
        if not reading.is_shipped:
            _check_values(reading)
    except ValidationError as error:
        raise _rejected(error) from None
    except (KeyboardInterrupt, RejectedError):
        raise
    except BaseException as error:  # a user's kind may raise anything, sys.exit() too; it must not stop all others
        raise RejectedError("validator_failed", FieldError("", _told(error))) from error
    return reading


def _check_values(reading: Kind) -> None:
    """Hold for a user's kind, whose validators may return anything, what the lines of the spool rely on.

    Values of other types are the bridge's to refuse, which knows the columns.
    """
    for name, value in reading.values().items():
        if isinstance(value, str):
            value.encode()  # a lone surrogate is no text
            if _CONTROL.search(value):
                raise RejectedError("bad_reading", FieldError(name, f"control character in {value!r:.80}"))
        elif isinstance(value, float) and not math.isfinite(value):
            raise RejectedError("bad_reading", FieldError(name, f"{value} is not a finite number"))


def _told(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - its __str__ is a user's, too
        text = ""
    return _encodable(f"{type(error).__name__}: {text:.200}")


def _encodable(text: str) -> str:
    """Without surrogates, which a user's message can hold, and neither JSON nor SQLite takes."""
    return text.encode(errors="backslashreplace").decode()


def _rejected(error: ValidationError) -> RejectedError:
    try:
        details = error.errors(include_url=False, include_context=False)
    except Exception as untold:  # noqa: BLE001 - a user's message may hold anything, and pydantic cannot tell all of it
        return RejectedError("validator_failed", FieldError("", _told(untold)))
    if details[0]["type"] == "json_invalid":
        if not details[0]["input"]:
            return RejectedError("bad_json", FieldError("", "the payload is empty"))
        return RejectedError("bad_json", FieldError("", details[0]["msg"]))
    by_field: dict[str, list[str]] = {}
    inputs: dict[str, object] = {}
    for detail in details:
        field = str(detail["loc"][0])[:64] if detail["loc"] else ""
        by_field.setdefault(field, []).append(detail["msg"])
        inputs[field] = detail["input"]
    errors = [FieldError(field, _sentence(msgs, inputs[field])) for field, msgs in islice(by_field.items(), MAX_ERRORS)]
    if len(by_field) > MAX_ERRORS:
        errors.append(FieldError("", f"and {len(by_field) - MAX_ERRORS} more"))
    return RejectedError("bad_reading", *errors)


def _sentence(messages: list[str], value: object) -> str:
    text = " or ".join(dict.fromkeys(message.removeprefix("Value error, ") for message in messages))
    if isinstance(value, dict | bytes):
        return text
    return f"{text}, got {to_json(value, inf_nan_mode='constants', serialize_unknown=True).decode():.80}"


def _import(name: str) -> ModuleType:
    try:
        return _run_file(Path(name)) if name.endswith(".py") else importlib.import_module(name)
    except FileNotFoundError:
        raise ValueError(f"KINDS: no file {name!r}") from None
    except ImportError as error:
        raise ValueError(f"KINDS: cannot import {name!r}: {error}") from error
    except Exception as error:  # a user's module may raise anything
        raise ValueError(f"KINDS: {name!r} cannot be run: {type(error).__name__}: {error}") from error


def _run_file(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"sensorflow_kinds_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ImportError("not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # pydantic resolves annotations through it
    spec.loader.exec_module(module)
    return module


def _check_usable(kind: type[Kind], known: Kinds) -> None:
    origin = f"{kind.__module__}.{kind.__name__}"
    if not re.fullmatch(KIND_PATTERN, kind.kind) or not re.fullmatch(KIND_PATTERN, kind.table):
        raise ValueError(f"{origin}: kind {kind.kind!r} and table {kind.table!r} must match {KIND_PATTERN}")
    if kind.kind in RESERVED_KINDS:
        raise ValueError(f"{origin}: a kind cannot be called {kind.kind!r}: the HTTP API has another use for it")
    if taken := RESERVED_TABLES & {kind.kind, kind.table}:
        raise ValueError(f"{origin}: neither a kind nor a table can be called {min(taken)!r}: it is the bridge's own")
    if twin := next((other for other in known.values() if kind.kind == other.kind or kind.table == other.table), None):
        raise ValueError(f"{origin}: kind {kind.kind!r} or table {kind.table!r} is already {twin.__name__}'s")
    for name in kind.value_names:
        if name in RESERVED_FIELDS or not re.fullmatch(FIELD_PATTERN, name):
            raise ValueError(f"{origin}: a field cannot be called {name!r}")
        if wrong := [each for each in types_of(kind.model_fields[name].annotation) if each not in (float, bool, str)]:
            what = getattr(wrong[0], "__name__", wrong[0])
            raise ValueError(f"{origin}: field {name!r} is {what}: float, bool and Text can be stored")
    if not kind.value_names and not issubclass(kind, Telemetry):
        raise ValueError(f"{origin}: no fields")
    if kind.model_config.get("extra") == "allow" and not issubclass(kind, Telemetry):
        raise ValueError(f"{origin}: only Telemetry and its subclasses take any field")


def types_of(annotation: Any) -> Iterator[Any]:
    """What a value of a field may be, but for None: ``float``, ``bool`` and ``str`` in a kind that was loaded."""
    if get_origin(annotation) in (Union, UnionType):
        for each in get_args(annotation):
            yield from types_of(each)
    elif get_origin(annotation) is Annotated:
        yield from types_of(get_args(annotation)[0])
    elif get_origin(annotation) is Literal:
        yield from map(type, get_args(annotation))
    elif annotation is not NoneType:
        yield annotation
