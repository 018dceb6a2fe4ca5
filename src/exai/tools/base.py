"""What a tool is, and what it is given: its arguments, its caller, and a few hands of the house.

A tool never sees a socket, a permit or a journal row. It asks models through
`Ask`, tells how far it is through `Progress`, and returns a `ToolAnswer`.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import msgspec

from exai.consulting.context import CallContext

__all__ = [
    "Arguments",
    "JsonObject",
    "Tool",
    "ToolAnswer",
]

T = TypeVar("T")

JsonObject = dict[str, Any]


class Arguments(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of every tool's arguments; the input schema is made from it."""


@dataclass(frozen=True, slots=True)
class ToolAnswer:
    """A tool's result as every door sends it."""

    text: str
    """Short text for the model that reads it."""

    structured: JsonObject | None
    """Agrees with the tool's output schema; `None` on an error, which has no such shape."""

    meta: JsonObject | None = None
    """Goes into the result's `_meta`; an error's facts stand under `exai/error`."""

    is_error: bool = False


A = TypeVar("A", bound=Arguments)


@dataclass(frozen=True)
class Tool(Generic[A]):
    """One entry of the catalogue."""

    name: str
    title: str
    description: str
    arguments: type[A]
    run: Callable[[A, CallContext], Awaitable[ToolAnswer]]
    output_schema: JsonObject
    asks_provider: bool
    """Whether a call needs permits; the others answer however busy the house is."""

    scope: str
    """What a caller needs for it, as `exai.auth.scopes` names it."""

    argument_scopes: Mapping[str, str] = field(default_factory=dict)
    """What a caller needs besides for an argument that is given and is not false."""

    aliases: tuple[str, ...] = ()
    """Older names that answer, but are not listed."""

    argument_aliases: Mapping[str, str] = field(default_factory=dict)
    """Names that other servers have for an argument, and that agents therefore use: taken, but not listed."""

    read_only: bool = True
    open_world: bool = False
    idempotent: bool = False

    def scopes_for(self, arguments: Mapping[str, Any] | None) -> tuple[str, ...]:
        """Every scope that this call needs; judged by what was sent, so that nothing of it is looked at before."""
        if not self.argument_scopes or not arguments:
            return (self.scope,)
        given = {
            self.argument_aliases.get(name, name) for name, value in arguments.items() if value is not False
        }
        return (self.scope, *(scope for name, scope in self.argument_scopes.items() if name in given))
