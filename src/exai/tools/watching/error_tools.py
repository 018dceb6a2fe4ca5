"""The tools of errors and observations: of a port of their own, and all of them as the one tool `errors`.

`errors` is in no list. Its `action` says which of them is meant; the other arguments are that one's.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

import msgspec

from exai.auth import scopes
from exai.consulting.context import CallContext
from exai.consulting.results import ToolReturn
from exai.errors import BadArguments
from exai.tools.base import Tool
from exai.tools.watching.error_answers import ErrorsAnswer
from exai.tools.watching.error_arguments import (
    ARGUMENTS,
    Action,
    DecideError,
    ErrorsArguments,
    InvestigateError,
    JudgeObservation,
    ListErrors,
    ListObservations,
    ReportError,
    ShowError,
)
from exai.tools.watching.error_handlers import ErrorHandlers

__all__ = ["ErrorsTool", "error_tools"]

LISTS = "Groups of errors of EXAI and of programs that report here."
SHOWS = "A group: what it is, whose it is, what to do, its latest occurrence and history."
REPORTS = "Reports an error that you met; answers with its group."
INVESTIGATES = "Has models look for the cause of a group, within a budget; answers with their report."
DECIDES = "Resolves, archives, reopens, merges or splits a group."
OBSERVATIONS = "What the auditor observed of how EXAI behaves."
INVESTIGATION_S = 300.0
"""A round ends within two minutes, and one may wait for another."""
JUDGES = "Acknowledges an observation, or judges whether it is useful or noise."


def error_tools(handlers: ErrorHandlers) -> Iterator[Tool[Any, Any]]:
    """List the tools of the port of errors."""
    for name, description, arguments, run, fields in (
        ("errors_list", LISTS, ListErrors, handlers.list_groups, ("groups", "cursor")),
        (
            "errors_show",
            SHOWS,
            ShowError,
            handlers.show,
            ("group", "report", "history", "latest", "provenance"),
        ),
        ("errors_report", REPORTS, ReportError, handlers.report, ("group", "counted", "repeated")),
        ("errors_investigate", INVESTIGATES, InvestigateError, handlers.investigate, ("investigation",)),
        ("errors_decide", DECIDES, DecideError, handlers.decide, ("group",)),
        ("observations", OBSERVATIONS, ListObservations, handlers.list_observations, ("observations",)),
        ("observation_decide", JUDGES, JudgeObservation, handlers.judge, ("observations",)),
    ):
        investigates = name == "errors_investigate"
        operates = investigates or name.endswith("_decide")
        yield Tool(
            name=name,
            title=name.replace("_", " ").capitalize(),
            description=description,
            arguments=arguments,
            result=ErrorsAnswer,
            run=run,
            asks_provider=False,
            scope=scopes.OPERATE if operates else scopes.ERRORS,
            deadline_s=INVESTIGATION_S if investigates else None,
            reports_progress=investigates,
            read_only=not operates and name != "errors_report",
            listed_result=fields,
            listed_depth=0,
        )


class ErrorsTool:
    """All of them as one, for a port that has other tools."""

    def __init__(self, handlers: ErrorHandlers) -> None:
        self._runs: Mapping[Action, Callable[[Any, CallContext], Awaitable[ToolReturn[ErrorsAnswer]]]] = {
            "list": handlers.list_groups,
            "show": handlers.show,
            "report": handlers.report,
            "investigate": handlers.investigate,
            "decide": handlers.decide,
            "observations": handlers.list_observations,
            "judge": handlers.judge,
        }

    def tool(self) -> Tool[ErrorsArguments, ErrorsAnswer]:
        """The catalogue's entry."""
        return Tool(
            name="errors",
            title="Errors",
            description="Errors of EXAI and of programs that report to it: listed, shown, reported, decided on.",
            arguments=ErrorsArguments,
            result=ErrorsAnswer,
            run=self.run,
            asks_provider=False,
            scope=scopes.ERRORS,
            deadline_s=INVESTIGATION_S,
            reports_progress=True,
            argument_scopes={
                "investigate": scopes.OPERATE,
                "decision": scopes.OPERATE,
                "verdict": scopes.OPERATE,
                "acknowledge": scopes.OPERATE,
            },
            read_only=False,
            is_listed=False,
        )

    async def run(self, arguments: ErrorsArguments, context: CallContext) -> ToolReturn[ErrorsAnswer]:
        """Do what `action` says.

        Raises:
            BadArguments: it does not take one of the arguments, or needs another.
            ToolFault: as that action does.
        """
        given = msgspec.to_builtins(arguments)
        action: Action = given.pop("action")
        may_ask = given.pop("investigate")
        if action == "investigate" and not may_ask:
            raise BadArguments("Action investigate asks models: say so by `investigate` true.")
        wanted = {name: value for name, value in given.items() if value is not None}
        try:
            typed = msgspec.convert(wanted, ARGUMENTS[action])
        except msgspec.ValidationError as error:
            takes = ", ".join(ARGUMENTS[action].__struct_encode_fields__)
            raise BadArguments(f"With action {action}: {error}. It takes: {takes}.") from None
        return await self._runs[action](typed, context)
