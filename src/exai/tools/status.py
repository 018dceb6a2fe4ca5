"""`status`: what runs here, how it is doing, and what went wrong lately."""

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, UnsetType

from exai.auth import scopes
from exai.consulting.context import CallContext
from exai.consulting.results import Result, ToolReturn
from exai.tools.aliases import Alias
from exai.tools.base import Arguments, Tool
from exai.tools.system_report import (
    DutyState,
    FailedCall,
    JobsInState,
    LimitsInUse,
    ModelUsage,
    ProviderState,
    ServiceState,
    SystemReport,
)

__all__ = ["Status", "StatusArguments", "StatusReport"]

Section = Literal["all", "service", "providers", "limits", "jobs", "duties", "usage", "errors"]


class StatusArguments(Arguments, frozen=True):
    section: Annotated[Section, msgspec.Meta(description="Only this part")] = "all"

    def wants(self, section: Section) -> bool:
        """Whether a section is asked for."""
        return self.section in {"all", section}


class StatusReport(Result, frozen=True):
    """The sections asked for."""

    service: ServiceState | UnsetType = UNSET
    providers: tuple[ProviderState, ...] | UnsetType = UNSET
    limits: LimitsInUse | UnsetType = UNSET
    jobs: tuple[JobsInState, ...] | UnsetType = UNSET
    duties: tuple[DutyState, ...] | UnsetType = UNSET
    usage: tuple[ModelUsage, ...] | UnsetType = UNSET
    errors: tuple[FailedCall, ...] | UnsetType = UNSET

    def text(self) -> str:
        parts = []
        if self.service is not UNSET:
            parts.append(_service_text(self.service))
        if self.providers is not UNSET:
            parts.append("\n".join(["Providers:", *(_provider_text(each) for each in self.providers)]))
        if self.limits is not UNSET:
            parts.append(_limits_text(self.limits))
        if self.jobs is not UNSET:
            parts.append(_jobs_text(self.jobs))
        if self.duties is not UNSET:
            parts.append(_duties_text(self.duties))
        if self.usage is not UNSET:
            parts.append(_usage_text(self.usage))
        if self.errors is not UNSET:
            parts.append(_errors_text(self.errors))
        return "\n\n".join(parts)


class Status:
    """Answers however busy the daemon is: it takes no permit and asks no provider."""

    def __init__(self, report: SystemReport) -> None:
        self._report = report

    def tool(self) -> Tool[StatusArguments, StatusReport]:
        """The catalogue's entry."""
        return Tool(
            name="status",
            title="Server status",
            description="Versions, uptime, provider health, limits in use, your usage and recent failed calls.",
            arguments=StatusArguments,
            result=StatusReport,
            run=self.run,
            asks_provider=False,
            scope=scopes.STATUS,
            aliases=(Alias("version"),),
            idempotent=True,
        )

    async def run(self, arguments: StatusArguments, context: CallContext) -> ToolReturn[StatusReport]:
        """Report the sections asked for."""
        report, wants, caller = self._report, arguments.wants, context.caller.subject
        result = StatusReport(
            service=report.service() if wants("service") else UNSET,
            providers=report.providers() if wants("providers") else UNSET,
            limits=report.limits() if wants("limits") else UNSET,
            jobs=report.jobs_by_state() if wants("jobs") else UNSET,
            duties=report.duty_states() if wants("duties") else UNSET,
            usage=await report.usage_of(caller) if wants("usage") else UNSET,
            errors=await report.failures_of(caller) if wants("errors") else UNSET,
        )
        return ToolReturn(result)


def _service_text(service: ServiceState) -> str:
    demo = " (demo: answers come from the built-in emulator)" if service.demo else ""
    return (
        f"EXAI {service.version}{demo}, up {service.uptime_s:.0f} s, "
        f"event loop {service.loop_lag_ms:g} ms late; Python {service.python}, "
        f"MCP SDK {service.mcp_sdk}, revisions {', '.join(service.mcp_revisions)}"
    )


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
    failing = [each for each in duties if each.failed_in_a_row]
    if not failing:
        return f"Background duties: {len(duties)}, all well."
    lines = [f"Background duties: {len(duties)}, failing:"]
    lines += [f"- {each.name}: {each.error}, {each.failed_in_a_row} times in a row" for each in failing]
    return "\n".join(lines)


def _usage_text(usage: tuple[ModelUsage, ...]) -> str:
    if not usage:
        return "You made no calls within 24 hours."
    return "\n".join(["Your calls of the last 24 hours:", *(_used_text(each) for each in usage)])


def _used_text(used: ModelUsage) -> str:
    unknown = f" and {used.without_price} of unknown price" if used.without_price else ""
    return (
        f"- {used.model or 'no model chosen'}: {used.calls} ({used.unanswered} unanswered), "
        f"{used.input_tokens} tokens in, {used.output_tokens} out, {used.cost_usd:.4f} USD{unknown}"
    )


def _errors_text(errors: tuple[FailedCall, ...]) -> str:
    if not errors:
        return "No failed calls."
    lines = ["Latest failed calls:"]
    lines += [
        f"- {each.at} {each.tool} {each.model or ''}: {each.outcome} {each.error or ''} ({each.call_id})"
        for each in errors
    ]
    return "\n".join(lines)
