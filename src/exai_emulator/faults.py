"""What can be made to go wrong, and the queue of what will."""

import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

import msgspec

from exai_emulator.clock import EmulatedClock

__all__ = ["Fault", "FaultQueue", "FrameFault", "QueuedFault"]

FrameFault = Literal[
    "truncated_json",
    "not_json",
    "duplicate",
    "wrong_index",
    "missing_id",
    "null_delta",
    "missing_choices",
    "empty_choices",
    "extra_fields",
    "error",
    "comment",
    "bad_sse",
    "event_lines",
    "deep",
    "half_surrogate",
    "split_surrogate",
    "odd_types",
]


_SELECTION = frozenset({"times", "lasts_s", "probability", "path", "key"})
"""The parts that say which requests are struck."""


class Fault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One thing that goes wrong with the next matching requests; the parts combine.

    A fault strikes after the request was authenticated and found valid, so a request
    that is refused anyway does not use it up.
    """

    times: int | None = 1
    """How many requests it strikes; None until it is cleared."""
    lasts_s: float | None = None
    """Instead of `times`: it strikes every request for so long after its first, by the emulator's clock."""
    probability: float = 1
    """How likely it strikes a request that fits, by the emulator's seed. A miss does not use it up."""
    model: str | None = None
    """Only requests for this model."""
    path: str | None = "/chat/completions"
    """Only requests whose path ends so; None for every path."""
    key: str | None = None
    """Only requests with this key."""

    before_headers_ms: float = 0
    """Silence before the status line."""
    before_first_byte_ms: float = 0
    """The headers at once, then silence before the body."""
    heartbeat_ms: float = 0
    """During the silences of a stream, a comment frame at this interval."""

    error: str | None = None
    """Answer with this row of the provider's error table (`GET /_ctl/faults` lists the names)."""
    message: str | None = None
    """The text of that error instead of its own."""
    status: int | None = None
    """Answer with this status and `body`."""
    body: str = ""
    headers: dict[str, str | None] = {}
    """Headers of the answer, changed or added; None removes one."""

    cut: Literal["reset", "close", "stall", "truncate", "trickle", "end", "bad_chunk"] | None = None
    """`reset`: RST. `close`: FIN, the body incomplete. `stall`: silence. `truncate`: an answer that does not
    stream announces more bytes than it sends and a stream lacks its last chunk. `trickle`: single bytes.
    `end`: a stream ends as HTTP wants it, its answer incomplete. `bad_chunk`: a chunk whose size is no number."""
    at: Literal["while_receiving", "before_headers", "after_headers", "mid_body", "mid_frame"] = "mid_body"
    """Where `cut` happens. In a stream `mid_body` is after `after_frames` frames, `mid_frame` in the next.

    `while_receiving` is after `after_bytes` of the request's body, before anything is looked at but path and key: the
    connection is cut, the reading stalls or trickles, or the error or status comes while the body is still sent.
    """
    after_bytes: int = 0
    """How much of the body comes before a fault at `while_receiving`; a shorter body comes whole."""
    takes_effect: bool = False
    """What was asked has happened all the same, although an error or another reply comes."""
    stall_ms: float | None = None
    """How long a stall lasts; None until the client leaves. For `trickle`, the time between two bytes."""

    frame: FrameFault | None = None
    """A malformed frame after `after_frames` frames. Without streaming, the whole body is malformed alike."""
    after_frames: int = 1
    endless: bool = False
    """After `after_frames` frames the content goes on until the client leaves."""
    done: Literal["missing", "twice", "data_after", "unterminated", "withheld"] | None = None
    """What is wrong with `[DONE]`; `unterminated` lacks the line end and the blank line, and instead of one that is
    `withheld` there is silence, with heartbeats, until the client leaves."""
    role: Literal["every", "first", "never"] | None = None
    """Which deltas of a stream have a `role`."""
    unfinished: Literal["null", "absent"] | None = None
    """What `finish_reason` is in the chunks of a stream before the last."""
    gzip: Literal["whole", "cut"] | None = None
    """Compress the answer although nobody asked for it; `cut` loses the second half."""
    crlf: bool = False
    """End the lines of a stream with CRLF."""
    bytes_per_write: int = 0
    """Cut a stream into TCP writes of this size, through frames and UTF-8 characters."""

    finish_reason: str | None = None
    content: Literal["empty", "null", "reasoning_only"] | None = None
    """`empty` gives "", `null` null, `reasoning_only` thinking and no content."""
    echo_model: str | None = None
    """The model that the answer names."""
    usage: Literal["top", "choice", "extra", "none"] | None = None
    """Where the usage goes; without streaming only `none` has an effect."""
    counts: Literal["infinite", "long"] | None = None
    """What the token counts of the usage are: `1e400`, or integers of 4,999 digits."""
    think_tags: Literal["both", "closing"] | None = None
    """Thinking stands in the content: between `<think>` and `</think>`, or before a `</think>` alone."""

    def __post_init__(self) -> None:
        if self.times is not None and self.times < 1:
            raise ValueError("A fault's times is at least 1, or null for every request until it is cleared.")
        if not 0 < self.probability <= 1:
            raise ValueError("A fault's probability is above 0 and at most 1.")
        if self.lasts_s is not None and self.lasts_s <= 0:
            raise ValueError("A fault's lasts_s is above 0.")
        if self.error is not None and self.status is not None:
            raise ValueError("A fault answers with an error of the table or with a status, not with both.")
        if self.at == "while_receiving" and not (
            self.cut in {"reset", "close", "stall", "trickle"}
            or (self.cut is None and self.replaces_the_answer)
        ):
            raise ValueError(
                "A fault at while_receiving resets, closes, stalls, trickles or answers otherwise."
            )
        if self.takes_effect and not self.replaces_the_answer:
            raise ValueError("A fault takes effect all the same only where another reply comes.")
        if self.status is not None and not 200 <= self.status <= 599:
            raise ValueError("A fault's status is between 200 and 599.")
        durations = (self.before_headers_ms, self.before_first_byte_ms, self.heartbeat_ms, self.stall_ms or 0)
        counts = (self.after_frames, self.after_bytes, self.bytes_per_write)
        if min(durations) < 0 or min(counts) < 0:
            raise ValueError("A fault's times and counts cannot be negative.")
        for name, value in self.headers.items():
            if any(character in f"{name}{value}" for character in "\r\n\0"):
                raise ValueError(f"The header {name!r} of a fault holds a line break.")

    @property
    def replaces_the_answer(self) -> bool:
        """Whether an error or another reply comes instead; the error of the frame `error` does not."""
        return self.status is not None or (self.error is not None and self.frame != "error")

    def described(self) -> str:
        """The parts that differ from none, in one line."""
        parts = msgspec.to_builtins(self)
        return ", ".join(f"{name}={value}" for name, value in parts.items() if name not in _SELECTION)


@dataclass(slots=True)
class QueuedFault:
    """A fault that waits for its request."""

    provider: str
    fault: Fault
    left: int | None
    ends_at: float | None = None
    """By the emulator's clock, once a fault that lasts has struck."""


class HasErrors(Protocol):
    """What a queue needs to know of a provider."""

    @property
    def errors(self) -> Mapping[str, object]:
        """The error table by name."""
        ...


class FaultQueue:
    """The faults to come, first in first out, and how many struck."""

    def __init__(self, apis: Mapping[str, HasErrors], clock: EmulatedClock, seed: int) -> None:
        self._apis = apis
        self._clock = clock
        self._seed = seed
        self.reset()

    def reset(self) -> None:
        """As at the start."""
        self._random = random.Random(self._seed)  # noqa: S311 - it must repeat itself
        self.queued: list[QueuedFault] = []
        self.struck: Counter[str] = Counter()
        """How often, by provider."""
        self.struck_by: Counter[tuple[str, str]] = Counter()
        """How often, by provider and the fault in words."""

    @property
    def error_names(self) -> dict[str, frozenset[str]]:
        """The names of each provider's error table."""
        return {name: frozenset(api.errors) for name, api in self._apis.items()}

    def check(self, provider: str, fault: Fault) -> None:
        """Raise ValueError when there is no such provider, or it has no such error."""
        if provider not in self._apis:
            raise ValueError(f"There is no provider {provider!r}; there are {', '.join(self._apis)}.")
        names = self._apis[provider].errors
        if fault.error is not None and fault.error not in names:
            raise ValueError(f"{provider} has no error {fault.error!r}; it has {', '.join(sorted(names))}.")

    def add(self, provider: str, fault: Fault) -> None:
        """Queue `fault` for `provider`. Raises ValueError when there is no such provider or error."""
        self.check(provider, fault)
        self.queued.append(QueuedFault(provider, fault, None if fault.lasts_s else fault.times))

    def clear(self, provider: str | None = None) -> None:
        """Nothing more goes wrong, everywhere or at one provider."""
        self.queued = [] if provider is None else [row for row in self.queued if row.provider != provider]

    def take(
        self, provider: str, path: str, model: str | None, key: str = "", *, receiving: bool = False
    ) -> Fault | None:
        """The fault that strikes this request, if one waits for it: while its body is `receiving`, or afterwards."""
        if not self.queued:
            return None
        self.queued = [entry for entry in self.queued if not self._is_over(entry)]
        for place, entry in enumerate(self.queued):
            fault = entry.fault
            if (
                entry.provider == provider
                and (fault.at == "while_receiving") is receiving
                and (fault.path is None or path.endswith(fault.path))
                and fault.model in (None, model)
                and fault.key in (None, key)
                and (fault.probability == 1 or self._random.random() < fault.probability)
            ):
                if entry.left is not None:
                    entry.left -= 1
                    if entry.left == 0:
                        del self.queued[place]
                if fault.lasts_s is not None and entry.ends_at is None:
                    entry.ends_at = self._clock.now() + fault.lasts_s
                self.count(provider, fault)
                return fault
        return None

    def count(self, provider: str, fault: Fault) -> None:
        """Note that a fault strikes."""
        self.struck[provider] += 1
        self.struck_by[provider, fault.described()] += 1

    def _is_over(self, entry: QueuedFault) -> bool:
        return entry.ends_at is not None and self._clock.now() >= entry.ends_at
