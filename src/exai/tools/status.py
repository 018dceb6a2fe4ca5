"""`status`: what runs here, how it is doing, what went wrong lately, and what one call cost."""

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET

from exai.auth import scopes
from exai.callers import Caller
from exai.consulting.context import CallContext
from exai.consulting.results import ToolReturn
from exai.errors import BadArguments
from exai.storage.calls.recorded import RecordedCall
from exai.storage.workflows.findings import VerdictName
from exai.tools.base import Arguments, Tool
from exai.tools.call_report import CallReport
from exai.tools.models import Models, ModelsReport
from exai.tools.older.operations import STATES
from exai.tools.status_report import StatusDetails, StatusReport
from exai.tools.system_report import SystemReport
from exai.workflows.review.verdicts import Verdicts

__all__ = ["Status", "StatusArguments"]

Section = Literal[
    "all",
    "calls",
    "conversations",
    "doctor",
    "duties",
    "errors",
    "jobs",
    "limits",
    "models",
    "providers",
    "quality",
    "service",
    "usage",
]

LATEST = "last"
"""The `id` of the caller's latest call."""

FINDING = "f_"
"""Begins the ids of findings."""

CONVERSATION = "conv_"
"""Begins the handles of conversations."""


class StatusArguments(Arguments, frozen=True):
    section: Annotated[Section, msgspec.Meta(description="This part, whole; all is short")] = "all"
    id: (
        Annotated[
            str,
            msgspec.Meta(
                max_length=200,
                description="call_id, continuation_id or last; a model's name",
            ),
        ]
        | None
    ) = None

    verdict: VerdictName | None = None
    """With the `id` of a finding of `review`: what became of it."""
    reason: Annotated[str, msgspec.Meta(max_length=2_000)] = ""

    def wants(self, section: Section) -> bool:
        """Whether a section is asked for; `all` is how EXAI does, and not what it has."""
        return self.section in {"all", section}


class Status:
    """Answers however busy the daemon is: it takes no permit and asks no provider."""

    def __init__(self, report: SystemReport, models: Models, verdicts: Verdicts) -> None:
        self._report = report
        self._models = models
        self._verdicts = verdicts

    def tool(self) -> Tool[StatusArguments, StatusReport]:
        """The catalogue's entry."""
        return Tool(
            name="status",
            title="Server status",
            description=(
                "Models with prices, provider health, limits, your usage and failed calls; by id, what a call cost "
                "and took."
            ),
            arguments=StatusArguments,
            result=StatusReport,
            report=StatusDetails,
            run=self.run,
            asks_provider=False,
            scope=scopes.STATUS,
            aliases=STATES,
            unlisted=frozenset({"verdict", "reason"}),
            idempotent=True,
            listed_result=("service", "call", "note"),  # agents read its text
            listed_depth=0,
        )

    async def run(self, arguments: StatusArguments, context: CallContext) -> ToolReturn[StatusReport]:
        """Report the sections asked for, or one call.

        Raises:
            BadArguments: there is no such call that the caller may see.
            StoreFailed: the database is out of reach.
        """
        if arguments.section == "models":
            return self._listed(arguments.id)
        if arguments.verdict is not None or (arguments.id or "").startswith(FINDING):
            told = await self._verdicts.judge(
                context.caller.subject, arguments.id, arguments.verdict, arguments.reason
            )
            return ToolReturn(StatusReport(note=told))
        if arguments.id is not None:
            return await self._one_call(arguments.id, context.caller)
        report, wants, caller = self._report, arguments.wants, context.caller.subject
        details = StatusDetails(
            service=report.service() if wants("service") else UNSET,
            providers=report.providers() if wants("providers") else UNSET,
            limits=report.limits() if wants("limits") else UNSET,
            jobs=report.jobs_by_state() if wants("jobs") else UNSET,
            duties=report.duty_states() if wants("duties") else UNSET,
            usage=await report.usage_of(caller) if wants("usage") else UNSET,
            names=await report.names_used_by(caller) if arguments.section == "usage" else UNSET,
            errors=await report.failures_of(caller) if wants("errors") else UNSET,
            quality=await self._verdicts.counts(caller) if arguments.section == "quality" else UNSET,
        )
        if arguments.section == "errors" and context.caller.may(scopes.ERRORS):
            details = msgspec.structs.replace(details, groups=await report.open_groups())
        if arguments.section == "calls":
            details = StatusDetails(calls=await report.calls_of(caller))
        elif arguments.section == "conversations":
            details = StatusDetails(conversations=await report.conversations_of(caller))
        elif arguments.section == "doctor":
            details = StatusDetails(doctor=report.complaints() or ("Nothing is wrong as far as EXAI sees.",))
        return ToolReturn(StatusReport.of(details, briefly=arguments.section == "all"), report=details)

    def _listed(self, name: str | None) -> ToolReturn[StatusReport]:
        """List the models: all, those of one provider, or one."""
        listed = self._models.named(name)
        assert isinstance(listed.report, ModelsReport), "a list of models has its report"  # noqa: S101 - its own type
        return ToolReturn(StatusReport(models=listed.result), report=StatusDetails(models=listed.report))

    async def _one_call(self, name: str, caller: Caller) -> ToolReturn[StatusReport]:
        recorded = await self._recorded(name.strip(), caller)
        if recorded is None:
            raise BadArguments(
                f"Argument 'id': no call {name[:80]!r} of yours is in the journal. Give the call_id of an answer's "
                "report or of a failed call, a continuation_id, or 'last'."
            )
        told = CallReport.of(recorded, caller.subject)
        return ToolReturn(StatusReport(call=told), report=StatusDetails(call=recorded.whole))

    async def _recorded(self, name: str, caller: Caller) -> RecordedCall | None:
        """Find a call that `caller` may see: its own, or anybody's with the scope that shows everybody's calls."""
        owner = None if caller.may(scopes.DASHBOARD) else caller.subject
        if name == LATEST:
            return await self._report.latest_call(caller.subject)
        if name.startswith(CONVERSATION):
            return await self._report.last_call_of(name, owner)
        return await self._report.call(name, owner)
