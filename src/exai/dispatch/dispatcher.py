"""Runs tool calls, in the same way for every door.

    scopes checked → arguments checked → permits taken → guards passed → journal row begun → tool runs
        → journal row ended → answer

The order is the order of truth: the row that says a provider may be asked is on
disk before it is, and an exchange is committed before its answer leaves. What a
crash leaves is a row without an end, which the next start marks `lost`.
"""

import asyncio
import itertools
import secrets
from collections.abc import Coroutine, Mapping
from typing import Any

import msgspec

from exai.callers import Caller
from exai.config.calls.tools import Profile
from exai.consulting.context import CallContext
from exai.consulting.results import Findings, Report, ToolReturn
from exai.dispatch.failures import LEAST_PARTIAL, advice_on, facts_of_time, failure
from exai.dispatch.guards import HourlyLimitReached
from exai.dispatch.idempotent_calls import IdempotentCallId, IdempotentCalls
from exai.dispatch.idempotent_run import IdempotentRun, stopping
from exai.dispatch.long_answers import SHORT_CHARACTERS, LongAnswers
from exai.dispatch.older_names import OlderNames
from exai.dispatch.oversight import Oversight
from exai.dispatch.progress import Pace, ProgressReporter, SendProgress
from exai.dispatch.running.under_way import CallsUnderWay
from exai.error_tracking.faults import OURSELVES, FaultSource
from exai.errors import (
    DeadlineExceeded,
    Incident,
    Overloaded,
    ProviderTimeout,
    ScopeMissing,
    Stopping,
    ToolFault,
)
from exai.events.events import CallEnded, CallRefused, CallStarted
from exai.events.incidents import record_incident
from exai.events.requests import RequestRecord
from exai.routing.admission import CallPermits
from exai.routing.asker import ModelAsker
from exai.routing.ledger import LATENCY, Stage
from exai.routing.progress import Progress, SilentProgress
from exai.routing.request import Asking
from exai.routing.timeline import spans_of
from exai.runtime.limits.deadlines import Deadline
from exai.storage.calls.journal import CallBegun, CallEnd, Journal
from exai.tools.base import Arguments, JsonObject, Requested, Tool, ToolAnswer
from exai.tools.envelope import CallFacts, answer_of, to_be_confirmed, with_facts, written_by_server
from exai.tools.listing.entries import ToolDescription
from exai.tools.listing.profiles import STANDARD, Profiles
from exai.tools.registry import Invocation, Registry

__all__ = ["Dispatcher"]

GRACE_S = 0.1
"""By how much a call may outlast its time: a request to a provider ends first, with what had arrived in its error."""

NOT_ADMITTED = frozenset({Overloaded.code, HourlyLimitReached.code})

_SILENT = SilentProgress()
_NOTHING = Findings()
_NO_REQUEST = Requested()


class _Request(msgspec.Struct, frozen=True):
    """A call as it arrived."""

    id: str
    invocation: Invocation
    tool: Tool[Any, Any]
    caller: Caller
    began: float
    """By the monotonic clock."""


class _Call(msgspec.Struct):
    """A call that runs."""

    request: _Request
    id: str
    tool: Tool[Any, Any]
    context: CallContext
    asker: ModelAsker
    deadline_s: float
    """How long it may take."""
    task: asyncio.Task[Any]
    run: IdempotentRun | None
    """The run of a call with an idempotency key."""
    requested: Requested = _NO_REQUEST
    guarded: bool = False
    """Whether it has a reservation that is to be settled."""
    journalled: bool = False
    """Whether it has a row in the journal."""


class Dispatcher:
    """Checks, runs and records tool calls."""

    def __init__(
        self,
        *,
        registry: Registry,
        profiles: Profiles,
        asking: Asking,
        journal: Journal,
        oversight: Oversight,
        long_answers: LongAnswers,
        idempotent_calls: IdempotentCalls,
        call_timeout_s: float,
    ) -> None:
        """`call_timeout_s` bounds the calls of tools that have no deadline of their own."""
        self._registry = registry
        self.profiles = profiles
        """Which list of tools a caller is shown."""
        self._asking = asking
        self._admission = asking.admission
        self._journal = journal
        self._guards = oversight.guards
        self._purses = oversight.purses
        self._repeats = oversight.repeats
        self.use = oversight.use
        """Counts what is called and listed."""
        self._faults = oversight.faults
        self._groups = oversight.groups
        self._span_choice = oversight.spans
        self._older_names = OlderNames()
        self._long_answers = long_answers
        self._idempotent_calls = idempotent_calls
        self._bus = asking.bus
        self._clock = asking.clock
        self._call_timeout_s = call_timeout_s
        self.under_way = CallsUnderWay(asking)
        """The calls that run; ends some of them when it is asked to."""
        self._pace = Pace(self._clock, lambda: self.running)
        self._admitting = True
        self._id_tag = secrets.token_hex(4)
        self._numbers = itertools.count()

    @property
    def running(self) -> int:
        """Calls between their first line and their answer."""
        return len(self.under_way.calls)

    def listing(self, profile: Profile = STANDARD) -> tuple[ToolDescription, ...]:
        """The list of tools of a profile."""
        return self._registry.listing_of(profile)

    def input_schema(self, name: str) -> JsonObject | None:
        """The schema of a tool's arguments; `None` for an unknown one."""
        return self._registry.input_schema(name)

    def whole_schemas(self, name: str) -> JsonObject | None:
        """All that a tool takes and returns, what the list leaves out included; `None` for an unknown one."""
        return self._registry.whole_schemas(name)

    def stop_admitting(self) -> None:
        """From now on every new call is answered `stopping`; running ones go on."""
        self._admitting = False

    def abort_running(self) -> None:
        """End every running call with a definite, retriable error."""
        self.under_way.abort_all()

    def check_scopes(self, name: str, arguments: Mapping[str, Any] | None, caller: Caller) -> None:
        """Refuse what `call` would, for doors that answer it otherwise than by the call's answer.

        Raises:
            UnknownTool: nothing answers to `name`.
            ScopeMissing: the caller lacks a scope that this call needs.
        """
        self.check(self._registry.find(name, arguments), caller)

    def call(
        self,
        name: str,
        arguments: Mapping[str, Any] | None,
        *,
        caller: Caller,
        send_progress: SendProgress | None = None,
        idempotency_key: str | None = None,
    ) -> Coroutine[Any, Any, ToolAnswer]:
        """Run one tool. Cancelling the caller's task cancels all work for it, down to the provider's connection.

        Under an `idempotency_key` it is run once, however often and by whichever door the caller asks; a tool that
        asks no provider has nothing to repeat, and no need of a key.

        Raises:
            UnknownTool: nothing answers to `name`.
            ScopeMissing: the caller may not. Every other failure is an answer with `is_error`.
        """
        found = self._registry.find(name, arguments)
        return self.run(found, caller=caller, send_progress=send_progress, idempotency_key=idempotency_key)

    def run(
        self,
        invocation: Invocation,
        *,
        caller: Caller,
        send_progress: SendProgress | None = None,
        idempotency_key: str | None = None,
    ) -> Coroutine[Any, Any, ToolAnswer]:
        """Run a tool that was found, as `call` does; it may be of another registry."""
        self.check(invocation, caller)
        request = _Request(self._new_call_id(), invocation, invocation.tool, caller, self._clock.monotonic())
        if idempotency_key is not None and request.tool.asks_provider:
            return self._call_once(idempotency_key, request, send_progress)
        tool = request.tool
        if send_progress is None or not (tool.asks_provider or tool.reports_progress):
            return self._answer(request, _SILENT)
        return self._answer_reporting(request, send_progress)

    async def _answer_reporting(self, request: _Request, send_progress: SendProgress) -> ToolAnswer:
        async with ProgressReporter(send_progress, self._clock, self._pace) as reporter:
            return await self._answer(request, reporter)

    def check(self, invocation: Invocation, caller: Caller) -> None:
        """Refuse a call that its caller may not make.

        Raises:
            ScopeMissing: the caller lacks a scope that it needs.
        """
        tool, needed = invocation.tool, invocation.scopes
        if lacking := [scope for scope in needed if not caller.may(scope)]:
            self._bus.publish(CallRefused(tool.name, caller, ScopeMissing.code))
            self.use.note(invocation, caller, None, code=ScopeMissing.code)
            raise ScopeMissing(
                f"Your token does not allow this call of {tool.name}: it lacks {' and '.join(lacking)}. "
                "Ask its issuer for one that has this scope, or leave out what needs it.",
                scope=" ".join(needed),
            )

    async def _call_once(self, key: str, request: _Request, send_progress: SendProgress | None) -> ToolAnswer:
        async def work(run: IdempotentRun) -> ToolAnswer:
            return await self._answer(request, run.progress, run)

        try:
            return await self._idempotent_calls.call(
                IdempotentCallId(request.caller.subject, key),
                request.invocation.name,
                request.invocation.given,
                work=work,
                send_progress=send_progress,
                pace=self._pace,
                resumes=request.tool.resumes,
            )
        except ToolFault as fault:
            return failure(fault, request.id)

    def _new_call_id(self) -> str:
        """Unique over restarts and processes, and in the order of time; it opens nothing, so it may be guessed."""
        return f"call_{int(self._clock.wall() * 1000):011x}{self._id_tag}{next(self._numbers) % 0x10000:04x}"

    async def _answer(
        self, request: _Request, progress: Progress, run: IdempotentRun | None = None
    ) -> ToolAnswer:
        """Run the tool, record how the call ended, whatever happens, and make its answer."""
        if not self._admitting:
            return self._refused(request)
        asks = request.tool.asks_provider and run is None
        if asks and (request.caller.subject, request.caller.client) in self._repeats.asked:
            again = self._repeats.answer_again(request.invocation, request.caller, request.began)
            if again is not None:
                return again
        call = self._start(request, progress, run)
        try:
            returned = await self._run(call)
        except asyncio.CancelledError:
            self._end(call, "cancelled", "cancelled")
            raise
        except ToolFault as fault:
            error_hash = self._notice(call, fault)
            self._end(call, self._outcome(call, fault), fault.code, error_hash=error_hash)
            return await self._failure(call, fault, error_hash)
        facts = self._end(call, "ok", None, returned.findings, returned.report)
        answer = answer_of(returned)
        if returned.confirmation is not None:
            answer = to_be_confirmed(answer, returned.confirmation, call.deadline_s)
        if request.invocation.alias is not None:
            answer = self._older_names.named(answer, request.invocation, request.caller, call.requested)
        if not call.tool.asks_provider:
            return answer
        wanted = call.requested.answer_tokens
        if wanted is not None or len(answer.text) > SHORT_CHARACTERS:
            answer = await self._long_answers.shortened(answer, request.caller, call.id, wanted)
        answer = with_facts(answer, facts)
        if asks:
            self._repeats.note(request.invocation, request.caller, answer, request.began)
        return answer

    async def _failure(self, call: _Call, fault: ToolFault, error_hash: str) -> ToolAnswer:
        """Make the answer of a call that failed; what had arrived of a long one becomes a file."""
        partial_file = None
        if len(fault.partial) > LEAST_PARTIAL:
            name = f"partial-{call.id}.md"
            partial_file = await self._long_answers.kept(fault.partial, call.context.caller, name)
        tried, advice = call.asker.ledger.tried, advice_on(fault, call.tool.deadline_s)
        # Of what its caller got wrong, a caller learns nothing of how others fared.
        group = None if fault.fixable_by == "caller" else self._groups.find(error_hash)
        answer = failure(fault, call.id, tried, advice=advice, partial_file=partial_file, group=group)
        return written_by_server(answer) if call.tool.result.names_writers else answer

    def _refused(self, request: _Request) -> ToolAnswer:
        """Answer for a daemon that takes no new calls."""
        self._bus.publish(CallRefused(request.tool.name, request.caller, Stopping.code))
        self.use.note(request.invocation, request.caller, None, code=Stopping.code)
        return failure(stopping(), request.id)

    def _start(self, request: _Request, progress: Progress, run: IdempotentRun | None) -> _Call:
        deadline_s = request.tool.deadline_s or self._call_timeout_s
        asker = ModelAsker.for_call(self._asking, request.caller, request.began + deadline_s, progress)
        if request.caller.subject in self._purses.subjects:
            asker.terms.grant = self._purses.grant_for(request.id, request.caller)
        self._bus.publish(CallStarted(request.id, request.tool.name, request.caller))
        interrupted = None if run is None else run.interrupted
        context = CallContext(request.id, request.caller, asker, progress, interrupted)
        task = _current_task()
        call = _Call(request, request.id, request.tool, context, asker, deadline_s, task, run)
        self.under_way.calls[call.id] = call
        return call

    def _outcome(self, call: _Call, fault: ToolFault) -> str:
        """The journal's word for how a call failed."""
        if call.id in self.under_way.ended:
            return "cancelled"
        return "timed_out" if isinstance(fault, ProviderTimeout | DeadlineExceeded) else "failed"

    async def _run(self, call: _Call) -> ToolReturn[Any]:
        """Run the tool within its time, and return what it found.

        Raises:
            ToolFault: it failed, whatever the reason.
        """
        try:
            with Deadline(asyncio.get_running_loop().time() + call.deadline_s + GRACE_S) as limit:
                arguments = call.request.invocation.arguments()
                call.requested = arguments.requested()
                if call.tool.asks_provider:
                    return await self._run_admitted(call, arguments)
                return await call.tool.run(arguments, call.context)
        except asyncio.CancelledError:
            if (why := self.under_way.ended.get(call.id)) is None:
                raise
            _current_task().uncancel()
            raise why from None
        except ToolFault:
            raise
        except Exception as error:
            if isinstance(error, TimeoutError) and limit.expired:
                raise _out_of_time(call) from None
            incident = record_incident(error, where=call.tool.name, publish=self._bus.publish)
            raise Incident(incident.sentence) from error

    async def _run_admitted(self, call: _Call, arguments: Arguments) -> ToolReturn[Any]:
        """Run a tool that asks a provider, if there is room for what it was given, under the permits of all calls."""
        caller, admission = call.context.caller, self._admission
        patience = admission.patience()
        with admission.holding(caller) as holding:
            holding.add(call.request.invocation.size)
            call.asker.terms.hold = holding.add
            async with (
                admission.caller_permit(caller, patience) as own,
                admission.total_permit(caller, patience) as total,
            ):
                call.asker.terms.permits = CallPermits(admission, own, total)
                ledger, admitted = call.asker.ledger, self._clock.monotonic()
                own_taken = admitted - total.waited_s
                ledger.spend(Stage.CALLER_WAIT, own_taken - own.waited_s, own_taken)
                ledger.spend(Stage.TOTAL_WAIT, own_taken, admitted)
                with ledger.stage(Stage.STORE):
                    if self._guards.active:
                        call.guarded = True
                        await self._guards.reserve(call.id, caller)
                    await self._begin_rows(call)
                return await call.tool.run(arguments, call.context)

    async def _begin_rows(self, call: _Call) -> None:
        """Commit the journal's row, and in the same transaction the one of the idempotency key."""
        call.journalled = True
        row = self._journal.begin(
            CallBegun(
                call_id=call.id,
                caller=call.context.caller,
                tool=call.tool.name,
                model_requested=call.requested.model,
                conversation_id=call.requested.conversation_id,
            )
        )
        if call.run is None:
            await row
        else:
            await asyncio.gather(row, call.run.begin(call.id))

    def _end(
        self,
        call: _Call,
        outcome: str,
        code: str | None,
        findings: Findings = _NOTHING,
        report: Report | None = None,
        error_hash: str | None = None,
    ) -> CallFacts:
        """Record how the call ended, and publish it; return what its answer says of it."""
        under_way = self.under_way
        del under_way.calls[call.id]
        if under_way.ended:
            under_way.note_end(call.id, outcome)
        ledger, caller = call.asker.ledger, call.context.caller
        timings = ledger.timings(call.request.began, self._clock.monotonic())
        bill, requests = ledger.bill, ledger.records(self._asking.emulated)
        emulated = bool(self._asking.emulated) and any(request.emulated for request in requests)
        provider, model = findings.provider, findings.model_used
        if model is None:
            provider, model = ledger.last_asked
        cost_usd = bill.cost.least_usd
        self._account(call, code, model, requests, None if emulated else cost_usd)
        if call.journalled:
            self._journal.end_soon(
                CallEnd(
                    call_id=call.id,
                    outcome=outcome,
                    error_code=code,
                    error_hash=error_hash,
                    spans=self._spans(call, model, timings, failed=code is not None),
                    model_used=model,
                    provider=provider,
                    conversation_id=findings.conversation_id or call.requested.conversation_id,
                    usage=bill.usage,
                    cost_usd=cost_usd,
                    timings=timings,
                    requests=requests,
                    model_reason=findings.model_reason,
                    report=None if report is None else msgspec.json.encode(report.kept()).decode(),
                )
            )
        self._bus.publish(
            CallEnded(call.id, call.tool.name, caller, outcome, code, provider, model, timings, requests)
        )
        return CallFacts(call.id, timings, emulated=emulated)

    def _spans(
        self, call: _Call, model: str | None, timings: Mapping[str, float], *, failed: bool
    ) -> str | None:
        """Return the spans of a call as JSON, if it is one of those whose spans are kept."""
        if not self._span_choice.keeps(model, timings[LATENCY], failed=failed):
            return None
        return msgspec.json.encode(spans_of(call.asker.ledger, call.request.began)).decode()

    def _notice(self, call: _Call, fault: ToolFault) -> str:
        """Publish why the call failed; return the hash by which that is grouped."""
        caller, ledger = call.context.caller, call.asker.ledger
        provider, model = ledger.last_asked
        return self._faults.notice(
            fault,
            FaultSource.CALL,
            facts=facts_of_time(fault, ledger.last_stage, self._clock.monotonic() - call.request.began),
            call_id=call.id,
            tool=call.tool.name,
            provider=provider,
            model=model,
            door=caller.door,
            subject=caller.subject,
            client=caller.client,
            own_doing=caller.subject.startswith(OURSELVES),
        )

    def _account(
        self,
        call: _Call,
        code: str | None,
        model: str | None,
        requests: tuple[RequestRecord, ...],
        usd: float | None,
    ) -> None:
        """Settle what a call had reserved, count its names, and say that it was not admitted, where it was not."""
        caller = call.context.caller
        if call.guarded:
            self._guards.settle_soon(call.id, requests)
        if caller.subject in self._purses.subjects:
            self._purses.settle_soon(call.id, requests)
        self.use.note(call.request.invocation, caller, model, code=code, usd=usd)
        if code in NOT_ADMITTED and not call.journalled:
            self._bus.publish(CallRefused(call.tool.name, caller, code))


def _current_task() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    assert task is not None, "a call runs in a task"  # noqa: S101 - asyncio's own promise
    return task


def _out_of_time(call: _Call) -> DeadlineExceeded:
    return DeadlineExceeded(
        f"The call did not end within {call.deadline_s:g} s and was stopped. Ask for less, or lower the effort."
    )
