"""Who wrote a text about a fault. Whatever shows one says so, as texts of others may ask their readers to do things."""

from typing import Literal

__all__ = ["Provenance", "provenance_of"]

Provenance = Literal["server", "own", "outside"]
"""Figures and sentences of EXAI; texts of its own exceptions, logs and sources; what reporters, providers, clients or
people wrote."""


def provenance_of(reporter: str | None, fixable_by: str | None) -> Provenance:
    """Say who wrote the texts of a group: a program that reported it, or a provider in its answer, or EXAI."""
    return "own" if reporter is None and fixable_by != "provider" else "outside"
