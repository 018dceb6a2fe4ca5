"""The catalogue of tools: what is listed, and what else answers."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from exai.errors import UnknownTool
from exai.protocol.schemas import listed_schema, output_schema
from exai.tools.aliases import Alias
from exai.tools.arguments import parse_arguments
from exai.tools.base import Arguments, JsonObject, Tool
from exai.tools.envelope import check_report, listed_output
from exai.tools.normalizing import is_declined

__all__ = ["Invocation", "Registry", "ToolDescription"]

FILE_ARGUMENTS = "exai/file-arguments"


@dataclass(frozen=True)
class ToolDescription:
    """A tool as `tools/list` shows it."""

    name: str
    title: str | None
    """`None` where it would repeat the name, which clients show then."""
    description: str
    input_schema: JsonObject
    output_schema: JsonObject | None
    annotations: JsonObject
    meta: JsonObject | None = None


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
        if not tool.argument_scopes:
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

    def __init__(self, tools: Iterable[Tool[Any, Any]]) -> None:
        """Raises `ValueError` for tools that contradict themselves or each other."""
        self._tools: dict[str, tuple[Tool[Any, Any], Alias | None]] = {}
        described = []
        for tool in tools:
            _check(tool)
            for name, alias in ((tool.name, None), *((alias.name, alias) for alias in tool.aliases)):
                if name in self._tools:
                    raise ValueError(f"two tools answer to {name!r}")
                self._tools[name] = (tool, alias)
            described.append(_described(tool))
        self.listing = tuple(each for each in described if self._tools[each.name][0].is_listed)
        """The default list; older names answer without being in it."""
        self._schemas = {description.name: description.input_schema for description in described}

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


def _described(tool: Tool[Any, Any]) -> ToolDescription:
    return ToolDescription(
        name=tool.name,
        title=None if tool.title.casefold() == tool.name else tool.title,
        description=tool.description,
        input_schema=listed_schema(tool.arguments, tool.unlisted),
        output_schema=listed_output(tool),
        annotations=_annotations(tool),
        meta=_meta(tool),
    )


def _meta(tool: Tool[Any, Any]) -> JsonObject | None:
    if not tool.file_arguments:
        return tool.meta
    return {**(tool.meta or {}), FILE_ARGUMENTS: list(tool.file_arguments)}


def _annotations(tool: Tool[Any, Any]) -> JsonObject:
    """Whether a tool only reads, and the hints of MCP that differ from what clients assume without them."""
    hints: JsonObject = {"readOnlyHint": tool.read_only}
    if not tool.open_world:
        hints["openWorldHint"] = False
    if not tool.read_only and not tool.destructive:
        hints["destructiveHint"] = False
    if not tool.read_only and tool.idempotent:
        hints["idempotentHint"] = True
    return hints
