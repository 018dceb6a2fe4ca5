"""`auditor`: what the auditor observed, what people think of it, and exercises of it. In no list of tools."""

from collections.abc import Callable, Sequence
from typing import Annotated, Literal

import msgspec

from exai import config
from exai.auth import scopes
from exai.consulting.context import CallContext
from exai.consulting.results import Result, ToolReturn
from exai.errors import BadArguments
from exai.events.events import AuditExercised, Event
from exai.monitoring.auditor.auditor import Auditor, LaneCounts
from exai.monitoring.auditor.exercise import Planted, events_of
from exai.monitoring.auditor.explaining import PURSE
from exai.storage.auditor.observations import EXERCISE, Observation, ObservationState, Verdict
from exai.storage.auditor.windows import HOUR_S
from exai.storage.calls.budgets import BudgetGrants
from exai.tools.base import Arguments, Tool
from exai.tools.watching.error_answers import ObservationShown

__all__ = ["AuditorArguments", "AuditorReport", "AuditorTool"]

MOST_AT_ONCE = 1_000
"""Events that one planted one may stand for."""
SHOWN = 20

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=60, pattern="^[a-z0-9_]+$")]


class AuditorArguments(Arguments, frozen=True):
    state: ObservationState | None = None
    most: Annotated[int, msgspec.Meta(ge=1, le=500)] = SHOWN
    id: Annotated[str, msgspec.Meta(max_length=60, description="An observation")] | None = None
    verdict: Verdict | None = None
    acknowledge: bool = False
    exercise: Annotated[Name, msgspec.Meta(description="An exercise's name")] | None = None
    planted: Annotated[tuple[Planted, ...], msgspec.Meta(max_length=100)] = ()
    end: bool = False
    """Whether the exercise is over."""


class AuditorReport(Result, frozen=True, kw_only=True):
    """How the auditor does, and what it observed."""

    mode: str
    folded: int
    """Events of the exercise, where one is named; else all since the start."""
    dropped: int
    windows: int
    model_requests: int
    """Within the last hour, of all processes."""
    observations: list[ObservationShown]

    def text(self) -> str:
        """Return the report as lines."""
        head = (
            f"Auditor: {self.mode}; {self.folded} events in {self.windows} windows, {self.dropped} dropped; "
            f"{self.model_requests} requests to a model in the last hour."
        )
        return "\n".join([head, *map(_line, self.observations)])


class AuditorTool:
    """Answers however busy the daemon is: it takes no permit and asks no provider."""

    def __init__(
        self,
        auditor: Auditor,
        budgets: BudgetGrants,
        settings: config.Auditor,
        publish: Callable[[Event], None],
    ) -> None:
        self._auditor = auditor
        self._budgets = budgets
        self._settings = settings
        self._publish = publish

    def tool(self) -> Tool[AuditorArguments, AuditorReport]:
        """The catalogue's entry."""
        return Tool(
            name="auditor",
            title="Auditor",
            description="What EXAI observes of its own behaviour; by id, what people think of it.",
            arguments=AuditorArguments,
            result=AuditorReport,
            run=self.run,
            asks_provider=False,
            scope=scopes.ERRORS,
            argument_scopes={
                "verdict": scopes.OPERATE,
                "acknowledge": scopes.OPERATE,
                "exercise": scopes.OPERATE,
            },
            read_only=False,
            is_listed=False,
        )

    async def run(self, arguments: AuditorArguments, _context: CallContext) -> ToolReturn[AuditorReport]:
        """Report, judge an observation, or take events of an exercise.

        Raises:
            BadArguments: there is no such observation, or an argument needs another.
            StoreFailed: the database is out of reach.
        """
        if arguments.exercise is not None:
            return ToolReturn(await self._exercised(arguments.exercise, arguments))
        if arguments.planted or arguments.end:
            raise BadArguments("`planted` and `end` need the name of an `exercise`.")
        if arguments.id is not None:
            found = await self._one(arguments.id, arguments)
            return ToolReturn(await self._report(self._auditor.counts_of(), [found]))
        if arguments.verdict is not None or arguments.acknowledge:
            raise BadArguments("`verdict` and `acknowledge` need the `id` of an observation.")
        listed = await self._auditor.observations.listing(state=arguments.state, most=arguments.most)
        return ToolReturn(await self._report(self._auditor.counts_of(), listed))

    async def _one(self, observation_id: str, arguments: AuditorArguments) -> Observation:
        state: Literal["acknowledged"] | None = "acknowledged" if arguments.acknowledge else None
        found = await self._auditor.observations.change(
            observation_id, state=state, verdict=arguments.verdict
        )
        if found is None:
            raise BadArguments(f"There is no observation {observation_id!a}; without `id` they are listed.")
        return found

    async def _exercised(self, exercise: str, arguments: AuditorArguments) -> AuditorReport:
        if self._settings.mode == "off":
            raise BadArguments("The auditor is off (`auditor.mode`), so there is nothing to exercise.")
        if any(planted.count > MOST_AT_ONCE for planted in arguments.planted):
            raise BadArguments(f"`count` is at most {MOST_AT_ONCE}.")
        for planted in arguments.planted:
            self._publish(AuditExercised(exercise, max(0.0, planted.at), tuple(events_of([planted]))))
        if not arguments.end:
            return await self._report(self._auditor.counts_of(exercise), ())
        counts = await self._auditor.end_exercise(exercise)
        under = f"{EXERCISE}{exercise}/"
        return await self._report(
            counts, await self._auditor.observations.listing(under=under, most=arguments.most)
        )

    async def _report(self, counts: LaneCounts, observations: Sequence[Observation]) -> AuditorReport:
        spent = await self._budgets.spent(PURSE, HOUR_S)
        return AuditorReport(
            mode=self._settings.mode,
            folded=counts.folded,
            dropped=self._auditor.dropped,
            windows=counts.windows,
            model_requests=spent.requests,
            observations=[ObservationShown.of(each) for each in observations],
        )


def _line(each: ObservationShown) -> str:
    because = "" if each.explanation is None else f" A model explains: {each.explanation}"
    return f"- {each.line()}{because}"
