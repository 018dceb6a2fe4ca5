"""What a fixture of the conformance suite is made of."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import mcp_types as types
from mcp.server.context import ServerRequestContext

__all__ = [
    "AUDIO",
    "IMAGE",
    "NO_ARGUMENTS",
    "Context",
    "Tool",
    "Tools",
    "ask_user",
    "asks",
    "sample",
    "text",
]

Context = ServerRequestContext[Any, Any]
ToolResult = types.CallToolResult | types.InputRequiredResult
RunTool = Callable[[Context, types.CallToolRequestParams], Awaitable[ToolResult]]

NO_ARGUMENTS: dict[str, Any] = {"type": "object", "properties": {}, "additionalProperties": False}

IMAGE = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=="
"""A PNG of one red pixel."""

AUDIO = "UklGRiQAAABXQVZFZm10IBAAAAABAAEARKwAAIhYAQACABAAZGF0YQAAAAA="
"""A WAV file without a sample."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool that the suite calls by its name."""

    description: types.Tool
    run: RunTool


@dataclass(slots=True)
class Tools:
    """Tools by name, in the order in which they are listed."""

    by_name: dict[str, Tool] = field(default_factory=dict)

    def tool(self, name: str, schema: Mapping[str, Any] = NO_ARGUMENTS) -> Callable[[RunTool], RunTool]:
        """Registers a function as a tool; the first line of its docstring is the description."""

        def register(run: RunTool) -> RunTool:
            description = (run.__doc__ or "").splitlines()[0]
            described = types.Tool(name=name, description=description, input_schema=dict(schema))
            self.by_name[name] = Tool(described, run)
            return run

        return register


def text(words: str) -> types.CallToolResult:
    """A result of one text."""
    return types.CallToolResult(content=[types.TextContent(type="text", text=words)])


def asks(state: str | None = None, /, **requests: types.InputRequest) -> types.InputRequiredResult:
    """A result that asks the client for input first; the middleware seals its state."""
    return types.InputRequiredResult(
        result_type="input_required", input_requests=requests, request_state=state
    )


def ask_user(message: str, **properties: str) -> types.ElicitRequest:
    """A form for the user, of fields and their JSON types, all required."""
    schema = {
        "type": "object",
        "properties": {name: {"type": kind} for name, kind in properties.items()},
        "required": list(properties),
    }
    return types.ElicitRequest(params=types.ElicitRequestFormParams(message=message, requested_schema=schema))


def sample(prompt: str, max_tokens: int = 100) -> types.CreateMessageRequest:
    """A prompt for the client's model."""
    message = types.SamplingMessage(role="user", content=types.TextContent(type="text", text=prompt))
    return types.CreateMessageRequest(
        params=types.CreateMessageRequestParams(messages=[message], max_tokens=max_tokens)
    )
