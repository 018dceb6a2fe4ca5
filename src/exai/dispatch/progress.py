"""Progress notifications of a running call: the answer as it grows, and a heartbeat while nothing comes.

The message of each is a sentence for people that stands alone; what programs add up is in its `_meta`. Deltas leave at
once while the event loop has time; the less it has, the longer they gather (`Pace`). Each notification is awaited
before the next is made: a caller that reads slowly gets fewer and larger ones. The first piece of reasoning and the
first piece of text never wait for others.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import groupby
from operator import itemgetter
from types import TracebackType
from typing import Any, Self

from exai.dispatch.progress_messages import Telling
from exai.providers.base import DeltaKind, OnDelta
from exai.runtime import tasks
from exai.runtime.clock import Clock
from exai.runtime.limits.deadlines import Deadline

__all__ = [
    "DELTA_KEY",
    "HEARTBEAT_S",
    "KIND_KEY",
    "MODEL_KEY",
    "Pace",
    "ProgressFanout",
    "ProgressReporter",
    "SendProgress",
]

SendProgress = Callable[[float, str, dict[str, Any]], Awaitable[None]]
"""Sends one notification: a strictly growing number, the message, its `_meta`."""

KIND_KEY = "exai/kind"
"""In `_meta`: `text` or `reasoning` where a model has said more; `status` where the message is all there is."""

DELTA_KEY = "exai/delta"
"""In the `_meta` of `text` and `reasoning`: what was said since the one before of that kind and model."""

MODEL_KEY = "exai/model"
"""Beside a delta: the model that said it."""

INTERVAL_S = 0.05
"""Between two messages of one call, while the event loop has no time."""

MESSAGES_PER_S = 500
"""Of all calls together, then: with many of them each sends less often, and a first word need not queue."""

AT_ONCE = 0.5
"""Share of its time that the loop's thread may run before deltas gather."""

NO_TIME = 0.9
"""Share from which on they gather for the whole interval."""

WINDOW_S = 0.02
"""Time over which a share is measured, at least."""

HEARTBEAT_S = 4.0
"""Below the promised 5 s, so that a busy loop still keeps the promise."""
_CLOSE_S = 0.01
"""How near a heartbeat is due: differences of floats fall short of it by less than a clock can tell."""

_SAYING = itemgetter(0)


class Pace:
    """For how long deltas gather, by how busy the loop's thread was lately; one for all calls of a daemon.

    Time in which the thread waited for a core is none of its own: what gathers then gathers in its sockets.
    """

    def __init__(
        self,
        clock: Clock,
        calls_running: Callable[[], int] = lambda: 1,
        cpu_s: Callable[[], float] = time.thread_time,
    ) -> None:
        """`cpu_s` says for how many seconds the thread that asks has run so far."""
        self._clock = clock
        self._calls_running = calls_running
        self._cpu_s = cpu_s
        self._began: float | None = None
        """When the present window began; `None` before the first."""
        self._cpu_before = 0.0
        self._busy = 0.0

    @property
    def gather_s(self) -> float:
        """Seconds for which a call lets deltas gather behind a message; 0: the next one leaves at once."""
        busy = self._share()
        if busy <= AT_ONCE:
            return 0.0
        most = max(INTERVAL_S, self._calls_running() / MESSAGES_PER_S)
        return most * min(1.0, (busy - AT_ONCE) / (NO_TIME - AT_ONCE))

    def _share(self) -> float:
        """Return the share of the last whole window for which the thread ran."""
        now = self._clock.monotonic()
        if self._began is None or now - self._began >= WINDOW_S:
            cpu_s = self._cpu_s()
            if self._began is not None:
                self._busy = (cpu_s - self._cpu_before) / (now - self._began)
            self._began, self._cpu_before = now, cpu_s
        return self._busy


class ProgressReporter:
    """Sends one call's progress, as a scope that owns the task that does it.

    Leaving the scope without an error sends what is left first, so every word arrives
    before the result does; leaving it by an error or a cancellation sends no more.
    """

    def __init__(self, send: SendProgress, clock: Clock, pace: Pace) -> None:
        """`pace` is that of the daemon."""
        self._send = send
        self._pace = pace
        self._clock = clock
        self._began = clock.monotonic()
        self._parts: list[tuple[Telling | None, str]] = []
        """What is to be sent: a model's words, or a sentence without one."""
        self._news = asyncio.Event()
        self._cut_short = asyncio.Event()
        """Ends a pause: the call's end, or a first piece of its kind."""
        self._over = False
        self._begun: set[DeltaKind] = set()
        """Kinds of delta of which a piece has come."""
        self._sent = 0
        self._tellings: dict[tuple[str, DeltaKind], Telling] = {}
        self._doing: Telling | str = "EXAI prepares the call"
        self._task: asyncio.Task[None] | None = None
        self._told_at = self._began
        """When a message was sent last."""
        self._heartbeat: asyncio.TimerHandle | None = None

    def deltas_of(self, writer: str, /) -> OnDelta | None:
        self._doing = f"EXAI waits for {writer}"
        return partial(self.delta, writer)

    def delta(self, writer: str, kind: DeltaKind, text: str) -> None:
        """Take what a model said."""
        telling = self._tellings.get((writer, kind))
        if telling is None:
            telling = self._tellings[writer, kind] = Telling(writer, kind)
        self._doing = telling
        self._add(telling, text)
        if kind not in self._begun:
            self._begun.add(kind)
            self._cut_short.set()

    def status(self, sentence: str) -> None:
        self._doing = sentence
        self._add(None, sentence)

    def _add(self, telling: Telling | None, words: str) -> None:
        self._parts.append((telling, words))
        self._news.set()

    async def __aenter__(self) -> Self:
        self._task = tasks.spawn(self._run(), name="progress")
        self._look_again(HEARTBEAT_S)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        task, heartbeat = self._task, self._heartbeat
        if task is None or heartbeat is None:
            return
        heartbeat.cancel()
        if error is None:
            self._over = True
            self._cut_short.set()
            self._news.set()
        else:
            task.cancel()
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            task.cancel()
            raise

    async def _run(self) -> None:
        last_round = False
        while not last_round:
            await self._news.wait()
            last_round = self._over
            self._cut_short.clear()
            try:
                await self._send_all()
            except (OSError, RuntimeError):
                return  # the peer is gone: the answer's own send finds out
            if not last_round and (gather_s := self._pace.gather_s):
                await self._gather(gather_s)

    async def _gather(self, seconds: float) -> None:
        """Let deltas gather."""
        try:
            with Deadline(asyncio.get_running_loop().time() + seconds):
                await self._cut_short.wait()
        except TimeoutError:
            return

    async def _send_all(self) -> None:
        self._news.clear()
        self._told_at = self._clock.monotonic()
        parts, self._parts = self._parts, []
        for telling, run in groupby(parts, key=_SAYING):
            words = [piece for _, piece in run]
            self._sent += 1
            if telling is None:
                await self._send(float(self._sent), words[-1], {KIND_KEY: "status"})
                continue
            delta = "".join(words)
            telling.add(delta)
            meta = {KIND_KEY: str(telling.kind), MODEL_KEY: telling.writer, DELTA_KEY: delta}
            await self._send(float(self._sent), telling.message, meta)

    def _beat(self) -> None:
        """Break a silence, and look again when the next one would be as long."""
        now = self._clock.monotonic()
        silent_s = now - self._told_at
        is_due = silent_s > HEARTBEAT_S - _CLOSE_S
        if is_due and not self._parts:
            doing = self._doing if isinstance(self._doing, str) else self._doing.summary
            self._add(None, f"{doing}, {now - self._began:.0f} s")
        self._look_again(HEARTBEAT_S if is_due else HEARTBEAT_S - silent_s)

    def _look_again(self, seconds: float) -> None:
        self._heartbeat = asyncio.get_running_loop().call_later(seconds, self._beat)


class ProgressFanout:
    """One call's progress for any number of reporters; a late one gets first what was sent before."""

    def __init__(self) -> None:
        self._reporters: list[ProgressReporter] = []
        self._deltas: dict[tuple[str, DeltaKind], list[str]] = {}
        """What each model has said, in the order in which it began: a model reasons before it answers."""

    @contextmanager
    def subscribe(self, reporter: ProgressReporter) -> Iterator[None]:
        """The scope in which `reporter` gets the progress."""
        for (writer, kind), deltas in self._deltas.items():
            reporter.delta(writer, kind, "".join(deltas))
        self._reporters.append(reporter)
        try:
            yield
        finally:
            self._reporters.remove(reporter)

    def deltas_of(self, writer: str, /) -> OnDelta | None:
        for reporter in self._reporters:
            reporter.deltas_of(writer)
        return partial(self._delta, writer) if self._reporters else None

    def _delta(self, writer: str, kind: DeltaKind, text: str) -> None:
        self._deltas.setdefault((writer, kind), []).append(text)
        for reporter in self._reporters:
            reporter.delta(writer, kind, text)

    def status(self, sentence: str) -> None:
        for reporter in self._reporters:
            reporter.status(sentence)
