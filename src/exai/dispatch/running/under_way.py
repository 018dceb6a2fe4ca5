"""The calls that run: what each does at a moment, and how one is ended from outside.

A call that is ended so is cancelled with the fault that its caller reads; the dispatcher raises it in the place of the
cancellation, so whatever the call holds is given back on the way, down to the provider's connection.
"""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, Protocol

import msgspec

from exai.dispatch.idempotent_run import STOPPING_RETRY_AFTER_S
from exai.errors import Stopping, ToolFault
from exai.routing.asker import ModelAsker
from exai.routing.request import Asking
from exai.tools.base import Requested, Tool

__all__ = ["CallState", "CallsUnderWay", "CancelledByOperator"]

END_S = 5.0
"""How long whoever cancels a call waits for its end."""


class CancelledByOperator(ToolFault):
    """An operator ended the call."""

    code = "cancelled_by_operator"
    http_status = 409
    fixable_by = "operator"


class CallUnderWay(Protocol):
    """What is needed of a call that runs."""

    @property
    def task(self) -> asyncio.Task[Any]:
        """That runs it."""
        ...

    @property
    def tool(self) -> Tool[Any, Any]:
        """That it calls."""
        ...

    @property
    def asker(self) -> ModelAsker:
        """By which it asks models."""
        ...

    @property
    def requested(self) -> Requested:
        """What its arguments ask for."""
        ...


class CallState(msgspec.Struct, frozen=True):
    """What a call does at this moment."""

    model_requested: str | None
    stage: str | None
    """As the journal names it, without its unit; `None`: nothing that is a stage."""
    stage_s: float | None
    """Since when; `None`: that is not known."""
    request: int
    """How many requests it has begun."""
    attempt: int
    """Of its latest request, from 1."""
    provider: str | None
    model: str | None


class CallsUnderWay:
    """Knows the calls that run in this process."""

    def __init__(self, asking: Asking) -> None:
        self._asking = asking
        self.calls: dict[str, CallUnderWay] = {}
        """By id, from their begin to their end; the dispatcher keeps it."""
        self.ended: dict[str, ToolFault] = {}
        """Why calls that still run are ended from outside."""
        self._waiting: dict[str, asyncio.Future[str]] = {}

    def abort_all(self) -> None:
        """End every call with a definite, retriable error."""
        for call_id, call in self.calls.items():
            self.ended[call_id] = Stopping(
                "EXAI had to stop before the answer was complete. Nothing of this exchange was kept; "
                "ask again in a few seconds.",
                retry_after_s=STOPPING_RETRY_AFTER_S,
            )
            call.task.cancel()

    async def cancel(self, call_id: str, by: str) -> str | None:
        """End a call for an operator and wait for that; return its outcome, `None` when it does not run.

        A call that has its answer already in the moment in which it is cancelled ends with that answer.
        """
        call = self.calls.get(call_id)
        if call is None:
            return None
        waiting = self._waiting.get(call_id)
        if waiting is None:
            waiting = self._waiting[call_id] = asyncio.get_running_loop().create_future()
        if call_id not in self.ended:
            self.ended[call_id] = CancelledByOperator(
                f"An operator ({by}) cancelled this call. Nothing of this exchange was kept, and what a provider was "
                "asked is broken off. Ask whoever runs this EXAI before you ask again."
            )
            call.task.cancel()
        with suppress(TimeoutError):
            return await asyncio.wait_for(asyncio.shield(waiting), END_S)
        return "running"

    def note_end(self, call_id: str, outcome: str) -> None:
        """Forget a call that ended, and tell who waits for it."""
        self.ended.pop(call_id, None)
        waiting = self._waiting.pop(call_id, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(outcome)

    def state_of(self, call_id: str) -> CallState | None:
        """Say what a call does now; `None` when it does not run."""
        call = self.calls.get(call_id)
        return None if call is None else self._state(call, self._waiters())

    def states(self) -> Iterator[tuple[str, CallState]]:
        """Yield what each call does now, with its id, the oldest first."""
        waiters = self._waiters()
        for call_id, call in self.calls.items():
            yield call_id, self._state(call, waiters)

    def _waiters(self) -> Mapping[str, int]:
        """Who waits at the gate of all calls."""
        return dict(self._asking.admission.total.waiters())

    def _state(self, call: CallUnderWay, waiters: Mapping[str, int]) -> CallState:
        entries = call.asker.ledger.entries
        open_ones = [entry for entry in entries if entry.ended is None]
        if not open_ones:
            stage = None
            if call.tool.asks_provider and not call.asker.terms.permits.is_admitted:
                waits_for_all = call.asker.terms.caller.subject in waiters
                stage = "global_sem_wait" if waits_for_all else "session_wait"
            return CallState(call.requested.model, stage, None, len(entries), 0, None, None)
        entry = open_ones[-1]
        is_timed = entry.doing is not None and entry.doing != "generation_ms"
        return CallState(
            model_requested=call.requested.model,
            stage=None if entry.doing is None else entry.doing.value.removesuffix("_ms"),
            stage_s=self._asking.clock.monotonic() - entry.doing_since if is_timed else None,
            request=len(entries),
            attempt=entry.attempts + 1,
            provider=entry.provider,
            model=entry.model,
        )
