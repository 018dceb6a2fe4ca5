"""What is known of each code of the errors: its meaning, what decides between its causes, and how it is put right."""

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources

import msgspec

__all__ = ["KnownFault", "known_faults"]

FILE = "known_faults.toml"


class KnownFault(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An entry of the table, for one or several codes."""

    codes: tuple[str, ...]
    means: str
    look_at: str
    """What decides between its causes; follows "look at"."""
    fix: str


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    fault: list[KnownFault]


@cache
def known_faults() -> Mapping[str, KnownFault]:
    """Return the entries by code."""
    text = resources.files("exai.error_tracking").joinpath(FILE).read_text(encoding="utf-8")
    table = msgspec.convert(tomllib.loads(text), _Table)
    return {code: entry for entry in table.fault for code in entry.codes}
