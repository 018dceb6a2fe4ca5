"""Reads the answer to one request, within limits of time and size."""

import asyncio
import math
from collections.abc import Mapping, Sequence

import aiohttp
import msgspec

from exai import config
from exai.costs import Usage
from exai.errors import (
    AnswerBroken,
    AnswerCapSpent,
    AnswerEmpty,
    DeadlineExceeded,
    ProviderFailed,
    ProviderFault,
    ProviderSilent,
    ToolFault,
)
from exai.messages import Effort
from exai.providers.base import Charges, Completion, OnDelta, Prompt, ProviderTimings
from exai.providers.catalog import SearchWay
from exai.providers.faults import Names, Refusal, Verdict, fault_of, shown_code
from exai.providers.profile import CutShort, FinishReason, Profile
from exai.providers.search import clean_line
from exai.providers.wire.connections import Attempt
from exai.providers.wire.plain_reply import disconnected
from exai.providers.wire.sse import EventTooLargeError, SseParser
from exai.providers.wire.stream import (
    MAX_NAME_CHARACTERS,
    AnswerAccumulator,
    AnswerTooLongError,
    BrokenAnswerError,
    MalformedAnswerError,
    ReportedError,
)
from exai.runtime.clock import Clock
from exai.runtime.limits.deadlines import Deadline

__all__ = ["BROKEN", "Exchange", "Patience", "Waits"]

MAX_EVENT_BYTES = 4 * 2**20
"""The size of one event of a stream; the sources of a web search arrive in one."""

MAX_BODY_BYTES = 32 * 2**20
"""The size of an answer that is not streamed."""

MAX_STREAM_BYTES = 2**30
"""The size of a stream with all its framing: the longest answer of any model, a token per event."""

MAX_ERROR_BYTES = 64 * 2**10
"""How much of an error's body is read."""

DRAIN_S = 0.25
"""How long to wait for the stream's end when nothing more is needed of it, so that its connection can be reused."""

LATE_USAGE_S = 2.0
"""How long to wait for usage that comes in an event of its own: after the finish reason, and behind a broken event."""

MAX_LATE_BYTES = 2**20
"""How much is read behind a broken event."""

BROKEN = (aiohttp.ClientError, EventTooLargeError, BrokenAnswerError)
"""What `Exchange.fault` turns into our errors."""


class Patience:
    """How long each silence of a call may last, in seconds."""

    __slots__ = ("first_byte_s", "idle_s", "slack_s")

    def __init__(self, timeouts: config.Timeouts, effort: Effort | None, *, streams: bool) -> None:
        much = effort in {Effort.HIGH, Effort.MAX}
        # Without streaming the first byte comes when the whole answer is done.
        self.first_byte_s = timeouts.first_byte_max_effort_s if much or not streams else timeouts.first_byte_s
        self.idle_s = timeouts.idle_max_effort_s if much else timeouts.idle_s
        self.slack_s = min(1.0, self.first_byte_s / 8, self.idle_s / 8)


class Waits:
    """One request's timer: it fires when the provider was silent for too long, or at the call's deadline.

    The timer is moved rarely, because a move costs as much as reading a token. So a silence is never cut short, and
    may last `Patience.slack_s` longer.
    """

    __slots__ = ("_ends_at", "_moved_at", "_now", "_patience", "by_deadline", "received_any", "scope")

    def __init__(self, patience: Patience, left_s: float) -> None:
        """`left_s` is the time left to the call, in seconds."""
        self._now = asyncio.get_running_loop().time
        self._patience = patience
        self._moved_at = self._now()
        self._ends_at = self._moved_at + left_s
        self.scope = Deadline(self._bound(patience.first_byte_s))
        """The context around everything that waits."""
        self.received_any = False
        """Whether a byte of the answer was received."""

    def byte_received(self) -> None:
        """Note that a byte of the answer was received: the next silence begins."""
        now = self._now()
        patience = self._patience
        shorter = not self.received_any and patience.idle_s < patience.first_byte_s
        self.received_any = True
        if shorter or now - self._moved_at >= patience.slack_s:
            self._moved_at = now
            self.scope.move(self._bound(patience.idle_s))

    def only_for(self, seconds: float) -> None:
        """Have the timer fire in `seconds`, or at the deadline if that is sooner, unless another byte is noted."""
        self._moved_at = -math.inf
        self.scope.move(min(self._now() + seconds, self._ends_at))

    def _bound(self, seconds: float) -> float:
        silence_ends_at = self._moved_at + seconds + self._patience.slack_s
        self.by_deadline = silence_ends_at >= self._ends_at
        """Whether the timer is set to the call's deadline."""
        return min(silence_ends_at, self._ends_at)


class _Ending(msgspec.Struct, frozen=True):
    """How an answer ended."""

    reason: FinishReason
    note: str | None = None
    """For the caller, if the answer is cut, or may be, for another cause than its token cap."""
    takes_calls: bool = False
    """Whether its tool calls are whole."""
    empty: ProviderFault | None = None
    """The error if it has no text; `None`: that of an empty answer."""


class Exchange:
    """One prompt and its answer."""

    def __init__(self, profile: Profile, prompt: Prompt, on_delta: OnDelta | None, clock: Clock) -> None:
        self._profile = profile
        self._prompt = prompt
        self._declares_tools = bool(prompt.tools or prompt.web_search)
        self._model = prompt.model
        self._names = Names(profile.title, prompt.model.name, profile.key_hint, profile.url_setting)
        self._clock = clock
        self._answer = AnswerAccumulator(on_delta, profile.think_tags)
        self._timings = ProviderTimings()
        self._began = clock.monotonic()
        self._first_at: float | None = None
        self._request_id: str | None = None
        self._refusal = False
        """Whether the provider refused before it sent any of an answer."""

    async def read(self, response: aiohttp.ClientResponse, attempt: Attempt, waits: Waits) -> None:
        """Read the response to its end.

        Raises:
            ProviderFault: the provider refused.
            BROKEN: see `fault`.
            TimeoutError: see `timed_out`.
        """
        self._timings.connect_ms = attempt.connect_s * 1000
        headers = response.headers
        if self._profile.request_id_header is not None:
            self._request_id = clean_line(headers.get(self._profile.request_id_header), MAX_NAME_CHARACTERS)
        if response.status != 200:
            self._refusal = True
            body = await _read_up_to(response, MAX_ERROR_BYTES, waits)
            raise self._refused(response.status, headers, body)
        kind = headers.get("Content-Type", "")
        if "event-stream" in kind.lower():
            await self._read_stream(response.content, waits)
        else:
            self._answer.add_whole(await _read_up_to(response, MAX_BODY_BYTES, waits))

    @property
    def is_answered(self) -> bool:
        """Whether the answer is complete, so that nothing which follows can spoil it."""
        return self._answer.done or self._answer.is_finished

    async def _read_stream(self, content: aiohttp.StreamReader, waits: Waits) -> None:
        parser = SseParser(MAX_EVENT_BYTES)
        try:
            await self._read_events(content, parser, waits)
        except asyncio.CancelledError:
            # What arrived just when the caller left, or the time was over, is charged for too.
            self._answer.add_late_usage(_unread(content, parser))
            raise

    async def _read_events(self, content: aiohttp.StreamReader, parser: SseParser, waits: Waits) -> None:
        answer = self._answer
        size = 0
        while not answer.done:
            chunk = await content.readany()
            size += len(chunk)
            if size > MAX_STREAM_BYTES:
                raise AnswerTooLongError
            before = answer.progress
            if events := parser.feed(chunk) if chunk else parser.finish():
                try:
                    answer.add_events(events)
                except BrokenAnswerError:
                    await _read_late_usage(content, parser, answer, events)
                    raise
                if self._first_at is None and answer.begun:
                    self._first_at = self._clock.monotonic()
            if not self.is_answered:
                waits.byte_received()
            elif answer.progress != before:
                waits.only_for(DRAIN_S if answer.has_late_usage or answer.done else LATE_USAGE_S)
            if not chunk:
                return
        if not content.is_eof():
            await content.readany()

    def note(self, charges: Charges) -> None:
        """Note what the answer is charged for, as far as it came."""
        usage = self._answer.usage
        if usage != Usage():
            charges.report(usage)
        elif self._refusal:
            charges.clear()
        if self._prompt.web_search and (searches := self._searches()):
            charges.services["web_search"] += searches

    def _searches(self) -> int:
        """How many searches it made: one before the answer, or as many as the model called of the provider's tool."""
        if self._model.web_search is not SearchWay.BUILTIN:
            return int(self._answer.arrived)
        tool = (self._profile.search_tool or {}).get("function", {}).get("name")
        return sum(call.name == tool for call in self._answer.tool_calls)

    def completion(self, provider: str, notes: tuple[str, ...]) -> Completion:
        """Return the answer, after it was read.

        Raises:
            ProviderFault: it is no valid answer.
        """
        answer = self._answer
        answer.end()
        ending = self._ending()
        text = answer.text
        is_empty = not text or text.isspace()
        # A limit cuts tool calls as it cuts text, and a tool that was not declared cannot be called.
        calls = answer.tool_calls if ending.takes_calls and self._declares_tools else ()
        finish = ending.reason
        if calls:
            finish = "tool_calls"
        elif finish == "tool_calls":
            ending = self._without_calls()
            finish = ending.reason
        if is_empty and not calls:
            raise self._with_text(ending.empty or self._empty(finish))
        return Completion(
            text=text,
            provider=provider,
            model=self._model.name,
            echoed_model=answer.echoed_model or self._model.wire_name,
            finish_reason=finish,
            cut_short=ending.note is not None,
            usage=answer.usage,
            timings=self._timed(),
            reasoning=answer.reasoning,
            tool_calls=calls,
            citations=answer.citations,
            notes=notes if ending.note is None else (*notes, ending.note),
            request_id=self._request_id or answer.id or None,
        )

    def _timed(self) -> ProviderTimings:
        ended = self._clock.monotonic()
        first = self._first_at or ended
        timings = self._timings
        timings.first_token_ms = (first - self._began) * 1000 - timings.connect_ms
        timings.generation_ms = (ended - first) * 1000
        return timings

    def fault(self, broken: Exception) -> ToolFault:
        """Return our error for one of `BROKEN`."""
        if isinstance(broken, aiohttp.ClientError):
            return self._partial_or(self._disconnected(broken))
        title, model = self._profile.title, self._model.name
        if isinstance(broken, ReportedError):
            self._refusal = not self._answer.arrived
            refusal = Refusal.of(200, {}, broken.content, self._clock.wall())
            fault = fault_of(refusal, self._profile.errors, self._names)
        elif isinstance(broken, MalformedAnswerError):
            fault = ProviderFailed(
                f"{title} sent something that is no chat completion for {model}. Try again; if it stays so, "
                f"check {self._profile.url_setting}."
            )
        else:
            fault = ProviderFailed(f"The answer of {model} is larger than any answer may be. Ask for less.")
        return self._partial_or(fault)

    def _disconnected(self, broken: aiohttp.ClientError) -> ProviderFault:
        return disconnected(broken, self._names)

    def timed_out(self, waits: Waits) -> ToolFault:
        """Return our error for an expired timer."""
        if waits.by_deadline:
            return self.too_late(0.0 if waits.received_any else self._clock.monotonic() - self._began)
        name = self._model.name
        if not waits.received_any:
            return ProviderSilent(
                f"{name} was silent for as long as a first byte may take. Try again, ask for less thinking, "
                "or raise timeouts.first_byte_s and timeouts.first_byte_max_effort_s."
            )
        return self._partial_or(
            ProviderSilent(
                f"{name} fell silent in the middle of its answer. Try again, or raise timeouts.idle_s and "
                "timeouts.idle_max_effort_s."
            )
        )

    def too_late(self, unanswered_s: float) -> DeadlineExceeded:
        """Return the error for a call whose deadline has passed."""
        return DeadlineExceeded(
            f"The time of this call ran out before {self._model.name} was done. Ask for less.",
            partial=self._answer.text,
            unanswered_s=unanswered_s,
        )

    def _refused(self, status: int, headers: Mapping[str, str], body: bytes) -> ProviderFault:
        refusal = Refusal.read(status, headers, body, self._clock.wall())
        return fault_of(refusal, self._profile.errors, self._names)

    def _ending(self) -> _Ending:
        """Return what the end of the answer means.

        Raises:
            ProviderFault: the answer failed, or broke off.
        """
        reason = self._answer.finish_reason
        if reason is None:
            if self._profile.lenient and self._answer.done:
                return _Ending("stop")
            raise self._with_text(
                AnswerBroken(
                    f"The answer of {self._model.name} ended half-way: {self._profile.title} closed the stream "
                    "without finishing it. Try again.",
                    partial=self._answer.text,
                )
            )
        meaning = self._profile.finishes.get(reason, _UNKNOWN_FINISH)
        shown = f"finish reason {shown_code(reason)}"
        if isinstance(meaning, CutShort):
            note = self._names.fill(meaning.note, shown)
            return _Ending("length", note, empty=meaning.empty.about(self._names, shown))
        if not isinstance(meaning, Verdict):
            return _Ending(meaning, takes_calls=meaning != "length")
        if meaning is _UNKNOWN_FINISH and self._profile.lenient:
            return _Ending("length", self._names.fill(_PERHAPS_CUT, shown))
        raise self._partial_or(meaning.about(self._names, shown))

    def _without_calls(self) -> _Ending:
        """Return the end of an answer that says it calls tools, and calls none that there is."""
        shown = "finish reason tool_calls"
        if not self._profile.lenient:
            raise self._partial_or(_UNKNOWN_FINISH.about(self._names, shown))
        return _Ending("length", self._names.fill(_PERHAPS_CUT, shown))

    def _partial_or(self, fault: ProviderFault) -> ProviderFault:
        """Turn a failure in the middle of an answer into `AnswerBroken`, if it may pass; return any other unchanged."""
        if not (fault.retryable and self._answer.begun):
            return self._with_text(fault)
        return self._with_text(AnswerBroken(f"The answer ended half-way. {fault}", partial=self._answer.text))

    def _with_text(self, fault: ProviderFault) -> ProviderFault:
        """Add the text that arrived."""
        fault.partial = fault.partial or self._answer.text
        return fault

    def _empty(self, finish: FinishReason) -> AnswerEmpty:
        model, name = self._model, self._model.name
        thought = bool(self._answer.reasoning or self._answer.usage.reasoning)
        least = next(iter(model.efforts), None)
        lower = least is not None and least is not model.effort_used(self._prompt.effort)
        less = f" (effort '{least}')" if lower else ""
        if finish == "length":
            cap = self._prompt.max_output_tokens
            cap_words = "its whole token cap" if cap is None else f"its whole cap of {cap:,} tokens"
            if thought:
                return AnswerCapSpent(
                    f"{name} spent {cap_words} on thinking and wrote nothing. Raise max_answer_tokens, "
                    f"or ask for less thinking{less}."
                )
            return AnswerCapSpent(f"{name} used {cap_words} and wrote nothing. Raise max_answer_tokens.")
        if thought:
            return AnswerEmpty(
                f"{name} thought, and then finished without writing anything. Ask again, or ask for less "
                f"thinking{less}."
            )
        return AnswerEmpty(
            f"{name} finished without writing anything. Ask again, or word the question differently."
        )


_UNKNOWN_FINISH = Verdict(
    ProviderFailed, "{title} ended the answer for an unknown cause ({code}). Try again or use another model."
)

_PERHAPS_CUT = (
    "{title} ended the answer for a cause that is not known here ({code}); it may be incomplete. Ask to go on if "
    "something is missing."
)


async def _read_up_to(response: aiohttp.ClientResponse, limit: int, waits: Waits) -> bytes:
    """Read the body, at most `limit` bytes. A longer answer is an error; a longer error is cut."""
    chunks = []
    size = 0
    while chunk := await response.content.readany():
        waits.byte_received()
        chunks.append(chunk)
        size += len(chunk)
        if size > limit:
            if response.status == 200:
                raise AnswerTooLongError
            break
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _unread(content: aiohttp.StreamReader, parser: SseParser) -> list[bytes]:
    """Return the events that arrived and were not read."""
    try:
        return parser.feed(content.read_nowait())
    except (aiohttp.ClientError, EventTooLargeError):
        return []


async def _read_late_usage(
    content: aiohttp.StreamReader, parser: SseParser, answer: AnswerAccumulator, events: Sequence[bytes]
) -> None:
    """Take the usage from what follows a broken event: the answer is lost, but not what it is charged for.

    `events` came in one piece with the broken one. Reads until the stream ends, at most for `LATE_USAGE_S`.
    """
    left = MAX_LATE_BYTES
    try:
        async with asyncio.timeout(LATE_USAGE_S):
            while not answer.add_late_usage(events) and left > 0 and (chunk := await content.readany()):
                left -= len(chunk)
                events = parser.feed(chunk)
    except (TimeoutError, aiohttp.ClientError, EventTooLargeError):
        return
