"""What `status` returns: everything for programs, and for agents as much of it as they can use."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Self, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from exai.consulting.results import Report, Result
from exai.error_tracking.console import GroupLine
from exai.storage.calls.use import NamedUse
from exai.storage.workflows.findings import VerdictCount
from exai.tools.call_report import CallReport
from exai.tools.conversations.conversations import ConversationItem
from exai.tools.models import ModelsListed, ModelsReport
from exai.tools.system_report import (
    DutyState,
    EndedCall,
    JobsInState,
    LimitsInUse,
    ModelUsage,
    ProviderState,
    ServiceState,
)

__all__ = ["OpenGroup", "StatusDetails", "StatusReport"]

T = TypeVar("T")

MOST = 16
"""Rows of a section that was asked for."""
FEW = 3
"""Rows of each section where all were."""
MOST_GROUPS = 5
"""Open groups of errors that are shown beside the caller's own failures."""
LONGEST_TITLE = 120
"""Characters of a group's title."""

HERE_ALONE = "Whoever runs EXAI finds the rest by `exai doctor` on its machine."


class StatusDetails(Report, frozen=True, kw_only=True):
    """The sections asked for, or one call with its requests, whole."""

    service: ServiceState | UnsetType = UNSET
    providers: tuple[ProviderState, ...] | UnsetType = UNSET
    limits: LimitsInUse | UnsetType = UNSET
    jobs: tuple[JobsInState, ...] | UnsetType = UNSET
    duties: tuple[DutyState, ...] | UnsetType = UNSET
    usage: tuple[ModelUsage, ...] | UnsetType = UNSET
    names: tuple[NamedUse, ...] | UnsetType = UNSET
    """Under which names the caller called; arguments are names, never values."""
    errors: tuple[EndedCall, ...] | UnsetType = UNSET
    groups: tuple[GroupLine, ...] | UnsetType = UNSET
    """What went wrong here and is open, for callers with the scope `errors`."""
    calls: tuple[EndedCall, ...] | UnsetType = UNSET
    conversations: tuple[ConversationItem, ...] | UnsetType = UNSET
    doctor: tuple[str, ...] | UnsetType = UNSET
    quality: tuple[VerdictCount, ...] | UnsetType = UNSET
    call: dict[str, Any] | UnsetType = UNSET
    models: ModelsReport | UnsetType = UNSET


class OpenGroup(msgspec.Struct, frozen=True, kw_only=True):
    """A group of errors that is open, as far as an agent needs it."""

    group: str
    title: str
    seen: int
    last: str
    fixable_by: str | None

    @classmethod
    def of(cls, line: GroupLine) -> Self:
        """Take what is shown of a group."""
        return cls(
            group=line.group,
            title=line.title[:LONGEST_TITLE],
            seen=line.seen,
            last=line.last_seen.isoformat(timespec="seconds"),
            fixable_by=line.fixable_by,
        )


class StatusReport(Result, frozen=True, kw_only=True):
    """The sections asked for, as far as an agent can use them; or one call."""

    note: str | None = None
    """Present where something was left out."""
    service: ServiceState | UnsetType = UNSET
    providers: tuple[ProviderState, ...] | UnsetType = UNSET
    limits: LimitsInUse | UnsetType = UNSET
    jobs: tuple[JobsInState, ...] | UnsetType = UNSET
    duties: tuple[DutyState, ...] | UnsetType = UNSET
    usage: tuple[ModelUsage, ...] | UnsetType = UNSET
    names: tuple[NamedUse, ...] | UnsetType = UNSET
    errors: tuple[EndedCall, ...] | UnsetType = UNSET
    groups: tuple[OpenGroup, ...] | UnsetType = UNSET
    calls: tuple[EndedCall, ...] | UnsetType = UNSET
    conversations: tuple[ConversationItem, ...] | UnsetType = UNSET
    doctor: tuple[str, ...] | UnsetType = UNSET
    quality: tuple[VerdictCount, ...] | UnsetType = UNSET
    """Findings that reviews showed, by month, kind, models and what became of them."""
    call: CallReport | UnsetType = UNSET
    models: ModelsListed | UnsetType = UNSET

    @classmethod
    def of(cls, details: StatusDetails, *, briefly: bool) -> Self:
        """Choose from `details`; `briefly` what is not as usual, and few rows of each section."""
        cut = _Cut(FEW if briefly else MOST)
        service, providers, limits, duties = (
            details.service,
            details.providers,
            details.limits,
            details.duties,
        )
        if briefly and service is not UNSET:
            service = msgspec.structs.replace(service, python="", mcp_sdk="", mcp_revisions=())
        if limits is not UNSET:
            gates = sorted(limits.gates, key=lambda gate: -gate.in_use)
            shown = [gate for gate in gates if gate.in_use] if briefly else gates
            limits = msgspec.structs.replace(limits, gates=cut.first(shown))
        if duties is not UNSET:
            failing_first = sorted(duties, key=lambda duty: -duty.failed_in_a_row)
            shown_duties = (
                [each for each in failing_first if each.failed_in_a_row] if briefly else failing_first
            )
            duties = cut.first(shown_duties, most=FEW if briefly else 3 * MOST)
        if providers is not UNSET:
            providers = cut.first(sorted(providers, key=_well), most=MOST // 2)
        return cls(
            service=service,
            providers=providers,
            limits=limits,
            jobs=details.jobs,
            duties=duties,
            usage=details.usage if details.usage is UNSET else cut.first(details.usage),
            names=details.names if details.names is UNSET else cut.first(details.names, most=2 * MOST),
            errors=details.errors if details.errors is UNSET else cut.first(details.errors),
            groups=details.groups
            if details.groups is UNSET
            else tuple(map(OpenGroup.of, cut.first(details.groups, most=MOST_GROUPS))),
            calls=details.calls if details.calls is UNSET else cut.first(details.calls),
            conversations=details.conversations,
            doctor=details.doctor,
            quality=details.quality if details.quality is UNSET else cut.first(details.quality),
            note=cut.note,
        )

    def text(self) -> str:
        parts = [f"Note: {self.note}"] if self.note else []
        sections: tuple[tuple[Any, Callable[[Any], str]], ...] = (
            (self.call, lambda call: str(call.text)),
            (self.models, lambda models: str(models.text())),
            (self.service, _service_text),
            (self.providers, lambda found: "\n".join(["Providers:", *map(_provider_text, found)])),
            (self.limits, _limits_text),
            (self.jobs, _jobs_text),
            (self.duties, _duties_text),
            (self.usage, _usage_text),
            (self.names, _names_text),
            (self.errors, partial(_calls_text, "Latest failed calls:", "No failed calls.")),
            (self.groups, _groups_text),
            (self.calls, partial(_calls_text, "Latest calls:", "You have made no calls.")),
            (self.conversations, _conversations_text),
            (self.quality, _quality_text),
            (self.doctor, lambda complaints: "\n".join([*complaints, HERE_ALONE])),
        )
        parts += [rendered(section) for section, rendered in sections if section is not UNSET]
        return "\n\n".join(parts)


class _Cut:
    """Takes the first rows of each section, and counts the others."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._left_out = 0

    def first(self, rows: Sequence[T], *, most: int | None = None) -> tuple[T, ...]:
        most = most or self._most
        self._left_out += max(0, len(rows) - most)
        return tuple(rows[:most])

    @property
    def note(self) -> str | None:
        """Say that rows were left out."""
        return (
            f"{self._left_out} rows are left out; a section by itself has more." if self._left_out else None
        )


def _well(provider: ProviderState) -> bool:
    return not provider.last_error and not provider.open_breakers


def _service_text(service: ServiceState) -> str:
    demo = " (demo: answers come from the built-in emulator)" if service.demo else ""
    line = f"EXAI {service.version}{demo}, up {service.uptime_s:.0f} s, event loop {service.loop_lag_ms:g} ms late"
    if not service.python:
        return line
    revisions = ", ".join(service.mcp_revisions)
    return f"{line}; Python {service.python}, MCP SDK {service.mcp_sdk}, revisions {revisions}"


def _provider_text(provider: ProviderState) -> str:
    state = "ready" if provider.configured else "no key set"
    if provider.last_error:
        state = f"last request failed: {provider.last_error}"
    line = (
        f"- {provider.name}: {state}; {provider.models} models; "
        f"{provider.recent_failures} of {provider.recent_requests} recent requests failed"
    )
    if provider.token_estimate_error is not None:
        line += f"; token estimates {provider.token_estimate_error:.0%} off"
    spared = [
        f"  - {breaker.model} is not asked for now ({breaker.cause}), again in {breaker.retry_after_s:g} s"
        for breaker in provider.open_breakers
    ]
    return "\n".join([line, *spared])


def _limits_text(limits: LimitsInUse) -> str:
    lines = ["Limits (in use / limit):"]
    lines += [f"- {gate.name}: {gate.in_use} / {gate.limit}" for gate in limits.gates]
    lines.append(f"- queue: {limits.waiting} / {limits.max_queue}")
    return "\n".join(lines)


def _jobs_text(jobs: tuple[JobsInState, ...]) -> str:
    if not jobs:
        return "No jobs."
    return "\n".join(["Jobs:", *(f"- {each.kind}: {each.jobs} {each.state}" for each in jobs)])


def _duties_text(duties: tuple[DutyState, ...]) -> str:
    well = [each.name for each in duties if not each.failed_in_a_row]
    failing = [
        f"- {each.name}: {each.error}, {each.failed_in_a_row} times in a row"
        for each in duties
        if each.failed_in_a_row
    ]
    lines = ["Background duties that fail:", *failing] if failing else ["No background duty fails."]
    if well:
        lines.append(f"Well: {', '.join(well)}")
    return "\n".join(lines)


def _usage_text(usage: tuple[ModelUsage, ...]) -> str:
    if not usage:
        return "You made no calls within 24 hours."
    return "\n".join(["Your calls of the last 24 hours:", *(_used_text(each) for each in usage)])


def _used_text(used: ModelUsage) -> str:
    unknown = f" and {used.without_price} of unknown price" if used.without_price else ""
    emulated = ", emulated: nothing was charged" if used.emulated else ""
    return (
        f"- {used.model or 'no model chosen'}: {used.calls} ({used.unanswered} unanswered), "
        f"{used.input_tokens} tokens in, {used.output_tokens} out, {used.cost_usd:.4f} USD{unknown}{emulated}"
    )


def _names_text(names: tuple[NamedUse, ...]) -> str:
    if not names:
        return "No names were counted yet today."
    lines = ["By name (calls, failures of them):"]
    lines += [
        f"- {each.tool}, {each.kind.value} {each.name}: {each.calls}, {each.failures}" for each in names
    ]
    return "\n".join(lines)


def _conversations_text(found: tuple[ConversationItem, ...]) -> str:
    if not found:
        return "You have no conversations."
    return "\n".join(["Conversations, the latest used first:", *(each.line for each in found)])


def _calls_text(heading: str, nothing: str, calls: tuple[EndedCall, ...]) -> str:
    if not calls:
        return nothing
    lines = [
        f"- {each.at} {' '.join(filter(None, (each.tool, each.model)))}: "
        f"{' '.join(filter(None, (each.outcome, each.error)))} ({each.call_id})"
        for each in calls
    ]
    return "\n".join([heading, *lines])


def _groups_text(groups: tuple[OpenGroup, ...]) -> str:
    lines = [
        f"- {each.group} {each.title}: seen {each.seen}, last {each.last}, "
        f"fixable by {each.fixable_by or 'nobody known'}"
        for each in groups
    ]
    return "\n".join(["Open groups of errors:", *(lines or ["- none"])])


def _quality_text(counts: Sequence[VerdictCount]) -> str:
    rows = [
        f"- {each.month}, {each.kind}, by {each.models}: {each.findings} {_verdict(each)}" for each in counts
    ]
    return "\n".join(["Findings of reviews:", *(rows or ["- none so far"])])


def _verdict(count: VerdictCount) -> str:
    return "without a verdict" if count.verdict == "none" else count.verdict
