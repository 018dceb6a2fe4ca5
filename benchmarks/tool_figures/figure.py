"""What a measure is: it is given how much is to be measured, and returns rows of the table."""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Literal

import msgspec

__all__ = ["DatabaseKind", "Figure", "Measure", "Scale"]

DatabaseKind = Literal["sqlite", "postgresql"]


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the table."""

    what: str
    measured: str
    aim: str
    reached: bool
    details: Mapping[str, Any] = {}
    """What the JSON has beside it."""


class Scale(msgspec.Struct, frozen=True):
    """How much is measured."""

    share: float = 1.0
    """Of what the aims ask for."""
    seed: int = 1
    databases: tuple[DatabaseKind, ...] = ("sqlite",)

    def of(self, whole: int) -> int:
        """Return how many of a number that the aims name; at least one."""
        return max(1, round(whole * self.share))


Measure = Callable[[Scale], Coroutine[Any, Any, Sequence[Figure]]]
"""A row, or several."""
