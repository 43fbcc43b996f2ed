"""The compose files as docker compose reads them, interpolated and merged: as much of that as they use.

It was compared with `docker compose config` itself; what a file does that is not known here fails loudly.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
STACKS = {
    "plain": ["compose.yaml"],
    "tls": ["compose.yaml", "compose.tls.yaml"],
    "dev": ["compose.yaml", "compose.dev.yaml"],
}
"""Every way in which the files are meant to be used."""
ONE_SHOT = frozenset({"init", "tools", "simulator"})
"""The services that end when they are done."""

_REPLACED = frozenset({"command", "entrypoint", "test"})  # by an override; other lists grow
_VARIABLE = re.compile(r"\$(?:\$|\{([A-Z_]+):-([^}]*)\}|)")


def load(name: str, settings: Mapping[str, str] | None = None) -> dict[str, Any]:
    """One of ``STACKS``, with these settings and no others in the shell and in .env."""
    merged: dict[str, Any] = {}
    for file in STACKS[name]:
        merged = _merged(merged, yaml.safe_load((ROOT / file).read_text()))
    interpolated: dict[str, Any] = _interpolated(merged, settings or {})
    return interpolated


def variables(name: str) -> Iterator[tuple[str, str]]:
    """Each ``${NAME:-default}`` of one of ``STACKS``."""
    for file in STACKS[name]:
        for line in (ROOT / file).read_text().splitlines():
            for match in _VARIABLE.finditer(line.partition("#")[0]):
                if match[1]:
                    yield match[1], match[2]


def passed_on(service: Mapping[str, Any]) -> set[str]:
    """The settings that reach a service as they are in the shell or in .env, where they are."""
    return {name for name, value in service.get("environment", {}).items() if value is None}


def fixed(service: Mapping[str, Any]) -> dict[str, str]:
    """The settings that a service is given here."""
    return {name: str(value) for name, value in service.get("environment", {}).items() if value is not None}


def mounts(service: Mapping[str, Any]) -> dict[str, tuple[str, set[str]]]:
    """By path in the container: the named volume or the path here, and the options."""
    short = [volume.split(":") for volume in service.get("volumes", []) if isinstance(volume, str)]
    return {target: (source, set(",".join(rest).split(","))) for source, target, *rest in short}


def _merged(below: Any, above: Any, key: str = "") -> Any:
    if isinstance(below, dict) and isinstance(above, dict):
        return {name: _merged(below.get(name), above.get(name), name) for name in [*below, *(above.keys() - below)]}
    if isinstance(below, list) and isinstance(above, list) and key not in _REPLACED:
        return below + above
    return below if above is None else above


def _interpolated(node: Any, settings: Mapping[str, str]) -> Any:
    if isinstance(node, dict):
        return {name: _interpolated(value, settings) for name, value in node.items()}
    if isinstance(node, list):
        return [_interpolated(value, settings) for value in node]
    return _VARIABLE.sub(lambda match: _value(match, settings), node) if isinstance(node, str) else node


def _value(match: re.Match[str], settings: Mapping[str, str]) -> str:
    if match[0] == "$$":
        return "$"
    assert match[1], f"{match.string!r}: only $$ and ${{NAME:-default}} are known here"
    return settings.get(match[1]) or match[2]
