"""Arguments for every tool that answers a question, by the names in its schema, so that new tools are asked too."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from support.mcp_websocket import McpSocket

__all__ = ["AskedTool", "answering_tools"]

QUESTIONS = ("prompt", "problem", "question", "statement", "goal", "query", "instructions")
FILES = ("absolute_file_paths", "paths")
FURTHER: Mapping[str, Any] = {"independent": True, "change": "all"}
"""Of tools that have such an argument: what has them ask a model."""


class AskedTool:
    """A tool that is asked something."""

    def __init__(self, name: str, schema: Mapping[str, Any]) -> None:
        self.name = name
        self._properties: Mapping[str, Any] = schema["properties"]
        self._required = frozenset(schema.get("required", ()))

    @property
    def takes_files(self) -> bool:
        """Whether files or a folder can be shown to it."""
        return any(name in self._properties for name in (*FILES, "workspace"))

    @property
    def continues(self) -> bool:
        """Whether it goes on with a conversation."""
        return "continuation_id" in self._properties

    def arguments(
        self, question: str, *, files: tuple[Path, ...] = (), folder: Path | None = None
    ) -> dict[str, Any]:
        """Ask this, about these files of a folder where the tool takes them."""
        given: dict[str, Any] = {name: question for name in QUESTIONS if name in self._properties}
        given |= {name: value for name, value in FURTHER.items() if name in self._properties}
        given |= {
            name: self._properties[name]["enum"][0]
            for name in self._required
            if "enum" in self._properties[name]
        }
        if folder is not None and "workspace" in self._properties:
            given["workspace"] = str(folder)
        for name in FILES:
            if files and name in self._properties:
                given[name] = [str(path) for path in files]
        return given


async def answering_tools(client: McpSocket) -> list[AskedTool]:
    """List the tools that answer a question."""
    listed = (await client.request("tools/list"))["result"]["tools"]
    asked = [AskedTool(tool["name"], tool["inputSchema"]) for tool in listed]
    return [tool for tool in asked if tool.arguments("?").keys() & set(QUESTIONS)]
