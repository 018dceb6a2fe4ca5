"""`status`: what runs here, how it is doing, and what went wrong lately."""

import platform
from collections.abc import Awaitable, Callable, Sequence
from importlib.metadata import version
from typing import Annotated, Any, Literal, Protocol

import msgspec

from exai.auth import scopes
from exai.consulting.context import CallContext
from exai.conversations.token_counts import TokenCounts
from exai.jobs.job import Counts as JobCounts
from exai.monitoring.loop_lag import LoopLag
from exai.monitoring.provider_health import ProviderHealth
from exai.providers.base import Provider
from exai.routing.breaker import Breakers, State
from exai.routing.router import ModelRouter
from exai.runtime.clock import Clock
from exai.runtime.version import __version__
from exai.storage.calls.journal import CallFailure
from exai.storage.calls.usage import Usage
from exai.tools.base import Arguments, JsonObject, Tool, ToolAnswer

__all__ = ["OwnUsage", "RecentFailures", "Status", "StatusArguments"]

RECENT = 10
USAGE_DAYS = 1.0
Section = Literal["all", "service", "providers", "limits", "jobs", "usage", "errors"]


class StatusArguments(Arguments, frozen=True):
    section: Annotated[Section, msgspec.Meta(description="Only this part")] = "all"


class RecentFailures(Protocol):
    """The journal's view of what failed lately for one owner, newest first."""

    async def __call__(self, *, owner: str, limit: int) -> Sequence[CallFailure]: ...


class OwnUsage(Protocol):
    """What one caller used, by model, the most expensive first."""

    async def __call__(self, *, days: float, caller: str | None) -> Sequence[Usage]: ...


class Status:
    """Answers however busy the house is: it takes no permit and asks no provider."""

    def __init__(  # noqa: PLR0913 - it tells of everything there is
        self,
        *,
        clock: Clock,
        router: ModelRouter,
        health: ProviderHealth,
        breakers: Breakers,
        counts: TokenCounts,
        loop_lag: LoopLag,
        limits: Callable[[], JsonObject],
        jobs: Callable[[], JobCounts],
        recent_failures: RecentFailures,
        own_usage: OwnUsage,
        demo: bool,
    ) -> None:
        self._clock = clock
        self._began = clock.monotonic()
        self._router = router
        self._health = health
        self._breakers = breakers
        self._counts = counts
        self._loop_lag = loop_lag
        self._limits = limits
        self._jobs = jobs
        self._recent_failures = recent_failures
        self._own_usage = own_usage
        self._demo = demo
        self._sections: dict[str, Callable[[CallContext], Awaitable[Any]]] = {
            "service": self._service,
            "providers": self._providers,
            "limits": self._limits_now,
            "jobs": self._jobs_now,
            "usage": self._usage,
            "errors": self._errors,
        }

    def tool(self) -> Tool[StatusArguments]:
        """The catalogue's entry."""
        return Tool(
            name="status",
            title="Server status",
            description="Versions, uptime, provider health, limits in use, your usage and recent failed calls.",
            arguments=StatusArguments,
            run=self.run,
            output_schema={
                "type": "object",
                "properties": {
                    "service": {"type": "object"},
                    "providers": {"type": "array", "items": {"type": "object"}},
                    "limits": {"type": "object"},
                    "jobs": {"type": "array", "items": {"type": "object"}},
                    "usage": {"type": "array", "items": {"type": "object"}},
                    "errors": {"type": "array", "items": {"type": "object"}},
                },
            },
            asks_provider=False,
            scope=scopes.STATUS,
            aliases=("version",),
            idempotent=True,
        )

    async def run(self, arguments: StatusArguments, context: CallContext) -> ToolAnswer:
        """The sections asked for."""
        wanted = list(self._sections) if arguments.section == "all" else [arguments.section]
        structured: JsonObject = {name: await self._sections[name](context) for name in wanted}
        return ToolAnswer(
            text="\n\n".join(_TEXTS[name](structured[name]) for name in wanted), structured=structured
        )

    async def _service(self, _context: CallContext) -> JsonObject:
        return {
            "name": "exai",
            "version": __version__,
            "demo": self._demo,
            "uptime_s": round(self._clock.monotonic() - self._began, 1),
            "loop_lag_ms": round(self._loop_lag.last_s * 1000, 2),
            "python": platform.python_version(),
            "mcp_sdk": version("mcp"),
            "mcp_revisions": ["2025-11-25", "2026-07-28"],
        }

    async def _providers(self, _context: CallContext) -> list[JsonObject]:
        return [self._provider(name) for name in self._router.providers]

    def _provider(self, name: str) -> JsonObject:
        provider = self._router.providers[name]
        seen = [health for model in provider.models if (health := self._health.of(name, model)) is not None]
        latest = min(seen, key=lambda health: health.seconds_since_last, default=None)
        return {
            "name": name,
            "configured": provider.configured,
            "models": len(provider.models),
            "recent_requests": sum(health.requests for health in seen),
            "recent_failures": sum(health.failed for health in seen),
            "last_error": latest.last_error if latest else None,
            "token_estimate_error": self._estimate_error(provider),
            "open_breakers": [
                {
                    "model": breaker.model,
                    "state": breaker.state.value,
                    "cause": breaker.cause,
                    "retry_after_s": round(breaker.retry_after_s, 1),
                }
                for breaker in self._breakers
                if breaker.provider == name and breaker.state is not State.CLOSED
            ],
        }

    def _estimate_error(self, provider: Provider) -> float | None:
        """The mean relative error of our latest token estimates for its models."""
        known = [found for model in provider.models if (found := self._counts.of(model)) is not None]
        weight = sum(each.weight for each in known)
        return round(sum(each.error for each in known) / weight, 4) if weight else None

    async def _limits_now(self, _context: CallContext) -> JsonObject:
        return self._limits()

    async def _jobs_now(self, _context: CallContext) -> list[JsonObject]:
        return [
            {"kind": kind, "state": state.value, "jobs": count}
            for (kind, state), count in sorted(self._jobs().items())
        ]

    async def _usage(self, context: CallContext) -> list[JsonObject]:
        used = await self._own_usage(days=USAGE_DAYS, caller=context.caller.subject)
        return [
            {
                "provider": each.provider,
                "model": each.model,
                "calls": each.calls,
                "unanswered": each.unanswered,
                "input_tokens": each.input_tokens,
                "output_tokens": each.output_tokens,
                "cost_usd": round(each.cost_usd, 9),
                "without_price": each.without_price,
            }
            for each in used
        ]

    async def _errors(self, context: CallContext) -> list[JsonObject]:
        failures = await self._recent_failures(owner=context.caller.subject, limit=RECENT)
        return [
            {
                "at": failure.began_at.isoformat(timespec="seconds"),
                "call_id": failure.call_id,
                "tool": failure.tool,
                "model": failure.model_used or failure.model_requested,
                "outcome": failure.outcome,
                "error": failure.error_code,
            }
            for failure in failures
        ]


def _service_text(service: JsonObject) -> str:
    demo = " (demo: answers come from the built-in emulator)" if service["demo"] else ""
    return (
        f"EXAI {service['version']}{demo}, up {service['uptime_s']:.0f} s, "
        f"event loop {service['loop_lag_ms']:g} ms late; Python {service['python']}, "
        f"MCP SDK {service['mcp_sdk']}, revisions {', '.join(service['mcp_revisions'])}"
    )


def _providers_text(providers: list[JsonObject]) -> str:
    lines = ["Providers:"]
    for each in providers:
        state = "ready" if each["configured"] else "no key set"
        if each["last_error"]:
            state = f"last request failed: {each['last_error']}"
        line = (
            f"- {each['name']}: {state}; {each['models']} models; "
            f"{each['recent_failures']} of {each['recent_requests']} recent requests failed"
        )
        if (error := each["token_estimate_error"]) is not None:
            line += f"; token estimates {error:.0%} off"
        lines.append(line)
        lines += [
            f"  - {breaker['model']} is not asked for now ({breaker['cause']}), again in "
            f"{breaker['retry_after_s']:g} s"
            for breaker in each["open_breakers"]
        ]
    return "\n".join(lines)


def _limits_text(limits: JsonObject) -> str:
    lines = ["Limits (in use / limit):"]
    lines += [f"- {gate['name']}: {gate['in_use']} / {gate['limit']}" for gate in limits["gates"]]
    lines.append(f"- queue: {limits['waiting']} / {limits['max_queue']}")
    return "\n".join(lines)


def _jobs_text(jobs: list[JsonObject]) -> str:
    if not jobs:
        return "No jobs."
    return "\n".join(["Jobs:", *(f"- {each['kind']}: {each['jobs']} {each['state']}" for each in jobs)])


def _usage_text(usage: list[JsonObject]) -> str:
    if not usage:
        return "You made no calls within 24 hours."
    lines = ["Your calls of the last 24 hours:"]
    lines += [
        f"- {each['model'] or 'no model chosen'}: {each['calls']} ({each['unanswered']} unanswered), "
        f"{each['input_tokens']} tokens in, {each['output_tokens']} out, {each['cost_usd']:.4f} USD"
        + (f" and {each['without_price']} of unknown price" if each["without_price"] else "")
        for each in usage
    ]
    return "\n".join(lines)


def _errors_text(errors: list[JsonObject]) -> str:
    if not errors:
        return "No failed calls."
    lines = ["Latest failed calls:"]
    lines += [
        f"- {each['at']} {each['tool']} {each['model'] or ''}: {each['outcome']} {each['error'] or ''} "
        f"({each['call_id']})"
        for each in errors
    ]
    return "\n".join(lines)


_TEXTS: dict[str, Callable[[Any], str]] = {
    "service": _service_text,
    "providers": _providers_text,
    "limits": _limits_text,
    "jobs": _jobs_text,
    "usage": _usage_text,
    "errors": _errors_text,
}
