"""The catalogue of tools: what is listed, and what else answers."""

import sys
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import msgspec

from exai.config.calls.tools import Profile
from exai.errors import StartFault, UnknownTool
from exai.protocol.schemas import listed_part, output_schema
from exai.tools.aliases import Alias
from exai.tools.arguments import parse_arguments
from exai.tools.base import Arguments, JsonObject, Tool
from exai.tools.envelope import check_report
from exai.tools.listing.entries import ToolDescription
from exai.tools.listing.profiles import STANDARD, Listing, listings_of
from exai.tools.normalizing import is_declined

__all__ = ["Invocation", "Registry"]


class Invocation(msgspec.Struct, frozen=True):
    """A tool as it was called: under which name, with what."""

    name: str
    tool: Tool[Any, Any]
    given: Mapping[str, Any]
    """The arguments as the client sent them."""
    alias: Alias | None = None
    """The older name that it was called by."""

    @property
    def scopes(self) -> tuple[str, ...]:
        """Every scope that this call needs, whether or not its arguments are good."""
        tool = self.tool
        if self.alias is None and tool.scoped_names.isdisjoint(self.given):
            return (tool.scope,)
        fields = tool.argument_schema["properties"]
        values = (self.alias or Alias(self.name)).values(self.given)
        named = [(tool.argument_aliases.get(name, name), value) for name, value in values]
        wanted = {
            name
            for name, value in named
            if name in tool.argument_scopes and not is_declined(value, fields[name])
        }
        return (tool.scope, *(scope for name, scope in tool.argument_scopes.items() if name in wanted))

    @property
    def size(self) -> int:
        """How much memory the texts of its arguments take, in bytes."""
        return _size_of(self.given)

    def arguments(self) -> Arguments:
        """Check and type what was sent.

        Raises:
            BadArguments: with the place, what was expected, and what the tool takes.
        """
        given = self.given if self.alias is None else self.alias.map(self.given)
        arguments: Arguments = parse_arguments(self.tool, given)
        return arguments


class Registry:
    """Tools by name and by older name."""

    def __init__(self, tools: Iterable[Tool[Any, Any]], hidden: Iterable[str] = ()) -> None:
        """Check and index the tools; those `hidden` answer, and no list has them.

        Raises:
            ValueError: tools contradict themselves or each other.
            StartFault: there is no tool of a hidden name.
        """
        self._tools: dict[str, tuple[Tool[Any, Any], Alias | None]] = {}
        given = tuple(tools)
        for tool in given:
            _check(tool)
            for name, alias in ((tool.name, None), *((alias.name, alias) for alias in tool.aliases)):
                if name in self._tools:
                    raise ValueError(f"two tools answer to {name!r}")
                self._tools[name] = (tool, alias)
        self._listings = _without(listings_of(given), hidden, self._tools)
        self._schemas = {tool.name: listed_part(tool.argument_schema, tool.unlisted) for tool in given}

    @property
    def listing(self) -> tuple[ToolDescription, ...]:
        """The list of the profile `standard`; what is not in it answers as well."""
        return self._listings[STANDARD]

    def listing_of(self, profile: Profile) -> tuple[ToolDescription, ...]:
        """Return the list of a profile."""
        return self._listings[profile]

    @property
    def older_names(self) -> set[str]:
        """The names that tools had on other servers."""
        return {name for name, (_, alias) in self._tools.items() if alias is not None}

    def find(self, name: str, arguments: Mapping[str, Any] | None = None) -> Invocation:
        """Find what a call of that name with these arguments is.

        Raises:
            UnknownTool: nothing answers to it.
        """
        if name not in self._tools:
            known = ", ".join(description.name for description in self.listing)
            raise UnknownTool(f"Unknown tool {name[:80]!r}. This server has: {known}.")
        tool, alias = self._tools[name]
        return Invocation(name, tool, arguments or {}, alias)

    def input_schema(self, name: str) -> JsonObject | None:
        """The schema of a tool's arguments; `None` for an unknown one."""
        return self._schemas[self._tools[name][0].name] if name in self._tools else None

    def whole_schemas(self, name: str) -> JsonObject | None:
        """Return all that a tool takes and returns, what the list leaves out included; `None` for an unknown one."""
        if name not in self._tools:
            return None
        tool, _ = self._tools[name]
        return {
            "name": tool.name,
            "description": tool.description,
            "inputSchema": tool.argument_schema,
            "outputSchema": output_schema(tool.result),
        }


def _without(
    listings: Mapping[Profile, Listing], hidden: Iterable[str], known: Collection[str]
) -> Mapping[Profile, Listing]:
    left_out = frozenset(hidden)
    if unknown := sorted(left_out.difference(known)):
        raise StartFault(f"`tools.hidden` names {', '.join(unknown)}, and there is no such tool.")
    return {
        profile: tuple(entry for entry in listing if entry.name not in left_out)
        for profile, listing in listings.items()
    }


def _size_of(given: Any) -> int:
    if isinstance(given, str):
        return sys.getsizeof(given)
    parts = (
        given.values()
        if isinstance(given, dict | Mapping)
        else given
        if isinstance(given, list | tuple)
        else ()
    )
    return sum([sys.getsizeof(part) if isinstance(part, str) else _size_of(part) for part in parts])


def _check(tool: Tool[Any, Any]) -> None:
    """Refuse a tool that names arguments which it does not have, or hides one that it needs."""
    fields = set(tool.arguments.__struct_encode_fields__)
    named = {
        *tool.unlisted,
        *tool.argument_scopes,
        *tool.file_arguments,
        *tool.argument_aliases.values(),
        *(
            name
            for alias in tool.aliases
            for name in (*alias.joins, *alias.presets, *alias.renames.values(), *alias.fallbacks.values())
        ),
    }
    if unknown := named - fields:
        raise ValueError(f"{tool.name} has no arguments {', '.join(sorted(unknown))}")
    check_report(tool)
    if hidden := tool.unlisted.intersection(tool.argument_schema.get("required", [])):
        raise ValueError(f"{tool.name} needs {', '.join(sorted(hidden))}, which must be listed")
