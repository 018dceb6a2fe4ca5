"""How the daemon is doing, as typed values: the process, its providers, its limits, a caller's use and failures.

`status` shows them to agents; a page for people may show the same.
"""

import asyncio
import platform
from collections.abc import Awaitable, Callable, Container, Iterable
from dataclasses import dataclass
from importlib.metadata import version

import msgspec

from exai.error_tracking.console import Console, GroupLine
from exai.jobs.job import Counts as JobCounts
from exai.monitoring.loop_lag import LoopLag
from exai.monitoring.provider_health import ProviderHealth
from exai.providers.base import Provider
from exai.routing.admission import Admission
from exai.routing.breaker import Breaker, Breakers, State
from exai.routing.router import ModelRouter
from exai.runtime.clock import Clock
from exai.runtime.gate import Gate
from exai.runtime.periodic import DutyRecord
from exai.runtime.version import __version__
from exai.storage.calls.journal import CallOutcome, Journal
from exai.storage.calls.recorded import RecordedCall, RecordedCalls
from exai.storage.calls.usage import UsageReports
from exai.storage.calls.use import NamedUse, UseCounts
from exai.storage.conversations.archive import ConversationArchive, Selection
from exai.storage.conversations.calibrations import Calibration
from exai.tools.conversations.conversations import ConversationItem

__all__ = [
    "DutyState",
    "EndedCall",
    "JobsInState",
    "LimitsInUse",
    "ModelStates",
    "ModelUsage",
    "ProviderState",
    "ServiceState",
    "SystemReport",
    "duty_states",
]

RECENT = 10
USAGE_DAYS = 1.0

END_S, LOOK_AGAIN_S = 0.5, 0.05
"""How long the end of a call that is over is waited for, and how often it is looked for."""


class ServiceState(msgspec.Struct, frozen=True, kw_only=True):
    """The process itself."""

    name: str
    version: str
    demo: bool
    uptime_s: float
    loop_lag_ms: float
    python: str
    mcp_sdk: str
    mcp_revisions: tuple[str, ...]


class OpenBreaker(msgspec.Struct, frozen=True):
    """A model that is not asked for now."""

    model: str
    state: str
    cause: str | None
    retry_after_s: float


class ProviderState(msgspec.Struct, frozen=True, kw_only=True):
    """How a provider has been doing lately."""

    name: str
    configured: bool
    models: int
    recent_requests: int
    recent_failures: int
    last_error: str | None
    token_estimate_error: float | None
    open_breakers: tuple[OpenBreaker, ...]


class GateInUse(msgspec.Struct, frozen=True):
    """Permits of one kind."""

    name: str
    in_use: int
    most_in_use: int
    limit: int


class LimitsInUse(msgspec.Struct, frozen=True, kw_only=True):
    """All permits, and those who wait for one."""

    gates: tuple[GateInUse, ...]
    waiting: int
    max_queue: int
    caller_limit: int


class JobsInState(msgspec.Struct, frozen=True):
    """How many jobs of one kind are in one state."""

    kind: str
    state: str
    jobs: int


class ModelUsage(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller used of one model; without a model for calls that ended before one was chosen."""

    provider: str | None
    model: str | None
    calls: int
    unanswered: int
    input_tokens: int
    output_tokens: int
    cost_usd: float
    without_price: int
    emulated: bool | None
    """True: a demonstration's emulator answered, and nothing was charged."""


class EndedCall(msgspec.Struct, frozen=True, kw_only=True):
    """A call that has ended, and how."""

    at: str
    call_id: str
    tool: str
    model: str | None
    outcome: str
    error: str | None


class DutyState(msgspec.Struct, frozen=True, kw_only=True):
    """How a background duty has been doing since the start."""

    name: str
    runs: int
    failed_in_a_row: int
    """Since the last run that went well."""
    error: str | None
    """Of the latest run."""


@dataclass(frozen=True)
class ModelStates:
    """What is known of every model beside its catalogue entry."""

    router: ModelRouter
    health: ProviderHealth
    breakers: Breakers
    calibration_of: Callable[[str], Calibration | None] = lambda _: None
    """What was learnt about a model's tokens."""

    def provider(self, name: str) -> ProviderState:
        """Sum up one provider."""
        provider = self.router.providers[name]
        seen = [health for model in provider.models if (health := self.health.of(name, model)) is not None]
        latest = min(seen, key=lambda health: health.seconds_since_last, default=None)
        return ProviderState(
            name=name,
            configured=provider.configured,
            models=len(provider.models),
            recent_requests=sum(health.requests for health in seen),
            recent_failures=sum(health.failed for health in seen),
            last_error=latest.last_error if latest else None,
            token_estimate_error=self._estimate_error(provider),
            open_breakers=tuple(
                _open_breaker(breaker)
                for breaker in self.breakers
                if breaker.provider == name and breaker.state is not State.CLOSED
            ),
        )

    def _estimate_error(self, provider: Provider) -> float | None:
        """The mean relative error of our latest token estimates for its models."""
        known = [found for model in provider.models if (found := self.calibration_of(model)) is not None]
        weight = sum(each.weight for each in known)
        return round(sum(each.error for each in known) / weight, 4) if weight else None


@dataclass(frozen=True, kw_only=True)
class SystemReport:
    """Where the parts of a report come from. Making one takes no permit and asks no provider."""

    clock: Clock
    began: float
    """When the process began, by `Clock.monotonic`."""
    demo: bool
    loop_lag: LoopLag
    models: ModelStates
    admission: Admission
    jobs: Callable[[], JobCounts]
    duties: Iterable[DutyRecord]
    journal: Journal
    usage: UsageReports
    use: UseCounts
    calls: RecordedCalls
    archive: ConversationArchive
    errors: Console
    running: Container[str]
    """Ids of the calls that this process runs."""

    def service(self) -> ServiceState:
        """Describe the process."""
        return ServiceState(
            name="exai",
            version=__version__,
            demo=self.demo,
            uptime_s=round(self.clock.monotonic() - self.began, 1),
            loop_lag_ms=round(self.loop_lag.last_s * 1000, 2),
            python=platform.python_version(),
            mcp_sdk=version("mcp"),
            mcp_revisions=("2025-11-25", "2026-07-28"),
        )

    def providers(self) -> tuple[ProviderState, ...]:
        """Describe every provider."""
        return tuple(self.models.provider(name) for name in self.models.router.providers)

    def limits(self) -> LimitsInUse:
        """Count the permits in use."""
        admission = self.admission
        gates = [("all calls", admission.total), *admission.by_provider.items()]
        gates += [(f"{provider}/{model}", gate) for (provider, model), gate in admission.by_model.items()]
        return LimitsInUse(
            gates=tuple(_in_use(name, gate) for name, gate in gates),
            waiting=admission.waiting,
            max_queue=admission.limits.max_queue,
            caller_limit=admission.limits.caller_limit,
        )

    def jobs_by_state(self) -> tuple[JobsInState, ...]:
        """Count the jobs."""
        return tuple(
            JobsInState(kind, state.value, count) for (kind, state), count in sorted(self.jobs().items())
        )

    def duty_states(self) -> tuple[DutyState, ...]:
        """Describe every background duty."""
        return duty_states(self.duties)

    async def usage_of(self, caller: str) -> tuple[ModelUsage, ...]:
        """Add up what a caller used of late, by model."""
        used = await self.usage.report(days=USAGE_DAYS, caller=caller)
        return tuple(
            ModelUsage(
                provider=each.provider,
                model=each.model,
                calls=each.calls,
                unanswered=each.unanswered,
                input_tokens=each.input_tokens,
                output_tokens=each.output_tokens,
                cost_usd=round(each.cost_usd, 9),
                without_price=each.without_price,
                emulated=each.emulated or None,
            )
            for each in used
        )

    async def names_used_by(self, caller: str) -> tuple[NamedUse, ...]:
        """Add up under which names a caller's calls went of late, what was named most first."""
        return tuple(await self.use.report(days=USAGE_DAYS, owner=caller))

    async def failures_of(self, caller: str) -> tuple[EndedCall, ...]:
        """List a caller's latest calls that failed, newest first."""
        return tuple(map(_ended, await self.journal.recent_failures(owner=caller, limit=RECENT)))

    async def open_groups(self) -> tuple[GroupLine, ...]:
        """List what went wrong here and is open, whoever met it: what was seen last comes first.

        An agent is shown no words of other programs, which report by a key that may be public.
        """
        return tuple(await self.errors.listed(most=RECENT * 2, own=True))

    async def conversations_of(self, caller: str) -> tuple[ConversationItem, ...]:
        """List a caller's conversations, the latest used first; nothing of what was said."""
        rows = await self.archive.listing(Selection(owner=caller), RECENT * 2)
        return tuple(map(ConversationItem.of, rows))

    async def calls_of(self, caller: str) -> tuple[EndedCall, ...]:
        """List a caller's latest calls, newest first."""
        return tuple(map(_ended, await self.journal.recent_calls(owner=caller, limit=RECENT)))

    def complaints(self) -> tuple[str, ...]:
        """Say what is wrong, as far as the process sees it, in sentences."""
        found = []
        for provider in self.providers():
            if provider.configured and provider.last_error:
                found.append(f"The last request to {provider.name} failed: {provider.last_error}.")
            found += [
                f"{each.model} is spared for {each.retry_after_s:g} s." for each in provider.open_breakers
            ]
        if not any(provider.configured for provider in self.providers()):
            found.append("No provider has a key.")
        found += [
            f"The duty {duty.name} has failed {duty.failed_in_a_row} times in a row: {duty.error}."
            for duty in self.duty_states()
            if duty.failed_in_a_row
        ]
        limits = self.limits()
        if limits.waiting:
            found.append(f"{limits.waiting} calls wait for a permit.")
        return tuple(found)

    async def call(self, call_id: str, owner: str | None) -> RecordedCall | None:
        """Find a call of `owner`, or of anybody where that is `None`."""
        return await self._ended(lambda: self.calls.find(call_id, owner))

    async def last_call_of(self, conversation_id: str, owner: str | None) -> RecordedCall | None:
        """Find the call that gave a conversation its latest answer."""
        return await self._ended(lambda: self.calls.last_of_conversation(conversation_id, owner))

    async def latest_call(self, caller: str) -> RecordedCall | None:
        """Find the caller's latest call."""
        return await self._ended(lambda: self.calls.latest(caller))

    async def _ended(self, find: Callable[[], Awaitable[RecordedCall | None]]) -> RecordedCall | None:
        """Find a call, with its end where it has one: an answer leaves before its row is committed."""
        waited_s = 0.0
        while True:
            found = await find()
            is_open = found is not None and not found.has_ended and found.call_id not in self.running
            if not is_open or waited_s >= END_S:
                return found
            await asyncio.sleep(LOOK_AGAIN_S)
            waited_s += LOOK_AGAIN_S


def duty_states(records: Iterable[DutyRecord]) -> tuple[DutyState, ...]:
    """Describe background duties by their records."""
    return tuple(
        DutyState(
            name=record.duty.name,
            runs=record.runs,
            failed_in_a_row=record.failures_in_a_row,
            error=record.last_error,
        )
        for record in records
    )


def _open_breaker(breaker: Breaker) -> OpenBreaker:
    return OpenBreaker(breaker.model, breaker.state.value, breaker.cause, round(breaker.retry_after_s, 1))


def _ended(call: CallOutcome) -> EndedCall:
    return EndedCall(
        at=call.began_at.isoformat(timespec="seconds"),
        call_id=call.call_id,
        tool=call.tool,
        model=call.model_used or call.model_requested,
        outcome=call.outcome,
        error=call.error_code,
    )


def _in_use(name: str, gate: Gate) -> GateInUse:
    return GateInUse(name, gate.in_use, gate.most_in_use, gate.limit)
