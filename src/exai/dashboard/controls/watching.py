"""Decisions on many groups at once, investigations, and what people think of observations."""

from typing import Annotated, Any, Literal

import msgspec
from starlette.responses import JSONResponse, Response

from exai.auth.scopes import ERRORS
from exai.dashboard.controls.rows import control, log_control
from exai.dashboard.documents.errors import observation_row
from exai.dashboard.faults import UnknownObservation
from exai.dashboard.json_bodies import SMALL
from exai.dashboard.queries import query_of
from exai.error_tracking.console import Console, GroupLine, UnknownGroup
from exai.error_tracking.deciding import Days, Decision, Note, OneOrMore, Release, number_of
from exai.error_tracking.investigation.desk import InvestigationDesk
from exai.error_tracking.states import DecisionRefused
from exai.errors import BadArguments
from exai.storage.auditor.observations import EXERCISE, Observations, ObservationState, Verdict
from exai.web.requests import AuthorizedRequest
from exai.web.routes import READ, Route

__all__ = ["WatchingControls"]

MOST_GROUPS = 100


class _OneOfMany(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    group: Annotated[str, msgspec.Meta(min_length=1, max_length=20)]
    version: OneOrMore | None = None


class _Decisions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One decision on several groups."""

    groups: Annotated[list[_OneOfMany], msgspec.Meta(min_length=1, max_length=MOST_GROUPS)]
    decision: Literal["resolve", "archive", "reopen"]
    note: Note = ""
    release: Release | None = None
    days: Days | None = None
    more: OneOrMore | None = None
    hourly: OneOrMore | None = None

    def on_one(self, version: int | None) -> Decision:
        """Make the decision on one of them."""
        return Decision(
            self.decision,
            version=version,
            note=self.note,
            release=self.release,
            days=self.days,
            more=self.more,
            hourly=self.hourly,
        )


class _Judgement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    state: Literal["acknowledged"] | None = None
    verdict: Verdict | None = None


class _Listing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    state: ObservationState | Literal["all"] = "open"
    most: Annotated[int, msgspec.Meta(ge=1, le=100)] = 50


class WatchingControls:
    """The routes of errors and observations that decide, and of what is looked at for that."""

    def __init__(self, console: Console, desk: InvestigationDesk, observations: Observations) -> None:
        self._console = console
        self._desk = desk
        self._observations = observations

    def routes(self) -> list[Route]:
        """List the rows for the table of the port."""
        return [
            control("/api/errors/decide", self._decide, SMALL),
            control("/api/errors/{group}/investigate", self._investigate),
            Route(READ, "/api/auditor/observations", self._list, scope=ERRORS, accepts_cookie=True),
            control("/api/auditor/observations/{observation}/decide", self._judge, SMALL),
        ]

    async def _decide(self, request: AuthorizedRequest) -> Response:
        asked = await request.json_body(_Decisions)
        results = [await self._decide_one(asked, each, request.caller.subject) for each in asked.groups]
        done = sum(each["result"] == "done" for each in results)
        log_control(
            "decide on groups", request, decision=asked.decision, done=done, refused=len(results) - done
        )
        sentence = f"{done} of {len(results)} groups: {asked.decision}."
        return JSONResponse(msgspec.to_builtins({"results": results, "told": sentence}))

    async def _decide_one(self, asked: _Decisions, one: _OneOfMany, actor: str) -> dict[str, Any]:
        line: GroupLine | None = None
        why = None
        try:
            line = await asked.on_one(one.version).on(self._console, number_of(one.group), actor)
        except (DecisionRefused, UnknownGroup, BadArguments) as refused:
            why = str(refused)
        return {"group": one.group, "result": "refused" if line is None else "done", "line": line, "why": why}

    async def _investigate(self, request: AuthorizedRequest) -> Response:
        number = number_of(request.params["group"])
        view = await self._desk.ask(number, request.caller.subject)
        log_control("investigate group", request, group=f"E-{number}", investigation=view.investigation)
        sentence = f"The investigation of E-{number} is {view.state}; its report stands with the group when it is done."
        body = {"investigation_id": view.investigation, "state": view.state, "stage": view.stage}
        return JSONResponse({**body, "told": sentence}, status_code=202)

    async def _list(self, request: AuthorizedRequest) -> Response:
        asked = query_of(request, _Listing)
        state = None if asked.state == "all" else asked.state
        found = await self._observations.listing(state=state, beside=EXERCISE, most=asked.most)
        return JSONResponse({"observations": [observation_row(each) for each in found]})

    async def _judge(self, request: AuthorizedRequest) -> Response:
        asked = await request.json_body(_Judgement)
        if asked.state is None and asked.verdict is None:
            raise BadArguments("Say `state` (`acknowledged`), `verdict` (`useful` or `noise`), or both.")
        observation_id = request.params["observation"]
        found = await self._observations.change(observation_id, state=asked.state, verdict=asked.verdict)
        if found is None:
            raise UnknownObservation(
                "There is no such observation; `GET /api/auditor/observations` lists them."
            )
        log_control(
            "judge observation", request, observation=observation_id, verdict=asked.verdict, state=asked.state
        )
        return JSONResponse(observation_row(found))
