"""The catalogue of tools: what is listed, and what else answers."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from exai.errors import UnknownTool
from exai.protocol.schemas import input_schema
from exai.tools.base import JsonObject, Tool

__all__ = ["Registry", "ToolDescription"]


@dataclass(frozen=True)
class ToolDescription:
    """A tool as `tools/list` shows it."""

    name: str
    title: str
    description: str
    input_schema: JsonObject
    output_schema: JsonObject | None
    annotations: JsonObject


class Registry:
    """Tools by name and by older name."""

    def __init__(self, tools: Iterable[Tool[Any]]) -> None:
        self._tools: dict[str, Tool[Any]] = {}
        listing = []
        for tool in tools:
            for name in (tool.name, *tool.aliases):
                if name in self._tools:
                    raise ValueError(f"two tools answer to {name!r}")
                self._tools[name] = tool
            listing.append(_described(tool))
        self.listing = tuple(listing)
        """The default list; older names answer without being in it."""
        self._schemas = {description.name: description.input_schema for description in self.listing}

    def find(self, name: str) -> Tool[Any]:
        """The tool of that name.

        Raises:
            UnknownTool: nothing answers to it.
        """
        tool = self._tools.get(name)
        if tool is None:
            known = ", ".join(description.name for description in self.listing)
            raise UnknownTool(f"Unknown tool {name[:80]!r}. This server has: {known}.")
        return tool

    def input_schema(self, name: str) -> JsonObject | None:
        """The schema of a tool's arguments; `None` for an unknown one."""
        tool = self._tools.get(name)
        return None if tool is None else self._schemas[tool.name]


def _described(tool: Tool[Any]) -> ToolDescription:
    return ToolDescription(
        name=tool.name,
        title=tool.title,
        description=tool.description,
        input_schema=input_schema(tool.arguments),
        output_schema=tool.output_schema,
        annotations={
            "readOnlyHint": tool.read_only,
            "destructiveHint": False,
            "idempotentHint": tool.idempotent,
            "openWorldHint": tool.open_world,
        },
    )
