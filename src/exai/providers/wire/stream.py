"""Accumulates the parts of a chat completion into text, reasoning, tool calls, usage and sources.

It reads what any provider documents, in any of the documented places; an optional field that is missing or of a wrong
type is ignored.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from exai.costs import Usage
from exai.messages import Citation, ToolCall
from exai.providers.base import DeltaKind, OnDelta
from exai.providers.search import clean_line
from exai.providers.wire.tool_calls import CallPiece, ToolCallAccumulator

__all__ = [
    "AnswerAccumulator",
    "AnswerTooLongError",
    "BrokenAnswerError",
    "MalformedAnswerError",
    "ReportedError",
]

MAX_ANSWER_CHARACTERS = 32 * 2**20
"""Text and reasoning together: several times the longest answer of any model."""

DONE = b"[DONE]"


class BrokenAnswerError(Exception):
    """What was received is no answer."""


class MalformedAnswerError(BrokenAnswerError):
    """A part of it is not a chat completion."""


class AnswerTooLongError(BrokenAnswerError):
    """It is longer than any model's answer may be."""


class ReportedError(BrokenAnswerError):
    """It is an error inside a response with status 200; `body` is its JSON."""

    def __init__(self, body: bytes) -> None:
        super().__init__()
        self.body = body


class _Piece(msgspec.Struct, gc=False):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[CallPiece] | None = None


class _Choice(msgspec.Struct, gc=False):
    delta: _Piece | None = None
    message: _Piece | None = None
    finish_reason: str | None = None
    usage: msgspec.Raw = msgspec.Raw()


class _Part(msgspec.Struct, gc=False):
    """One event of a stream, or a whole body: the fields that are read from each."""

    choices: list[_Choice] | None = None
    usage: msgspec.Raw = msgspec.Raw()
    error: msgspec.Raw = msgspec.Raw()
    success: bool | None = None
    web_search: msgspec.Raw = msgspec.Raw()
    base_resp: msgspec.Raw = msgspec.Raw()
    """MiniMax's status, in every answer."""


class _Head(msgspec.Struct):
    """The fields that every part repeats; they are read once."""

    id: Any = None
    model: Any = None


_parts = msgspec.json.Decoder(_Part)
_heads = msgspec.json.Decoder(_Head)
_anything = msgspec.json.Decoder()


class AnswerAccumulator:
    """Accumulates the parts of one answer, and calls `on_delta` with each piece."""

    __slots__ = (
        "_calls",
        "_characters",
        "_citations",
        "_on_delta",
        "_pending",
        "_pending_kind",
        "_reasoning",
        "_text",
        "_usage",
        "done",
        "echoed_model",
        "finish_reason",
        "id",
    )

    def __init__(self, on_delta: OnDelta | None) -> None:
        self._on_delta = on_delta
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._characters = 0
        self._pending: list[str] = []
        """Pieces of one kind that were not passed to `on_delta` yet."""
        self._pending_kind = DeltaKind.TEXT
        self._calls: ToolCallAccumulator | None = None
        self._usage: dict[str, Any] = {}
        self._citations: dict[tuple[str, str], Citation] = {}
        self.done = False
        """Whether the provider sent the end of the answer."""
        self.finish_reason: str | None = None
        self.echoed_model: str | None = None
        self.id: str | None = None

    @property
    def begun(self) -> bool:
        """Whether any text, reasoning or tool call has arrived."""
        return self._characters > 0

    @property
    def text(self) -> str:
        return "".join(self._text)

    @property
    def reasoning(self) -> str | None:
        return "".join(self._reasoning) or None

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        return () if self._calls is None else self._calls.calls

    @property
    def citations(self) -> tuple[Citation, ...]:
        return tuple(self._citations.values())

    @property
    def usage(self) -> Usage:
        """The token counts, from any of the documented places."""
        seen = self._usage
        prompt_details = seen.get("prompt_tokens_details")
        completion_details = seen.get("completion_tokens_details")
        cached = _count(prompt_details, "cached_tokens")
        return Usage(
            input=_count(seen, "prompt_tokens"),
            cached=_count(seen, "cached_tokens") if cached is None else cached,
            output=_count(seen, "completion_tokens"),
            reasoning=_count(completion_details, "reasoning_tokens"),
            cache_write=_count(prompt_details, "cache_write_tokens") or _count(seen, "cache_write_tokens"),
        )

    def add_events(self, events: Sequence[bytes]) -> None:
        """Add the events that one piece of a stream completed.

        Raises:
            MalformedAnswerError: an event is not a chunk of a chat completion; the events before it were added.
            ReportedError: the provider reports an error; the events before it were added.
            AnswerTooLongError: the answer is longer than any model's may be.
        """
        if DONE in events:
            events = events[: events.index(DONE)]
            self.done = True
        if self.echoed_model is None:
            self._read_head(events)
        try:
            parts = (
                _parts.decode_lines(b"\n".join(events))
                if len(events) > 1
                else [_parts.decode(event) for event in events if event]
            )
        except (msgspec.DecodeError, UnicodeDecodeError):
            self._add_one_by_one(events)
            return
        self._add(parts, events)

    def add_whole(self, body: bytes) -> None:
        """Add the body of an answer that was not streamed.

        Raises:
            MalformedAnswerError: it is not a chat completion.
            ReportedError: it is an error.
            AnswerTooLongError: the answer is longer than any model's may be.
        """
        self._read_head([body])
        try:
            part = _parts.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError) as fault:
            raise MalformedAnswerError from fault
        self._add([part], [body])
        if not part.choices:
            raise MalformedAnswerError
        self.done = True

    def _read_head(self, events: Sequence[bytes]) -> None:
        for event in events:
            try:
                head = _heads.decode(event)
            except (msgspec.DecodeError, UnicodeDecodeError):
                return
            if isinstance(head.id, str):
                self.id = head.id
            if isinstance(head.model, str):
                self.echoed_model = head.model
                return

    def _add_one_by_one(self, events: Sequence[bytes]) -> None:
        """Add what precedes the malformed event, then raise its error."""
        for event in events:
            if not event.strip():
                continue
            try:
                part = _parts.decode(event)
            except (msgspec.DecodeError, UnicodeDecodeError) as fault:
                raise MalformedAnswerError from fault
            self._add([part], [event])

    def _add(self, parts: Sequence[_Part], events: Sequence[bytes]) -> None:
        """Add decoded parts; adjacent pieces of one kind are passed to `on_delta` as one."""
        try:
            for part in parts:
                if (
                    (part.error and _present(part.error))
                    or part.success is False
                    or (part.base_resp and _failed(part.base_resp))
                ):
                    raise ReportedError(_error_body(part, events))
                if part.usage and _present(part.usage):
                    self._add_usage(part.usage)
                if part.web_search and _present(part.web_search):
                    self._add_citations(part.web_search)
                for choice in part.choices or ():
                    self._add_choice(choice)
        finally:
            self._flush()

    def _add_choice(self, choice: _Choice) -> None:
        if choice.finish_reason:
            self.finish_reason = choice.finish_reason
        if choice.usage and _present(choice.usage):
            self._add_usage(choice.usage)
        piece = choice.delta or choice.message
        if piece is None:
            return
        if reasoning := piece.reasoning_content or piece.reasoning:
            if self._pending_kind is not DeltaKind.REASONING:
                self._flush()
                self._pending_kind = DeltaKind.REASONING
            self._pending.append(reasoning)
        if piece.content:
            if self._pending_kind is not DeltaKind.TEXT:
                self._flush()
                self._pending_kind = DeltaKind.TEXT
            self._pending.append(piece.content)
        if piece.tool_calls:
            if self._calls is None:
                self._calls = ToolCallAccumulator()
            self._count(self._calls.add(piece.tool_calls, whole=choice.delta is None))

    def _count(self, characters: int) -> None:
        self._characters += characters
        if self._characters > MAX_ANSWER_CHARACTERS:
            raise AnswerTooLongError

    def _flush(self) -> None:
        """Add the pending pieces to the answer, and pass them to `on_delta`."""
        if not self._pending:
            return
        kind, piece = self._pending_kind, "".join(self._pending)
        self._pending.clear()
        (self._text if kind is DeltaKind.TEXT else self._reasoning).append(piece)
        self._count(len(piece))
        if self._on_delta is not None:
            self._on_delta(kind, piece)

    def _add_usage(self, raw: msgspec.Raw) -> None:
        """Add token counts: later ones replace earlier ones; one that is missing later is kept."""
        usage = _anything.decode(raw)
        if isinstance(usage, dict):
            self._usage.update((name, value) for name, value in usage.items() if value is not None)

    def _add_citations(self, raw: msgspec.Raw) -> None:
        sources = _anything.decode(raw)
        for source in sources if isinstance(sources, list) else ():
            if not isinstance(source, dict):
                continue
            title, url, published = (
                clean_line(source.get(name), limit)
                for name, limit in (("title", 300), ("link", 2_000), ("publish_date", 40))
            )
            if title or url:
                self._citations[title, url] = Citation(title, url, published or None)


def _present(raw: msgspec.Raw) -> bool:
    return bytes(raw) != b"null"


def _failed(base_resp: msgspec.Raw) -> bool:
    status = _anything.decode(base_resp)
    return isinstance(status, dict) and status.get("status_code", 0) != 0


def _count(source: Any, name: str) -> int | None:
    value = source.get(name) if isinstance(source, dict) else None
    return value if type(value) is int and value >= 0 else None


def _error_body(part: _Part, events: Sequence[bytes]) -> bytes:
    if part.error and _present(part.error):
        return b'{"error":' + bytes(part.error) + b"}"
    return events[-1]
