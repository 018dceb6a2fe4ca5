"""From a request to its tool and back, the same for every door.

    scopes checked → arguments checked → permits taken → journal row begun → tool runs → journal row ended → answer

The order is the order of truth: the row that says a provider may be asked is on
disk before it is, and an exchange is committed before its answer leaves. What a
crash leaves is a row without an end, which the next start marks `lost`.
"""

import asyncio
import itertools
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from exai.callers import Caller
from exai.consulting.context import CallContext
from exai.dispatch.idempotent_calls import IdempotentCallId, IdempotentCalls
from exai.dispatch.idempotent_run import STOPPING_RETRY_AFTER_S, IdempotentRun, stopping
from exai.dispatch.progress import ProgressFanout, ProgressReporter, SendProgress
from exai.errors import (
    AnswerBroken,
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
from exai.routing.asker import Asking, ModelAsker
from exai.routing.fallback import told
from exai.routing.progress import SilentProgress
from exai.storage.calls.journal import CallBegun, CallEnd, Journal
from exai.tools.arguments import parse_arguments
from exai.tools.base import JsonObject, Tool, ToolAnswer
from exai.tools.registry import Registry, ToolDescription

__all__ = ["Dispatcher"]

GRACE_S = 0.1
"""By how much a call may outlast its time, so that whoever asks a provider ends first: it knows what had arrived."""

_SILENT = SilentProgress()


@dataclass(slots=True)
class _Call:
    """One run of a tool."""

    tool: Tool[Any]
    arguments: Mapping[str, Any] | None
    context: CallContext
    asker: ModelAsker
    began: float
    run: IdempotentRun | None = None
    """The run of a call with an idempotency key."""

    def tell(self, progress: ProgressReporter | ProgressFanout, *, streams: bool) -> None:
        """Have its progress told."""
        self.context.progress, self.context.streams = progress, streams
        self.asker.progress = progress


class Dispatcher:
    """Runs tool calls; owns those that are running."""

    def __init__(
        self,
        *,
        registry: Registry,
        asking: Asking,
        journal: Journal,
        idempotent_calls: IdempotentCalls,
        call_timeout_s: float,
    ) -> None:
        self._registry = registry
        self._asking = asking
        self._admission = asking.admission
        self._journal = journal
        self._idempotent_calls = idempotent_calls
        self._bus = asking.bus
        self._clock = asking.clock
        self._call_timeout_s = call_timeout_s
        self._running: dict[str, asyncio.Task[Any]] = {}
        self._aborted: set[str] = set()
        self._admitting = True
        self._id_tag = secrets.token_hex(4)
        self._numbers = itertools.count()

    @property
    def running(self) -> int:
        """Calls between their first line and their answer."""
        return len(self._running)

    def listing(self) -> tuple[ToolDescription, ...]:
        """The default list of tools."""
        return self._registry.listing

    def input_schema(self, name: str) -> JsonObject | None:
        """The schema of a tool's arguments; `None` for an unknown one."""
        return self._registry.input_schema(name)

    def stop_admitting(self) -> None:
        """From now on every new call is answered `stopping`; running ones go on."""
        self._admitting = False

    def abort_running(self) -> None:
        """End every running call with a definite, retriable error."""
        for call_id, task in self._running.items():
            self._aborted.add(call_id)
            task.cancel()

    def check_scopes(self, name: str, arguments: Mapping[str, Any] | None, caller: Caller) -> None:
        """Refuse a call that its caller may not make; for doors that answer it otherwise than by the call's answer.

        Raises:
            UnknownTool: nothing answers to `name`.
            ScopeMissing: the caller lacks a scope that this call needs.
        """
        tool = self._registry.find(name)
        needed = tool.scopes_for(arguments)
        lacking = [scope for scope in needed if not caller.may(scope)]
        if lacking:
            self._bus.publish(CallRefused(tool.name, caller, ScopeMissing.code))
            raise ScopeMissing(
                f"Your token does not allow this call of {tool.name}: it lacks {' and '.join(lacking)}. "
                "Ask whoever made it for one that has this scope, or leave out what needs it.",
                scope=" ".join(needed),
            )

    async def call(
        self,
        name: str,
        arguments: Mapping[str, Any] | None,
        *,
        caller: Caller,
        send_progress: SendProgress | None = None,
        idempotency_key: str | None = None,
    ) -> ToolAnswer:
        """Run one tool. Cancelling the caller's task cancels all work for it, down to the provider's connection.

        Under an `idempotency_key` it is run once, however often and by whichever door the caller asks; a tool that
        asks no provider has nothing to repeat, and no need of a key.

        Raises:
            UnknownTool: nothing answers to `name`.
            ScopeMissing: the caller may not. Every other failure is an answer with `is_error`.
        """
        self.check_scopes(name, arguments, caller)
        tool = self._registry.find(name)
        call = self._new_call(tool, arguments, caller)
        if idempotency_key is not None and tool.asks_provider:
            return await self._operate(idempotency_key, call, send_progress)
        if send_progress is None or not tool.asks_provider:
            return await self._answer(call)
        async with ProgressReporter(send_progress, self._clock, lambda: self.running) as reporter:
            call.tell(reporter, streams=True)
            return await self._answer(call)

    async def _operate(self, key: str, call: _Call, send_progress: SendProgress | None) -> ToolAnswer:
        async def work(run: IdempotentRun) -> ToolAnswer:
            call.run = run
            call.tell(run.progress, streams=run.progress.has_subscribers)
            return await self._answer(call)

        try:
            return await self._idempotent_calls.call(
                IdempotentCallId(call.context.caller.subject, key),
                call.tool.name,
                call.arguments,
                work=work,
                send_progress=send_progress,
                calls_running=lambda: self.running,
            )
        except ToolFault as fault:
            return _failure(fault, call.context)

    def _new_call(self, tool: Tool[Any], arguments: Mapping[str, Any] | None, caller: Caller) -> _Call:
        began = self._clock.monotonic()
        asker = self._asking.on_behalf_of(caller, began + self._call_timeout_s)
        context = CallContext(
            call_id=self._new_call_id(),
            caller=caller,
            progress=_SILENT,
            ask=asker,
            count_tokens=asker.count_tokens,
            bill=asker.bill,
            timings=asker.timings,
            tried=asker.tried,
        )
        return _Call(tool, arguments, context, asker, began)

    def _new_call_id(self) -> str:
        """Unique over restarts and processes, and in the order of time; it opens nothing, so it may be guessed."""
        return f"call_{int(self._clock.wall() * 1000):011x}{self._id_tag}{next(self._numbers) % 0x10000:04x}"

    async def _answer(self, call: _Call) -> ToolAnswer:
        try:
            return await self._run(call)
        except ToolFault as fault:
            return _failure(fault, call.context)

    async def _run(self, call: _Call) -> ToolAnswer:
        """Run the tool and state how it ended, whatever happens."""
        tool, context = call.tool, call.context
        if not self._admitting:
            self._bus.publish(CallRefused(tool.name, context.caller, Stopping.code))
            raise stopping()
        self._bus.publish(CallStarted(context.call_id, tool.name, context.caller))
        outcome, code = "ok", None
        self._running[context.call_id] = _current_task()
        try:
            async with asyncio.timeout(self._call_timeout_s + GRACE_S) as limit:
                parsed = parse_arguments(tool, call.arguments)
                if tool.asks_provider:
                    return await self._run_admitted(call, parsed)
                return await tool.run(parsed, context)
        except asyncio.CancelledError:
            outcome, code = "cancelled", "cancelled"
            if context.call_id in self._aborted:
                code = Stopping.code
                _current_task().uncancel()
                raise Stopping(
                    "EXAI had to stop before the answer was complete. Nothing of this exchange was kept; "
                    "ask again in a few seconds.",
                    retry_after_s=STOPPING_RETRY_AFTER_S,
                ) from None
            raise
        except ToolFault as fault:
            outcome, code = ("timed_out" if isinstance(fault, ProviderTimeout) else "failed"), fault.code
            raise
        except Exception as error:
            if isinstance(error, TimeoutError) and limit.expired():
                outcome, code = "timed_out", DeadlineExceeded.code
                raise DeadlineExceeded(
                    f"The call did not end within {self._call_timeout_s:g} s and was stopped. "
                    "Ask for less, lower the effort, or raise timeouts.call_s."
                ) from None
            outcome, code = "failed", Incident.code
            incident = record_incident(error, where=tool.name, publish=self._bus.publish)
            raise Incident(incident.sentence) from error
        finally:
            del self._running[context.call_id]
            self._aborted.discard(context.call_id)
            self._state_end(tool, context, call.began, outcome, code)

    async def _run_admitted(self, call: _Call, parsed: Any) -> ToolAnswer:
        context = call.context
        context.model_requested = getattr(parsed, "model", None)
        context.conversation_id = getattr(parsed, "continuation_id", None)
        async with (
            self._admission.caller_permit(context.caller) as own,
            self._admission.total_permit(context.caller) as house,
        ):
            call.asker.holds = (own, house)
            context.timings["session_wait_ms"] = own.waited_s * 1000
            context.timings["global_sem_wait_ms"] = house.waited_s * 1000
            marked = self._clock.monotonic()
            context.journalled = True
            row = self._journal.begin(
                CallBegun(
                    call_id=context.call_id,
                    caller=context.caller,
                    tool=call.tool.name,
                    model_requested=context.model_requested,
                    conversation_id=context.conversation_id,
                )
            )
            if call.run is None:
                await row
            else:
                await asyncio.gather(row, call.run.begin(context.call_id))  # both in one commit
            context.timings["store_ms"] = (self._clock.monotonic() - marked) * 1000
            return await call.tool.run(parsed, context)

    def _state_end(
        self, tool: Tool[Any], context: CallContext, began: float, outcome: str, code: str | None
    ) -> None:
        latency_ms = (self._clock.monotonic() - began) * 1000
        timings = context.timings
        timings["processing_ms"] = max(0.0, latency_ms - sum(timings.values()))
        timings["latency_ms"] = latency_ms
        for stage in timings:
            timings[stage] = round(timings[stage], 3)
        if code == Overloaded.code and not context.journalled:
            self._bus.publish(CallRefused(tool.name, context.caller, code))
        if context.journalled:
            self._journal.end_soon(
                CallEnd(
                    call_id=context.call_id,
                    outcome=outcome,
                    error_code=code,
                    model_used=context.model_used,
                    provider=context.provider,
                    conversation_id=context.conversation_id,
                    usage=context.bill.usage,
                    cost_usd=context.bill.cost.usd,
                    timings=context.timings,
                    requests=sum(each.requests for each in context.tried),
                    model_reason=context.model_reason,
                )
            )
        self._bus.publish(
            CallEnded(
                call_id=context.call_id,
                tool=tool.name,
                caller=context.caller,
                outcome=outcome,
                error_code=code,
                provider=context.provider,
                model=context.model_used,
                usage=context.bill.usage,
                cost_usd=context.bill.cost.usd,
                timings=context.timings,
            )
        )


def _current_task() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    assert task is not None, "a call runs in a task"  # noqa: S101 - asyncio's own promise
    return task


def _failure(fault: ToolFault, context: CallContext) -> ToolAnswer:
    """A failed call as the client reads it: the sentence for the model, the facts for the program."""
    sentence = str(fault)
    facts: JsonObject = {
        "code": fault.code,
        "message": sentence,
        "retryable": fault.retryable,
        "fixable_by": fault.fixable_by,
        "call_id": context.call_id,
    }
    if context.tried:
        facts["tried"] = told(context.tried)
    if fault.retry_after_s is not None:
        facts["retry_after_s"] = fault.retry_after_s
    text = sentence
    if len(context.tried) > 1:
        text += " Tried: " + ", ".join(f"{each.model} ({each.outcome})" for each in context.tried) + "."
    if isinstance(fault, AnswerBroken | DeadlineExceeded) and fault.partial:
        text = f"{text}\n\nWhat had arrived:\n{fault.partial}"
    return ToolAnswer(text=text, structured=None, meta={"exai/error": facts}, is_error=True)
