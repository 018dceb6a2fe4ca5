"""What the tools of errors do: the console asked for a caller, reports taken, observations judged."""

import asyncio
import hashlib
import secrets
from collections.abc import Callable
from typing import Protocol

import msgspec

from exai.consulting.context import CallContext
from exai.consulting.results import ToolReturn
from exai.error_tracking.console import Console
from exai.error_tracking.deciding import Decision, number_of
from exai.error_tracking.fingerprints import fingerprint
from exai.error_tracking.ingestion.intake import ReportIntake, TooManyReports, sha256_of
from exai.error_tracking.ingestion.native import Report, fault_of_report
from exai.error_tracking.investigation.view import InvestigationView
from exai.error_tracking.places import place_after, place_in
from exai.errors import BadArguments, Overloaded, StoreFailed
from exai.runtime.clock import Clock
from exai.storage.auditor.observations import Observations
from exai.storage.error_tracking.following import GroupChanges
from exai.storage.error_tracking.projects import Intake, Project, ProjectTables
from exai.tools.watching.error_answers import ErrorsAnswer, ObservationShown
from exai.tools.watching.error_arguments import (
    DecideError,
    InvestigateError,
    JudgeObservation,
    ListErrors,
    ListObservations,
    ReportError,
    ShowError,
)

__all__ = ["AGENTS", "ErrorHandlers", "Investigate"]

AGENTS = "agents"
"""The program under whose name the reports of callers are grouped; its key is known to nobody."""
OURSELVES = "exai"

Answered = ToolReturn[ErrorsAnswer]


class Investigate(Protocol):
    """Has groups investigated."""

    async def ask(self, number: int, asked_by: str) -> InvestigationView:
        """Ask for an investigation of a group; one that is under way is that one."""
        ...

    async def follow(
        self, investigation_id: str, on_change: Callable[[InvestigationView], None]
    ) -> InvestigationView | None:
        """Wait until an investigation is over; `None`: it is gone with its group."""
        ...

    async def cancel(self, investigation_id: str, by: str) -> bool:
        """Cancel an investigation; return whether it was not over yet."""
        ...


class ErrorHandlers:
    """Answers for the port of errors, and for the tool `errors`."""

    def __init__(
        self,
        console: Console,
        intake: ReportIntake,
        projects: ProjectTables,
        changes: GroupChanges,
        observations: Observations,
        investigate: Investigate,
        clock: Clock,
    ) -> None:
        self._console = console
        self._intake = intake
        self._projects = projects
        self._changes = changes
        self._observations = observations
        self._investigate = investigate
        self._clock = clock
        self._agents: Project | None = None

    async def list_groups(self, arguments: ListErrors, _: CallContext) -> Answered:
        """List groups.

        Raises:
            BadArguments: the cursor is none of this list.
            StoreFailed: the database is out of reach.
        """
        ourselves = arguments.reporter == OURSELVES
        found = await self._console.listed(
            state=None if arguments.state == "all" else arguments.state,
            matching=arguments.matching,
            sort=arguments.sort,
            most=arguments.most + 1,
            own=ourselves,
            reporter=None if ourselves else arguments.reporter,
            after=None if arguments.cursor is None else place_in(arguments.cursor, arguments.sort),
        )
        shown = found[: arguments.most]
        answer = ErrorsAnswer(groups=shown)
        if len(found) > len(shown):
            answer = msgspec.structs.replace(answer, cursor=place_after(shown[-1], arguments.sort))
        return ToolReturn(answer)

    async def show(self, arguments: ShowError, _: CallContext) -> Answered:
        """Show a group.

        Raises:
            UnknownGroup: there is none of this number.
            StoreFailed: the database is out of reach.
        """
        details = await self._console.shown(number_of(arguments.group))
        answer = ErrorsAnswer(
            group=details.group,
            report=details.report,
            grouped_by=details.grouped_by,
            history=details.history,
            hours=details.hours,
            provenance=dict(details.provenance),
        )
        if details.latest is not None:
            answer = msgspec.structs.replace(answer, latest=details.latest)
        if details.investigation is not None:
            answer = msgspec.structs.replace(answer, investigation=details.investigation)
        return ToolReturn(answer)

    async def report(self, arguments: ReportError, context: CallContext) -> Answered:
        """Take a report, and say what is known of its group.

        Raises:
            BadArguments: it says nothing.
            Overloaded: callers reported more than a program may within a minute.
            StoreFailed: it was not taken.
        """
        if not arguments.message and not arguments.exceptions:
            raise BadArguments("A report needs a `message` or `exceptions`.")
        project, caller = await self._agents_project(), context.caller
        event_id = arguments.event_id and f"{_digest(caller.subject)}-{arguments.event_id}"
        report = Report(
            message=arguments.message,
            exceptions=arguments.exceptions,
            logger=arguments.logger,
            release=arguments.release,
            event_id=event_id,
            tags={**arguments.tags, "reported_by": caller.subject[:200]},
        )
        fault = fault_of_report(report, project.project_id, self._clock.wall())
        try:
            taken = await self._intake.take(project, [fault], Intake())
        except TooManyReports as refused:
            raise Overloaded(str(refused), retry_after_s=refused.retry_after_s) from None
        answer = ErrorsAnswer(counted=True, repeated=taken.repeated > 0)
        try:
            found = await self._changes.find(project.project_id, fingerprint(fault).hash)
        except StoreFailed:
            found = None
        if found is None:
            return ToolReturn(msgspec.structs.replace(answer, counted=False))
        return ToolReturn(msgspec.structs.replace(answer, group=await self._console.line(found.number)))

    async def decide(self, arguments: DecideError, context: CallContext) -> Answered:
        """Decide on a group.

        Raises:
            UnknownGroup: there is no such group, or none to merge or split.
            DecisionRefused: its state does not allow it, or it was changed since `version`.
            StoreFailed: nothing was changed.
        """
        given = msgspec.structs.asdict(arguments)
        number = number_of(given.pop("group"))
        return ToolReturn(
            ErrorsAnswer(group=await Decision(**given).on(self._console, number, context.caller.subject))
        )

    async def investigate(self, arguments: InvestigateError, context: CallContext) -> Answered:
        """Have a group investigated, and wait for the report; one that is under way is waited for.

        Who goes before the end cancels what he has asked for himself.

        Raises:
            UnknownGroup: there is none of this number.
            InvestigationRefused: it is the doing of EXAI's own callers, or investigations are off.
            StoreFailed: the database is out of reach.
        """
        by = context.caller.subject
        asked = await self._investigate.ask(number_of(arguments.group), by)
        try:
            ended = await self._investigate.follow(
                asked.investigation, lambda view: context.progress.status(_said_of(view))
            )
        except asyncio.CancelledError:
            if asked.asked_by == by:
                await asyncio.shield(self._investigate.cancel(asked.investigation, by))
            raise
        return ToolReturn(ErrorsAnswer(investigation=ended or asked))

    async def list_observations(self, arguments: ListObservations, _: CallContext) -> Answered:
        """List what the auditor observed, the latest seen first.

        Raises:
            StoreFailed: the database is out of reach.
        """
        found = await self._observations.listing(state=arguments.state, most=arguments.most)
        return ToolReturn(ErrorsAnswer(observations=list(map(ObservationShown.of, found))))

    async def judge(self, arguments: JudgeObservation, _: CallContext) -> Answered:
        """Acknowledge or judge an observation.

        Raises:
            BadArguments: there is no such observation, or nothing is said about it.
            StoreFailed: nothing was changed.
        """
        if arguments.verdict is None and not arguments.acknowledge:
            raise BadArguments("Say `verdict` (useful or noise), or `acknowledge`.")
        found = await self._observations.change(
            arguments.id,
            state="acknowledged" if arguments.acknowledge else None,
            verdict=arguments.verdict,
        )
        if found is None:
            raise BadArguments(f"There is no observation {arguments.id!a}; `observations` lists them.")
        return ToolReturn(ErrorsAnswer(observations=[ObservationShown.of(found)]))

    async def _agents_project(self) -> Project:
        """Find the program under whose name callers report; make it where it is not there yet."""
        if self._agents is None:
            nobody = sha256_of(secrets.token_hex(32))
            self._agents = await self._projects.create(
                AGENTS, "public", nobody
            ) or await self._projects.named(AGENTS)
        if self._agents is None:
            raise StoreFailed("The program of agents cannot be found. Try again.")
        return self._agents


def _said_of(view: InvestigationView) -> str:
    return f"The investigation is {view.state}" + (f": {view.stage}." if view.stage else ".")


def _digest(subject: str) -> str:
    return hashlib.sha256(subject.encode()).hexdigest()[:12]
