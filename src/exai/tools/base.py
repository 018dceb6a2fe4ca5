"""The tool interface: arguments, result, and the entry of the catalogue that binds them.

A tool never sees a socket, a permit or a journal row. It gets typed arguments and a
`CallContext`, asks models through the context, and returns a `ToolReturn`.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Generic, TypeVar

import msgspec

from exai.consulting.context import CallContext
from exai.consulting.results import Report, Result, ToolReturn
from exai.protocol.schemas import LISTED_DEPTH, input_schema
from exai.tools.aliases import Alias

__all__ = ["ANSWER_FIELDS", "SHOWN_WHOLE", "Arguments", "JsonObject", "Requested", "Tool", "ToolAnswer"]

JsonObject = dict[str, Any]

ANSWER_FIELDS = ("continuation_id", "answer")
"""What the list describes of every tool that answers: the rest explains itself where it stands."""

SHOWN_WHOLE: JsonObject = {"anthropic/maxResultSizeChars": 500_000}
"""The `meta` of a tool whose results are long by their nature: the most that Claude Code shows of one as it is. Without
it, a result from about 50,000 characters on goes to a file, and its model sees the beginning or
nothing."""


class Requested(msgspec.Struct, frozen=True):
    """What a call asks for, for its row in the journal and for its answer."""

    model: str | None = None
    conversation_id: str | None = None
    answer_tokens: int | None = None
    """How long the answer may be; not a part of the row."""


class Arguments(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of every tool's arguments; the input schema is made from it."""

    def requested(self) -> Requested:
        """Name the model and the conversation that these arguments ask for, where they ask for any."""
        return Requested()


class ToolAnswer(msgspec.Struct, frozen=True):
    """A call's answer as every door sends it."""

    text: str
    """For a model that reads it."""

    structured: JsonObject | None
    """Matches the tool's output schema; `None` for an error, which has no schema there."""

    meta: JsonObject | None = None
    """Goes into the result's `_meta`: an error's facts under `exai/error`, how a result came about under
    `exai/report`."""

    is_error: bool = False
    blocks: Sequence[JsonObject] = ()
    """In the place of its text, content blocks that say who wrote them."""
    links: Sequence[JsonObject] = ()
    """Blocks of the result's `content` behind its text, as MCP has them."""


A = TypeVar("A", bound=Arguments)
R = TypeVar("R", bound=Result)


@dataclass(frozen=True)
class Tool(Generic[A, R]):
    """One entry of the catalogue."""

    name: str
    title: str
    description: str
    arguments: type[A]
    result: type[R]
    run: Callable[[A, CallContext], Awaitable[ToolReturn[R]]]
    asks_provider: bool
    """Whether a call needs permits and is in the journal; the others answer however busy the daemon is."""

    scope: str
    """What a caller needs for it, as `exai.auth.scopes` names it."""

    argument_scopes: Mapping[str, str] = field(default_factory=dict)
    """What a caller needs besides for an argument that is given and is not false."""

    report: type[Report] | None = None
    """What it tells programs beside its results, in `_meta["exai/report"]`."""

    file_arguments: tuple[str, ...] = ()
    """Arguments that name files; the entry's `_meta` lists them under `exai/file-arguments`, for what carries files."""

    unlisted: frozenset[str] = frozenset()
    """Arguments that are accepted and documented, but not in the list of tools, which every client pays for."""

    argument_aliases: Mapping[str, str] = field(default_factory=dict)
    """Names that other servers have for an argument, and that agents therefore use: accepted, but not listed."""

    aliases: tuple[Alias, ...] = ()
    """Older names that answer, but are not listed."""

    deadline_s: float | None = None
    """How long a call may take; `None`: `timeouts.call_s`."""

    meta: JsonObject | None = None
    """The `_meta` of its entry in the list of tools."""

    read_only: bool = True
    open_world: bool = False
    destructive: bool = False
    idempotent: bool = False
    resumes: bool = False
    """Whether the call goes on with its work under its idempotency key after its process died, and repeats nothing that
    had ended."""
    answers_alike: frozenset[str] = frozenset()
    """Arguments with which alone a call's answer depends on its words, so that asking again brings nothing new; none:
    it always depends on more."""
    reports_progress: bool = False
    """Whether it says what it is at although it asks no provider itself."""
    is_listed: bool = True
    """Whether the list has it; it answers all the same."""
    listed_result: tuple[str, ...] | None = None
    """The fields of its result that the list of tools describes; `None`: all. The manual has them all."""
    listed_depth: int = LISTED_DEPTH
    """How deep the objects of its result are described in the list of tools."""

    @cached_property
    def scoped_names(self) -> frozenset[str]:
        """The names of arguments that may need a scope of their own, older ones included."""
        older = [name for name, own in self.argument_aliases.items() if own in self.argument_scopes]
        return frozenset({*self.argument_scopes, *older})

    @cached_property
    def argument_schema(self) -> JsonObject:
        """The schema of its arguments, unlisted ones included."""
        return input_schema(self.arguments)
