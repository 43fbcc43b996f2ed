"""Which of several media types a request wants, by its ``Accept`` (RFC 9110, 12.5.1). Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_RANGES = 50  # of one header; what comes behind them is not looked at


def chosen(accept: str | None, offered: Mapping[str, str]) -> str | None:
    """The name of the type that is liked best, among equals the first offered; None where none will do.

    ``offered`` are media types, without parameters, by name; the first is for those who do not say.
    """
    if accept is None or not accept.strip():
        return next(iter(offered))
    liked = {name: _quality(media_type, _ranges(accept)) for name, media_type in offered.items()}
    best = max(liked, key=lambda name: liked[name])
    return best if liked[best] > 0 else None


def _quality(media_type: str, ranges: Mapping[str, float]) -> float:
    """By the most exact range that fits."""
    for pattern in (media_type, f"{media_type.partition('/')[0]}/*", "*/*"):
        if pattern in ranges:
            return ranges[pattern]
    return 0


def _ranges(accept: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for each in accept.split(",", MAX_RANGES)[:MAX_RANGES]:
        media_type, *parameters = (part.strip().lower() for part in each.split(";"))
        quality = next((part[2:] for part in parameters if part.startswith("q=")), "1")
        found[media_type] = _number(quality)
    return found


def _number(text: str) -> float:
    try:
        return min(max(float(text), 0.0), 1.0)
    except ValueError:
        return 0.0
