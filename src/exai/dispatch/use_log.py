"""Counts under which names tools are called, how that ends, and which lists are sent: never a value.

A call adds to a count in memory, off the path to its answer; a duty of the process writes the counts.
"""

from collections import Counter, defaultdict
from typing import Any

from exai.callers import Caller
from exai.config.calls.tools import Profile
from exai.storage.calls.use import NamedUse, NameKind, UseCounts
from exai.tools.aliases import Alias
from exai.tools.base import Tool
from exai.tools.registry import Invocation

__all__ = ["UseLog"]

UNKNOWN = "(unknown)"
"""Stands for every argument that a tool does not have: what callers make up is no name of ours."""
NO_CLIENT = "(unnamed)"
OK = "ok"
"""The outcome of a call that did not fail."""
MOST_OPEN = 1_000
"""Different calls that are counted in memory before they are written."""

_Called = tuple[Tool[Any, Any], Alias | None, frozenset[str], bool, str | None, str | None, str, str]
"""Tool, older name, known arguments, whether there were others, model, code of the failure, client, owner."""


class UseLog:
    """Counts calls until they are written."""

    def __init__(self, counts: UseCounts) -> None:
        self._counts = counts
        self._known: dict[str, frozenset[str]] = {}
        self._open: dict[Any, list[float]] = {}
        self._called: dict[Any, _Called] = {}
        self._listed: Counter[tuple[str, Profile]] = Counter()

    def note(
        self,
        invocation: Invocation,
        caller: Caller,
        model: str | None,
        *,
        code: str | None,
        usd: float | None = None,
    ) -> None:
        """Count a call that has ended, or that was refused; `code` is that of its failure."""
        name, given = invocation.name, invocation.given
        known = self._known.get(name)
        if known is None:
            known = self._known[name] = _names_of(invocation)
        named = known.intersection(given)
        key = (name, named, len(named) < len(given), model, code, caller.client, caller.subject)
        sums = self._open.get(key)
        if sums is None:
            sums = self._open[key] = [0, 0, 0.0]
            self._called[key] = (invocation.tool, invocation.alias, *key[1:])
        sums[0] += 1
        if code is not None:
            sums[1] += 1
        if usd is not None:
            sums[2] += usd
        if len(self._open) > MOST_OPEN:
            self.write_soon()

    def note_list(self, caller: Caller, profile: Profile) -> None:
        """Count a list of tools that is sent."""
        self._listed[caller.subject, profile] += 1

    async def flush(self) -> None:
        """Queue what was counted; what a scheduler calls."""
        self.write_soon()

    def write_soon(self) -> None:
        """Queue what was counted since the last time."""
        sums: dict[tuple[str, NameKind, str, str], list[float]] = defaultdict(lambda: [0, 0, 0.0])
        for key, counted in self._open.items():
            tool, alias, named, has_others, model, code, client, owner = self._called[key]
            names = [(NameKind.TOOL, tool.name), (NameKind.CLIENT, _without_version(client))]
            names.append((NameKind.OUTCOME, code or OK))
            names += [(NameKind.ARGUMENT, name) for name in named]
            names += [(NameKind.ARGUMENT, UNKNOWN)] if has_others else []
            names += [] if alias is None else [(NameKind.OLDER_NAME, alias.name)]
            names += [] if model is None else [(NameKind.MODEL, model)]
            for kind, name in names:
                row = sums[owner, kind, tool.name, name]
                for place, amount in enumerate(counted):
                    row[place] += amount
        for (owner, profile), times in self._listed.items():
            sums[owner, NameKind.LIST, "", profile][0] = times
        self._open, self._called, self._listed = {}, {}, Counter()
        self._counts.add_soon(
            [
                (owner, NamedUse(kind, tool, name, int(calls), int(failures), usd))
                for (owner, kind, tool, name), (calls, failures, usd) in sums.items()
            ]
        )


def _names_of(invocation: Invocation) -> frozenset[str]:
    """Return the names that the arguments of a tool, or of an older name of it, may have."""
    tool, alias = invocation.tool, invocation.alias
    names = {*tool.arguments.__struct_encode_fields__, *tool.argument_aliases}
    if alias is not None:
        names |= {*alias.renames, *alias.fallbacks, *alias.ignored}
        names |= {part for parts in alias.joins.values() for part in parts}
    return frozenset(names)


def _without_version(client: str) -> str:
    return client.rpartition(" ")[0] or client or NO_CLIENT
