"""Ends a call that runs, down to the connection of its provider."""

from collections.abc import Awaitable, Callable
from typing import Any

from starlette.responses import JSONResponse, Response

from exai.dashboard.controls.rows import control, log_control
from exai.dashboard.faults import UnknownCall
from exai.dispatch.running.under_way import CallsUnderWay
from exai.runtime.clock import Clock
from exai.storage.calls.recorded import RecordedCall
from exai.storage.fleet.replicas import Replicas
from exai.web.requests import AuthorizedRequest
from exai.web.routes import Route

__all__ = ["CallControls"]

FindCall = Callable[[str], Awaitable[RecordedCall | None]]
RUNS = 200
"""The latest lives of daemons, among which that of a call is looked for."""


class CallControls:
    """The route that cancels calls."""

    def __init__(
        self, under_way: CallsUnderWay, find: FindCall, replicas: Replicas, run_id: str, clock: Clock
    ) -> None:
        self._under_way = under_way
        self._find = find
        self._replicas = replicas
        self._run_id = run_id
        self._clock = clock

    def routes(self) -> list[Route]:
        """List the rows for the table of the port."""
        return [control("/api/calls/{call_id}/cancel", self._cancel)]

    async def _cancel(self, request: AuthorizedRequest) -> Response:
        call_id, began = request.params["call_id"], self._clock.monotonic()
        outcome = await self._under_way.cancel(call_id, request.caller.subject)
        took_ms = round((self._clock.monotonic() - began) * 1000, 1)
        if outcome is None:
            answer = await self._not_here(call_id)
        elif outcome == "cancelled":
            answer = {
                "result": "ended",
                "outcome": outcome,
                "told": f"The call was ended, in {took_ms:.0f} ms.",
            }
        elif outcome == "running":
            answer = {
                "result": "asked",
                "outcome": None,
                "told": "The call was told to end and has not done so yet; look again in a moment.",
            }
        else:
            answer = _over(outcome)
        log_control("cancel call", request, call_id=call_id, result=answer["result"])
        return JSONResponse({"call_id": call_id, "took_ms": took_ms, **answer})

    async def _not_here(self, call_id: str) -> dict[str, Any]:
        found = await self._find(call_id)
        if found is None:
            raise UnknownCall("No call of this id runs here, and the journal has none.")
        if found.has_ended:
            return _over(str(found.facts["outcome"]))
        run_id = found.facts["run_id"]
        if run_id == self._run_id:
            return _over("unknown")
        run = next((each for each in await self._replicas.latest(RUNS) if each.run_id == run_id), None)
        where = "another process" if run is None else f"the process {run_id} on {run.host}"
        return {
            "result": "elsewhere",
            "outcome": None,
            "run_id": run_id,
            "host": None if run is None else run.host,
            "told": f"The call runs in {where}, which has a dashboard of its own; nothing was done.",
        }


def _over(outcome: str) -> dict[str, Any]:
    sentence = f"The call was over already ({outcome}); nothing was done."
    if outcome == "unknown":
        sentence = "The call does not run here any more, and its end is not written yet; nothing was done."
    return {"result": "already_over", "outcome": outcome, "told": sentence}
