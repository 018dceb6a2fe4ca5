"""The entries of a list of tools: what it says of a tool, and of an older name of one."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from exai.protocol.schemas import listed_part
from exai.tools.aliases import Alias
from exai.tools.base import JsonObject, Tool
from exai.tools.envelope import listed_output

__all__ = ["ToolDescription", "described", "described_older"]

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


def described(tool: Tool[Any, Any]) -> ToolDescription:
    """Describe a tool, without the arguments that most lists leave out."""
    return ToolDescription(
        name=tool.name,
        title=None if tool.title.casefold() == tool.name else tool.title,
        description=tool.description,
        input_schema=listed_part(tool.argument_schema, tool.unlisted),
        output_schema=listed_output(tool),
        annotations=_annotations(tool),
        meta=_meta(tool),
    )


def described_older(tool: Tool[Any, Any], alias: Alias) -> ToolDescription:
    """Describe an older name of a tool, with the arguments that agents know it by."""
    return ToolDescription(
        name=alias.name,
        title=None,
        description=f"Older name of `{tool.name}`.",
        input_schema=_older_schema(tool, alias),
        output_schema=None,
        annotations=_annotations(tool),
        meta=_meta(tool),
    )


def _older_schema(tool: Tool[Any, Any], alias: Alias) -> JsonObject:
    """Describe the arguments of an older name: its own, and those of the tool that it has no word for."""
    fields = tool.argument_schema["properties"]
    own = dict(_own_names(alias))
    listed = listed_part(tool.argument_schema, tool.unlisted)
    kept = {
        name: field
        for name, field in listed["properties"].items()
        if name not in own.values() and name not in alias.presets
    }
    required = [name for name in listed.get("required", ()) if name in kept]
    schema = {"type": "object", "properties": {name: fields[target] for name, target in own.items()} | kept}
    return {**schema, "required": required} if required else schema


def _own_names(alias: Alias) -> Iterator[tuple[str, str]]:
    """Return each argument that an older name has a word of its own for, and what it becomes."""
    yield from alias.renames.items()
    yield from alias.fallbacks.items()
    for target, parts in alias.joins.items():
        yield from ((part, target) for part in parts)


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
