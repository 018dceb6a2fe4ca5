"""Accumulates the parts of a chat completion into text, reasoning, tool calls, usage and sources.

It reads what any provider documents, in any of the documented places, and bounds all that it keeps.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from exai.costs import Usage
from exai.messages import Citation, ToolCall
from exai.providers.base import DeltaKind, OnDelta
from exai.providers.profile import ThinkTags
from exai.providers.search import clean_line
from exai.providers.untrusted_json import UnreadableJsonError, as_count, read_json
from exai.providers.wire.answer_text import AnswerText, AnswerTooLongError, BrokenAnswerError
from exai.providers.wire.parts import Choice, Part, read_part
from exai.providers.wire.tool_calls import ToolCallAccumulator

__all__ = [
    "MAX_NAME_CHARACTERS",
    "AnswerAccumulator",
    "AnswerTooLongError",
    "BrokenAnswerError",
    "MalformedAnswerError",
    "ReportedError",
]

MAX_TOKENS = 100_000_000
"""Of one request: a hundred times the largest window. A larger count is none."""

MAX_CITATIONS = 100

MAX_NAME_CHARACTERS = 128
"""Of the ids and names that are shown."""

DONE = b"[DONE]"

_NO_REASONS = {None, "", "null"}
"""What servers send as the finish reason of a part that is not the last."""

_COUNTS = frozenset({"prompt_tokens", "completion_tokens", "cached_tokens", "cache_write_tokens"})
_DETAILS = frozenset({"prompt_tokens_details", "completion_tokens_details"})


class MalformedAnswerError(BrokenAnswerError):
    """A part of it is not a chat completion."""


class ReportedError(BrokenAnswerError):
    """It is an error inside a response with status 200; `content` is its decoded JSON."""

    def __init__(self, content: Any) -> None:
        super().__init__()
        self.content = content


class AnswerAccumulator:
    """Accumulates the parts of one answer, and calls `on_delta` with each piece."""

    __slots__ = (
        "_calls",
        "_citations",
        "_more_since_finish",
        "_read_usage",
        "_text",
        "_usage",
        "done",
        "echoed_model",
        "finish_reason",
        "has_late_usage",
        "id",
    )

    def __init__(self, on_delta: OnDelta | None, think_tags: ThinkTags = "off") -> None:
        self._text = AnswerText(on_delta, think_tags)
        self._calls: ToolCallAccumulator | None = None
        self._usage: dict[str, Any] = {}
        self._read_usage: Usage | None = None
        """What `_usage` says; `None`: not read since it changed."""
        self._citations: dict[tuple[str, str], Citation] = {}
        self._more_since_finish = True
        self.done = False
        """Whether the provider sent the end of the answer."""
        self.finish_reason: str | None = None
        self.has_late_usage = False
        """Whether usage came with the finish reason, or after it."""
        self.echoed_model: str | None = None
        self.id: str | None = None

    @property
    def begun(self) -> bool:
        """Whether any text, reasoning or tool call has arrived."""
        return self._text.characters > 0

    @property
    def progress(self) -> tuple[object, ...]:
        """A value that differs when more of the answer, or its end, has arrived."""
        return self._text.characters, self.finish_reason, self.has_late_usage, self.done

    @property
    def is_finished(self) -> bool:
        """Whether its finish reason has arrived, and nothing of the answer after it."""
        return self.finish_reason is not None and not self._more_since_finish

    @property
    def arrived(self) -> bool:
        """Whether any part of an answer has arrived, be it its end or its sources alone."""
        return bool(self.begun or self.finish_reason or self._citations or self._usage)

    @property
    def text(self) -> str:
        return self._text.text

    @property
    def reasoning(self) -> str | None:
        return self._text.reasoning

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        return () if self._calls is None else self._calls.calls

    @property
    def citations(self) -> tuple[Citation, ...]:
        return tuple(self._citations.values())

    @property
    def usage(self) -> Usage:
        """The token counts, from any of the documented places."""
        if self._read_usage is None:
            self._read_usage = self._usage_as_seen()
        return self._read_usage

    def _usage_as_seen(self) -> Usage:
        seen = self._usage
        prompt_details = seen.get("prompt_tokens_details")
        completion_details = seen.get("completion_tokens_details")
        cached = None if prompt_details is None else _count(prompt_details, "cached_tokens")
        written = None if prompt_details is None else _count(prompt_details, "cache_write_tokens")
        thought = None if completion_details is None else _count(completion_details, "reasoning_tokens")
        return Usage(
            input=seen.get("prompt_tokens"),
            cached=seen.get("cached_tokens") if cached is None else cached,
            output=seen.get("completion_tokens"),
            reasoning=thought,
            cache_write=written or seen.get("cache_write_tokens"),
        )

    def add_events(self, events: Sequence[bytes]) -> None:
        """Add the events that one piece of a stream completed.

        Raises:
            MalformedAnswerError: an event is not a chunk of a chat completion; the events before it were added.
            ReportedError: the provider reports an error; the events before it were added.
            AnswerTooLongError: the answer is longer than any model's may be.
        """
        done = DONE in events
        if done:
            events = events[: events.index(DONE)]
        try:
            for event in events:
                if event and not event.isspace():
                    self._add(event)
        finally:
            self._text.flush()
        self.done = done

    def add_late_usage(self, events: Sequence[bytes]) -> bool:
        """Add the usage of events that follow a broken one, and nothing else; return whether they end the stream."""
        for event in events:
            if event == DONE:
                return True
            try:
                part = read_part(event)
            except (UnreadableJsonError, RecursionError):
                continue
            for usage in (part.usage, *(choice.usage for choice in part.choices or ())):
                if isinstance(usage, dict):
                    self._add_usage(usage)
        return False

    def add_whole(self, body: bytes) -> None:
        """Add the body of an answer that was not streamed.

        Raises:
            MalformedAnswerError: it is not a chat completion.
            ReportedError: it is an error.
            AnswerTooLongError: the answer is longer than any model's may be.
        """
        part = self._add(body)
        self._text.flush()
        if not part.choices:
            raise MalformedAnswerError
        self.done = True

    def end(self) -> None:
        """Complete the text: nothing more will come."""
        self._text.end(cut=self.finish_reason != "stop")

    def _add(self, event: bytes) -> Part:
        try:
            part = read_part(event)
            if part.is_error:
                raise ReportedError(read_json(event))
            if self.echoed_model is None:
                self.id, self.echoed_model = self.id or _name(part.id), _name(part.model)
            for choice in part.choices or ():
                self._add_choice(choice)
            if isinstance(part.usage, dict):
                self._add_usage(part.usage)
            if isinstance(part.web_search, list):
                self._add_citations(part.web_search)
        except (UnreadableJsonError, RecursionError) as fault:
            raise MalformedAnswerError from fault
        return part

    def _add_choice(self, choice: Choice) -> None:
        piece = choice.delta or choice.message
        if piece is not None:
            if reasoning := piece.reasoning_content or piece.reasoning:
                self._text.add(DeltaKind.REASONING, reasoning)
                self._more_since_finish = True
            if text := piece.content or piece.refusal:
                self._text.add(DeltaKind.TEXT, text)
                self._more_since_finish = True
            if piece.tool_calls:
                if self._calls is None:
                    self._calls = ToolCallAccumulator()
                self._text.count(self._calls.add(piece.tool_calls, whole=choice.delta is None))
                self._more_since_finish = True
        # The first reason stands, unless the answer went on after it.
        if self._more_since_finish and choice.finish_reason not in _NO_REASONS:
            self.finish_reason = choice.finish_reason
            self._more_since_finish = False
        if isinstance(choice.usage, dict):
            self._add_usage(choice.usage)

    def _add_usage(self, usage: Mapping[str, Any]) -> None:
        """Add token counts: later ones replace earlier ones; one that is missing later is kept."""
        self._read_usage = None
        for name in _COUNTS.intersection(usage):
            if (count := _count(usage, name)) is not None:
                self._usage[name] = count
        for name in _DETAILS:
            if isinstance(usage.get(name), dict):
                self._usage[name] = usage[name]
        self.has_late_usage = self.finish_reason is not None

    def _add_citations(self, sources: Sequence[Any]) -> None:
        for source in sources[:MAX_CITATIONS]:
            if not isinstance(source, dict) or len(self._citations) >= MAX_CITATIONS:
                continue
            title, url, published = (
                clean_line(source.get(name), limit)
                for name, limit in (("title", 300), ("link", 2_000), ("publish_date", 40))
            )
            if title or url:
                self._citations[title, url] = Citation(title, url, published or None)


def _name(value: Any) -> str | None:
    return clean_line(value, MAX_NAME_CHARACTERS) or None


def _count(source: Mapping[str, Any], name: str) -> int | None:
    value = source.get(name)
    return None if value is None else as_count(value, MAX_TOKENS)
