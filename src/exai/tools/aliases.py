"""Older names of tools, and how the arguments that were given under them become a tool's own."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from exai.errors import BadArguments
from exai.tools.normalizing import is_blank

__all__ = ["STEPWISE", "Alias", "renamed", "without_lone_step"]

STEPWISE = frozenset(
    {
        "step_number",
        "total_steps",
        "next_step_required",
        "findings",
        "files_checked",
        "relevant_context",
        "issues_found",
        "hypothesis",
        "confidence",
        "backtrack_from_step",
        "images",
        "temperature",
    }
)
"""What callers report step by step under older names; tools that do the work in one call need none of it."""


class Alias(msgspec.Struct, frozen=True):
    """One older name. Arguments that it does not mention keep their names."""

    name: str

    renames: Mapping[str, str] = msgspec.field(default_factory=dict)
    """Its arguments by the names that the tool has for them."""

    joins: Mapping[str, tuple[str, ...]] = msgspec.field(default_factory=dict)
    """Arguments of the tool that are made of several texts, in this order, with a blank line between them."""

    presets: Mapping[str, Any] = msgspec.field(default_factory=dict)
    """Arguments that the name implies; the caller may override them."""

    ignored: frozenset[str] = frozenset()
    """Its arguments that the tool does not need."""

    fallbacks: Mapping[str, str] = msgspec.field(default_factory=dict)
    """Its arguments that stand for one of the tool where that one is not given."""

    check: Callable[[Mapping[str, Any]], None] | None = None
    """Raises `BadArguments` for what the tool does not do, and says where to go instead."""

    answers: bool = True
    """Whether a call by it can succeed: else all that it says is where to go instead."""

    rewrite: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = None
    """Puts its arguments into other words before they are renamed; raises `BadArguments` for what it cannot."""

    def map(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the tool's arguments.

        Raises:
            BadArguments: two arguments mean the same and differ, a text is none, or `check` refuses them.
        """
        if self.check is not None:
            self.check(given)
        if self.rewrite is not None:
            given = self.rewrite(given)
        given = self._fallen_back(given)
        parts = {name for names in self.joins.values() for name in names}
        kept = {
            name: value for name, value in given.items() if name not in self.ignored and name not in parts
        }
        mapped = renamed(kept, self.renames)
        for target, names in self.joins.items():
            sources = {name: given.get(name) for name in names} | {target: mapped.get(target)}
            if texts := [_text(name, value) for name, value in sources.items() if value is not None]:
                mapped[target] = "\n\n".join(texts)
        return self._completed(mapped)

    def values(self, given: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
        """Return each value under the name of the tool's argument that it becomes, or becomes a part of."""
        targets = {name: target for target, names in self.joins.items() for name in names} | dict(
            self.renames
        )
        for name, value in self._completed(given).items():
            if name not in self.ignored:
                yield targets.get(name, name), value

    def _fallen_back(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Put arguments in the place of those that they stand for, or leave them out."""
        kept = {name: value for name, value in given.items() if name not in self.fallbacks}
        for name, target in self.fallbacks.items():
            if is_blank(kept.get(target)) and not is_blank(given.get(name)):
                kept[target] = given[name]
        return kept

    def _completed(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Put in what the name implies, where nothing else is said."""
        said = {
            name: value for name, value in given.items() if name not in self.presets or not is_blank(value)
        }
        return {**self.presets, **said}


def without_lone_step(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return arguments without a step that has no number, and is therefore none of an investigation."""
    if not is_blank(given.get("step_number")):
        return dict(given)
    dropped = {"step", *STEPWISE} - {"images", "temperature"}
    return {name: value for name, value in given.items() if name not in dropped}


def renamed(given: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Return arguments under the names that `names` has for theirs.

    Raises:
        BadArguments: two that become one differ.
    """
    result: dict[str, Any] = {}
    for name, value in given.items():
        target = names.get(name, name)
        if is_blank(result.get(target)):
            result[target] = value
        elif not is_blank(value) and value != result[target]:
            raise BadArguments(
                f"Arguments {target!r} and {name!r} mean the same and differ. Give one of them."
            )
    return result


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise BadArguments(f"Argument {name[:80]!r}: Expected a text.")
    return value
