"""Permits: how much runs at once, and who comes next.

A permit is a scope, never a pair of calls: leaving the block gives it back,
whether by return, error, time-out or cancellation, so none can leak and no
sweeper exists. Waiting is fair between callers: the queue is served in turns by
caller, and within one caller in order of arrival.

A call that waits for a provider holds nothing meanwhile: its caller's and the house's
permits are set aside, so that a provider that hangs takes no other's place.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Self

from exai import config
from exai.callers import Caller
from exai.errors import Overloaded
from exai.runtime.clock import Clock
from exai.runtime.samples import Sample

__all__ = ["Admission", "Gate", "Permit", "set_aside"]


class Gate:
    """At most `limit` holders at once; the next permit goes to the caller whose turn it is."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.in_use = 0
        self.waiting = 0
        self.most_in_use = 0
        """The high-water mark; a test of the promise, and a figure for `status`."""
        self._turns: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()

    def try_take(self) -> bool:
        """Take a permit if one is free and nobody waits."""
        if self.in_use >= self.limit or self.waiting:
            return False
        self._count_in()
        return True

    async def take(self, turn_key: str) -> None:
        """Wait for a permit in the queue of `turn_key`."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._turns.setdefault(turn_key, deque()).append(future)
        self.waiting += 1
        try:
            await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                # Granted in the same turn of the loop in which the waiter was cancelled.
                self.give_back()
            else:
                self._leave_queue(turn_key, future)
            raise

    def give_back(self) -> None:
        """Return a permit; the next in turn gets it."""
        self.in_use -= 1
        self._serve()

    def _serve(self) -> None:
        while self.in_use < self.limit and self._turns:
            turn_key, queue = self._turns.popitem(last=False)
            future = queue.popleft()
            if queue:
                self._turns[turn_key] = queue
            self.waiting -= 1
            if not future.cancelled():
                self._count_in()
                future.set_result(None)

    def _count_in(self) -> None:
        self.in_use += 1
        self.most_in_use = max(self.most_in_use, self.in_use)

    def _leave_queue(self, turn_key: str, future: asyncio.Future[None]) -> None:
        queue = self._turns.get(turn_key)
        if queue is None or future not in queue:
            return  # its turn had come already, and `_serve` saw that it was cancelled
        queue.remove(future)
        self.waiting -= 1
        if not queue:
            del self._turns[turn_key]


class Permit:
    """A scope that holds one permit of each of its gates; `waited_s` says how long they took to get."""

    __slots__ = ("_admission", "_aside", "_gates", "_left", "_since", "_turn_key", "held", "waited_s")

    def __init__(
        self,
        admission: "Admission",
        gates: tuple[Gate, ...],
        turn_key: str,
        *,
        aside: Sequence["Permit"] = (),
        left: Callable[[], None] | None = None,
    ) -> None:
        """`aside`: permits that are set aside while this one is waited for."""
        self._admission = admission
        self._gates = gates
        self._turn_key = turn_key
        self._aside = aside
        self._left = left
        self.held = False
        self._since = 0.0
        self.waited_s = 0.0

    async def __aenter__(self) -> Self:
        try:
            await self.take()
        except BaseException:
            self._forget()
            raise
        self._since = self._admission.clock.monotonic()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.held:
            self._admission.note_held(self._admission.clock.monotonic() - self._since)
            self.give_back()
        self._forget()

    async def take(self) -> None:
        """Wait for every gate; for the scope itself, and for `set_aside`."""
        taken = 0
        try:
            for gate in self._gates:
                if not gate.try_take():
                    await self._wait_for(gate)
                taken += 1
        except BaseException:
            for gate in self._gates[:taken]:
                gate.give_back()
            raise
        self.held = True

    async def _wait_for(self, gate: Gate) -> None:
        began = self._admission.clock.monotonic()
        got = False
        try:
            async with set_aside(self._aside):
                await self._admission.wait(gate, self._turn_key)
                got = True
        except BaseException:
            if got:
                gate.give_back()
            raise
        self.waited_s += self._admission.clock.monotonic() - began

    def give_back(self) -> None:
        """Let others in; for the scope itself, and for `set_aside`."""
        self.held = False
        for gate in self._gates:
            gate.give_back()

    def _forget(self) -> None:
        if self._left is not None:
            self._left()


@asynccontextmanager
async def set_aside(permits: Sequence[Permit]) -> AsyncIterator[None]:
    """A scope in which others may use these permits. After it they are held again; after an error they are not.

    Raises:
        Overloaded: one of them did not become free again in time.
    """
    held = [permit for permit in permits if permit.held]
    for permit in held:
        permit.give_back()
    yield
    for permit in held:
        await permit.take()


class Admission:
    """All gates of the daemon: one per caller, one for the house, one per provider and per each of its models."""

    def __init__(self, limits: config.Admission, clock: Clock) -> None:
        self.limits = limits
        self.clock = clock
        self.total = Gate(limits.global_limit)
        self.by_provider: dict[str, Gate] = {}
        self.by_model: dict[tuple[str, str], Gate] = {}
        self._by_caller: dict[str, tuple[Gate, int]] = {}
        self._mean_held_s = 1.0

    def samples(self) -> list[Sample]:
        """Metrics of permits and queues."""
        return [
            Sample("permits_in_use", "Permits for calls in use, whatever they ask.", self.total.in_use),
            Sample("calls_waiting", "Calls waiting for a permit.", self.waiting),
        ]

    @property
    def waiting(self) -> int:
        """Calls in any queue now."""
        return (
            self.total.waiting
            + sum(gate.waiting for gate, _ in self._by_caller.values())
            + sum(gate.waiting for gate in self.by_provider.values())
            + sum(gate.waiting for gate in self.by_model.values())
        )

    @property
    def callers(self) -> int:
        """Callers that hold or await a permit."""
        return len(self._by_caller)

    def caller_permit(self, caller: Caller) -> Permit:
        """One of the caller's own permits. Its gate exists only while it is used."""
        subject = caller.subject
        gate, users = self._by_caller.get(subject) or (Gate(self.limits.caller_limit), 0)
        self._by_caller[subject] = (gate, users + 1)

        def left() -> None:
            gate, users = self._by_caller[subject]
            if users == 1:
                del self._by_caller[subject]
            else:
                self._by_caller[subject] = (gate, users - 1)

        return Permit(self, (gate,), subject, left=left)

    def total_permit(self, caller: Caller) -> Permit:
        """One of the daemon's permits."""
        return Permit(self, (self.total,), caller.subject)

    def model_permit(
        self, caller: Caller, provider: str, model: str, *, aside: Sequence[Permit] = ()
    ) -> Permit:
        """One of the permits of a provider's model, and of the provider; held only while the provider works.

        `aside`: the call's other permits, which others may use while it waits for these.
        """
        gate = self.by_model.get((provider, model))
        if gate is None:
            gate = self.by_model[provider, model] = Gate(self.limits.model_limit)
        all_models = self.by_provider.get(provider)
        if all_models is None:
            all_models = self.by_provider[provider] = Gate(self.limits.provider_limit)
        return Permit(self, (gate, all_models), caller.subject, aside=aside)

    async def wait(self, gate: Gate, turn_key: str) -> float:
        """Wait for a permit of `gate`; the seconds that took.

        Raises:
            Overloaded: the queue is full, or `max_wait_s` passed.
        """
        if self.waiting >= self.limits.max_queue:
            raise self._overloaded("every permit is taken and the queue is full")
        began = self.clock.monotonic()
        try:
            async with asyncio.timeout(self.limits.max_wait_s):
                await gate.take(turn_key)
        except TimeoutError:
            raise self._overloaded(f"no permit became free within {self.limits.max_wait_s:g} s") from None
        return self.clock.monotonic() - began

    def note_held(self, seconds: float) -> None:
        """Learn how long permits are held, for the hint when to come back."""
        self._mean_held_s += 0.1 * (seconds - self._mean_held_s)

    def _overloaded(self, why: str) -> Overloaded:
        turns = 1 + self.waiting / self.limits.global_limit
        retry_after_s = round(min(60.0, max(1.0, self._mean_held_s * turns)), 1)
        return Overloaded(
            f"EXAI is busy: {why}. Try again in about {retry_after_s:g} s.", retry_after_s=retry_after_s
        )
