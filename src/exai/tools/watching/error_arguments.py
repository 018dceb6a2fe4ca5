"""What the tools of errors and observations take."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Literal

import msgspec

from exai.error_tracking.console import Sort
from exai.error_tracking.deciding import Days, DecisionKind, Fingerprint, Note, OneOrMore, Others, Release
from exai.error_tracking.ingestion.native import ReportedException
from exai.storage.auditor.observations import ObservationState, Verdict
from exai.storage.error_tracking.rows import State
from exai.tools.base import Arguments

__all__ = [
    "ARGUMENTS",
    "Action",
    "DecideError",
    "ErrorsArguments",
    "InvestigateError",
    "JudgeObservation",
    "ListErrors",
    "ListObservations",
    "ReportError",
    "ShowError",
]

Group = Annotated[str, msgspec.Meta(max_length=20, description="As E-17")]
Most = Annotated[int, msgspec.Meta(ge=1, le=200)]
Observation = Annotated[str, msgspec.Meta(max_length=60)]
Text = Annotated[str, msgspec.Meta(max_length=100_000)]
Short = Annotated[str, msgspec.Meta(max_length=200)]


class ListErrors(Arguments, frozen=True):
    state: State | Literal["all"] = "open"
    matching: Annotated[str, msgspec.Meta(max_length=200, description="Part of title, place or code")] = ""
    reporter: (
        Annotated[str, msgspec.Meta(max_length=200, description="A program; `exai`: EXAI itself")] | None
    ) = None
    sort: Sort = "last"
    most: Most = 20
    cursor: Annotated[str, msgspec.Meta(max_length=100)] | None = None


class ShowError(Arguments, frozen=True):
    group: Group


class ReportError(Arguments, frozen=True):
    message: Text = ""
    exceptions: Annotated[tuple[ReportedException, ...], msgspec.Meta(max_length=5)] = ()
    """Each cause before its effect."""
    logger: Short = ""
    release: Short = ""
    event_id: Annotated[
        str,
        msgspec.Meta(max_length=64, pattern="^[0-9a-zA-Z_-]*$", description="A repeat is counted once"),
    ] = ""
    tags: Annotated[dict[Short, Short], msgspec.Meta(max_length=50)] = msgspec.field(default_factory=dict)


class DecideError(Arguments, frozen=True):
    group: Group
    decision: DecisionKind
    version: Annotated[OneOrMore, msgspec.Meta(description="That you looked at")] | None = None
    note: Note = ""
    release: Annotated[Release, msgspec.Meta(description="Resolved in it, or in the `next`")] | None = None
    days: Annotated[Days, msgspec.Meta(description="Archived until then")] | None = None
    more: Annotated[OneOrMore, msgspec.Meta(description="Archived until so many more")] | None = None
    hourly: Annotated[OneOrMore, msgspec.Meta(description="Archived until so many an hour")] | None = None
    groups: Annotated[Others, msgspec.Meta(description="To merge into it")] = msgspec.field(
        default_factory=list
    )
    fingerprint: Annotated[Fingerprint, msgspec.Meta(description="To split off")] = ""


class InvestigateError(Arguments, frozen=True):
    group: Group


class ListObservations(Arguments, frozen=True):
    state: ObservationState | None = None
    most: Most = 20


class JudgeObservation(Arguments, frozen=True):
    id: Observation
    verdict: Verdict | None = None
    acknowledge: bool = False


Action = Literal["list", "show", "report", "investigate", "decide", "observations", "judge"]

ARGUMENTS: Mapping[Action, type[Arguments]] = MappingProxyType(
    {
        "list": ListErrors,
        "show": ShowError,
        "report": ReportError,
        "investigate": InvestigateError,
        "decide": DecideError,
        "observations": ListObservations,
        "judge": JudgeObservation,
    }
)
"""What each action of the tool `errors` takes."""


class ErrorsArguments(Arguments, frozen=True):
    action: Action = "list"
    state: State | Literal["all", "acknowledged", "gone"] | None = None
    matching: Annotated[str, msgspec.Meta(max_length=200)] | None = None
    reporter: Short | None = None
    sort: Sort | None = None
    most: Most | None = None
    cursor: Annotated[str, msgspec.Meta(max_length=100)] | None = None
    group: Group | None = None
    message: Text | None = None
    exceptions: Annotated[tuple[ReportedException, ...], msgspec.Meta(max_length=5)] | None = None
    logger: Short | None = None
    release: Short | None = None
    event_id: Annotated[str, msgspec.Meta(max_length=64)] | None = None
    tags: Annotated[dict[Short, Short], msgspec.Meta(max_length=50)] | None = None
    investigate: bool | None = None
    """Whether models may be asked; `action` `investigate` needs it."""
    decision: DecisionKind | None = None
    version: OneOrMore | None = None
    note: Note | None = None
    days: Days | None = None
    more: OneOrMore | None = None
    hourly: OneOrMore | None = None
    groups: Others | None = None
    fingerprint: Fingerprint | None = None
    id: Observation | None = None
    verdict: Verdict | None = None
    acknowledge: bool | None = None
