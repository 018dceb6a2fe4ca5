"""Moments as documents have them, and bounds on texts and lists."""

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TypeVar

__all__ = ["ago", "cut", "first", "iso", "whole"]

LONGEST = 200

T = TypeVar("T")


def iso(wall: float) -> str:
    """Write a moment, given in seconds since 1970."""
    return datetime.fromtimestamp(wall, UTC).isoformat(timespec="milliseconds")


def ago(wall: float, seconds: float | None) -> str | None:
    """Write the moment so many seconds before another, to a tenth, so that it stays the same while it lasts."""
    return None if seconds is None else iso(round(wall - seconds, 1))


def whole(moment: datetime | None) -> str | None:
    """Write a moment of the store."""
    return None if moment is None else moment.astimezone(UTC).isoformat(timespec="milliseconds")


def cut(text: str) -> str:
    """Bound a text that somebody else chose."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def first(items: Sequence[T], most: int, share: float) -> Sequence[T]:
    """Bound a list to a share of what it may hold, at least one."""
    return items[: max(1, math.ceil(most * share))]
