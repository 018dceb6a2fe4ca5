"""Permits: how much runs at once, and who comes next.

**Gates.** A `Gate` has a limit and counts its permits in use. There is one per caller (`caller_limit`), one for all
calls (`global_limit`), one per provider (`provider_limit`) and one per each of its models (`model_limit`). A call needs
a permit of its caller's gate and of the gate of all calls; each request it makes needs one of the model's gate and
one of the provider's.

**Turns.** Whoever finds a gate at its limit, or finds others waiting there, queues. The queue is served in turns by
caller, and within one caller in order of arrival: a caller with a thousand waiting calls delays another's first by one
permit. The number of all who wait is bounded by `max_queue`.

**Patience.** `max_wait_s` bounds what a call waits at all gates together, for whatever permit and before whichever
attempt; a moment in which several of its requests wait counts once. Once a request is answered the call has got on, and
the next one may wait anew.

**Scopes.** A permit is a scope, never a pair of calls: leaving the block gives it back, whether by return, error,
time-out or cancellation, so none can leak and no sweeper exists. What waits at a gate goes through these states:

    state     event                                        next      then
    new       the gate is below its limit, nobody waits    held
    new       else, and fewer than `max_queue` wait        queued
    new       else                                         over      `Overloaded`
    queued    its turn                                     held
    queued    its call has no patience left                over      `Overloaded`, out of the queue
    queued    cancelled                                    over      out of the queue
    queued    its turn and cancelled, before it ran        over      given back, next in turn
    held      left, for whatever reason                    over      given back, next in turn

**Set aside.** A call that waits for a provider holds nothing meanwhile, so that a provider that hangs takes no other
caller's place. A call may have several requests under way at once, of which some work and others wait, in a queue
or for a retry. `CallPermits` counts both: the call's permits are set aside when the last that works begins to wait
or ends, and are taken again by the first that has a provider's permit and goes to work.

    permits   event                                        next      then
    held      a request waits or ends, another one works   held
    held      a request waits or ends, only waiting left   aside     both given back
    held      the last request ends                        held      the call goes on alone
    aside     a request goes to work                       retaking  it queues for both, like a new call
    aside     another waits or ends                        aside
    retaking  another goes to work                         retaking  it waits for the same retaking
    retaking  both are held again                          held      all who wanted them go to work
    retaking  it failed or was cancelled                   aside     its request fails; the next one tries
    any       the call ends                                over      given back, what is held

Whoever retakes a call's permits holds those of a model and its provider, and whoever waits for a model or provider
holds none of its call's: so no two can wait for each other.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from types import TracebackType
from typing import Self

from exai import config
from exai.callers import Caller
from exai.errors import Overloaded
from exai.runtime.bytes_in_flight import BytesInFlight, Share
from exai.runtime.clock import Clock
from exai.runtime.gate import Gate
from exai.runtime.samples import Sample

__all__ = ["Admission", "CallPermits", "Holding", "Patience", "Permit"]


class Patience:
    """How long one call may still wait for permits."""

    __slots__ = ("_clock", "_most_s", "_since", "_waited_s", "_waiters")

    def __init__(self, most_s: float, clock: Clock) -> None:
        self._most_s = most_s
        self._clock = clock
        self._waited_s = 0.0
        self._waiters = 0
        self._since = 0.0
        """When the waits that are under way began; they count once."""

    @property
    def left_s(self) -> float:
        """From now on."""
        under_way_s = self._clock.monotonic() - self._since if self._waiters else 0.0
        return max(0.0, self._most_s - self._waited_s - under_way_s)

    @asynccontextmanager
    async def waiting(self) -> AsyncIterator[None]:
        """A scope in which the call waits for a permit.

        Raises:
            TimeoutError: it took longer than was left.
        """
        left_s = self.left_s
        if not self._waiters:
            self._since = self._clock.monotonic()
        self._waiters += 1
        try:
            async with asyncio.timeout(left_s):
                yield
        finally:
            self._waiters -= 1
            if not self._waiters:
                self._waited_s += self._clock.monotonic() - self._since

    def renew(self) -> None:
        """Allow the whole wait again: a request of the call was answered."""
        self._waited_s = 0.0
        self._since = self._clock.monotonic()


class Permit:
    """A scope that holds one permit of each of its gates; `waited_s` says how long they took to get."""

    __slots__ = (
        "_admission",
        "_call",
        "_gates",
        "_is_over",
        "_on_leave",
        "_since",
        "_turn_key",
        "held",
        "patience",
        "waited_s",
    )

    def __init__(
        self,
        admission: "Admission",
        gates: tuple[Gate, ...],
        turn_key: str,
        patience: Patience,
        *,
        call: "CallPermits | None" = None,
        on_leave: Callable[[], None] | None = None,
    ) -> None:
        """`call`: the permits of the call that wants this one; set aside while it waits, held when it has it."""
        self._admission = admission
        self._gates = gates
        self._turn_key = turn_key
        self.patience = patience
        self._call = call
        self._on_leave = on_leave
        self._is_over = False
        self.held = False
        self._since = 0.0
        self.waited_s = 0.0

    async def __aenter__(self) -> Self:
        try:
            await self.take()
        except BaseException:
            self._leave()
            raise
        self._since = self._admission.clock.monotonic()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.held:
            self._admission.note_held(self._admission.clock.monotonic() - self._since)
            self.give_back()
        self._leave()

    async def take(self) -> None:
        """Wait for every gate; for the scope itself, and for permits that were set aside.

        Raises:
            Overloaded: the queue of one is full, or took too long.
        """
        taken = 0
        try:
            for gate in self._gates:
                if not gate.try_take():
                    await self._wait_for(gate)
                taken += 1
            if self._call is not None and not self._call.held:
                await self._hold(self._call)
        except BaseException:
            for gate in self._gates[:taken]:
                gate.give_back()
            raise
        self.held = True
        if self._is_over:
            self.give_back()
            raise RuntimeError("A permit was taken after its scope was left.")

    async def _wait_for(self, gate: Gate) -> None:
        if self._call is None:
            self.waited_s += await self._admission.wait(gate, self._turn_key, self.patience)
            return
        with self._call.waiting():
            self.waited_s += await self._admission.wait(gate, self._turn_key, self.patience)

    async def _hold(self, call: "CallPermits") -> None:
        began = self._admission.clock.monotonic()
        await call.hold()
        self.waited_s += self._admission.clock.monotonic() - began

    def give_back(self) -> None:
        """Let others in; for the scope itself, and for permits that are set aside."""
        self.held = False
        for gate in self._gates:
            gate.give_back()

    def _leave(self) -> None:
        self._is_over = True
        if self._on_leave is not None:
            self._on_leave()


class CallPermits:
    """The permits of one call: a scope that each of its requests enters.

    They are set aside while all requests wait, and held while any works.
    """

    __slots__ = ("_admission", "_patience", "_permits", "_retaking", "_waiting", "_working")

    def __init__(self, admission: "Admission", *permits: Permit) -> None:
        """`permits` are held, and are taken in this order; work of the daemon itself has none."""
        self._admission = admission
        self._permits = permits
        self._patience = permits[0].patience if permits else None
        self._working = 0
        self._waiting = 0
        self._retaking: asyncio.Lock | None = None
        """Made by the first who retakes them, as almost no call ever does."""

    @property
    def patience(self) -> Patience:
        """How long the call may still wait for permits."""
        if self._patience is None:
            self._patience = self._admission.patience()
        return self._patience

    @property
    def is_admitted(self) -> bool:
        """Whether they are those of a call that was let in."""
        return bool(self._permits)

    @property
    def held(self) -> bool:
        """Whether none of them is set aside."""
        for permit in self._permits:  # noqa: SIM110 - a generator costs each request as much as all of its permits
            if not permit.held:
                return False
        return True

    def __enter__(self) -> Self:
        """Begin the scope of one request of the call. It works, but inside `waiting`."""
        self._working += 1
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._working -= 1
        self._set_aside_unless_working()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """A scope in which one request waits. After it the permits may be set aside still: see `hold`."""
        self._working -= 1
        self._waiting += 1
        self._set_aside_unless_working()
        try:
            yield
        finally:
            self._waiting -= 1
            self._working += 1

    async def hold(self) -> None:
        """Take the permits again if they are set aside. Requests that want that at once wait for one of them to do it.

        Raises:
            Overloaded: one of them did not become free again in time.
        """
        if self._retaking is None:
            self._retaking = asyncio.Lock()
        retaking = self._retaking
        try:
            async with self.patience.waiting():
                await retaking.acquire()
        except TimeoutError:
            raise self._admission.waited_too_long() from None
        try:
            for permit in self._permits:
                if not permit.held:
                    await permit.take()
        finally:
            retaking.release()

    def _set_aside_unless_working(self) -> None:
        if self._working or not self._waiting:
            return
        for permit in self._permits:
            if permit.held:
                permit.give_back()


class Holding(Share):
    """A scope for the bytes of one call: its arguments, and the files and pictures that are read for it."""

    __slots__ = ("_admission",)

    def __init__(self, admission: "Admission", subject: str) -> None:
        super().__init__(admission.bytes_in_flight, subject)
        self._admission = admission

    def add(self, size: int) -> None:
        """Hold so many bytes more.

        Raises:
            Overloaded: this caller's calls, or all calls, hold too much already.
        """
        if (why := self.resize(self.size + size)) is not None:
            raise self._admission.overloaded(why)


class Admission:
    """All gates of the daemon: one per caller, one for all calls, one per provider and per each of its models."""

    def __init__(self, limits: config.Admission, clock: Clock) -> None:
        self.limits = limits
        self.clock = clock
        self.total = Gate(limits.global_limit)
        self.by_provider: dict[str, Gate] = {}
        self.by_model: dict[tuple[str, str], Gate] = {}
        self.bytes_in_flight = BytesInFlight(
            limits.global_bytes, limits.caller_bytes, of_what="arguments, files and pictures"
        )
        self._by_caller: dict[str, tuple[Gate, int]] = {}
        self._mean_held_s = 1.0

    def samples(self) -> list[Sample]:
        """Return the metrics of permits and queues."""
        return [
            Sample("permits_in_use", "Permits for calls in use, whatever they ask.", self.total.in_use),
            Sample("calls_waiting", "Calls waiting for a permit.", self.waiting),
            Sample(
                "argument_bytes",
                "Arguments of running and waiting calls, and files and pictures read for them.",
                self.bytes_in_flight.total,
            ),
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
    def waiting_for_own(self) -> int:
        """Calls that wait for a permit of their own caller's."""
        return sum(gate.waiting for gate, _ in self._by_caller.values())

    @property
    def callers(self) -> int:
        """Callers that hold or await a permit."""
        return len(self._by_caller)

    def holding(self, caller: Caller) -> "Holding":
        """A scope for what a call holds in memory."""
        return Holding(self, caller.subject)

    def patience(self) -> Patience:
        """How long a new call may wait: its permits share it."""
        return Patience(self.limits.max_wait_s, self.clock)

    def caller_permit(self, caller: Caller, patience: Patience | None = None) -> Permit:
        """One of the caller's own permits. Its gate exists only while it is used."""
        subject = caller.subject
        gate, users = self._by_caller.get(subject) or (Gate(self.limits.caller_limit), 0)
        self._by_caller[subject] = (gate, users + 1)

        def forget() -> None:
            gate, users = self._by_caller[subject]
            if users == 1:
                del self._by_caller[subject]
            else:
                self._by_caller[subject] = (gate, users - 1)

        return Permit(self, (gate,), subject, patience or self.patience(), on_leave=forget)

    def total_permit(self, caller: Caller, patience: Patience | None = None) -> Permit:
        """One of the daemon's permits."""
        return Permit(self, (self.total,), caller.subject, patience or self.patience())

    def model_permit(
        self, caller: Caller, provider: str, model: str, *, call: CallPermits | None = None
    ) -> Permit:
        """One of the permits of a provider's model, and of the provider; held only while the provider works.

        `call`: the permits of the call, which others may use while it waits for these.
        """
        gate = self.by_model.get((provider, model))
        if gate is None:
            gate = self.by_model[provider, model] = Gate(self.limits.model_limit)
        all_models = self.by_provider.get(provider)
        if all_models is None:
            all_models = self.by_provider[provider] = Gate(self.limits.provider_limit)
        patience = self.patience() if call is None else call.patience
        return Permit(self, (gate, all_models), caller.subject, patience, call=call)

    async def wait(self, gate: Gate, turn_key: str, patience: Patience) -> float:
        """Wait for a permit of `gate`; the seconds that took.

        Raises:
            Overloaded: the queue is full, or the call has waited long enough.
        """
        if self.waiting >= self.limits.max_queue:
            raise self.overloaded("every permit is taken and the queue is full")
        began = self.clock.monotonic()
        try:
            async with patience.waiting():
                await gate.take(turn_key)
        except TimeoutError:
            raise self.waited_too_long() from None
        return self.clock.monotonic() - began

    def waited_too_long(self) -> Overloaded:
        """The error of a call that has waited for `max_wait_s`."""
        return self.overloaded(f"no permit became free within {self.limits.max_wait_s:g} s")

    def note_held(self, seconds: float) -> None:
        """Learn how long permits are held, for the hint when to come back."""
        self._mean_held_s += 0.1 * (seconds - self._mean_held_s)

    def overloaded(self, why: str) -> Overloaded:
        """The error of a call that is refused for this reason, with a hint when to come back."""
        turns = 1 + self.waiting / self.limits.global_limit
        retry_after_s = round(min(60.0, max(1.0, self._mean_held_s * turns)), 1)
        return Overloaded(
            f"EXAI is busy: {why}. Try again in about {retry_after_s:g} s.", retry_after_s=retry_after_s
        )
