"""Metrics of tool calls: how many, how they ended, where their time went, and what they used."""

from exai.events.bus import EventBus
from exai.events.events import CallEnded, CallRecalled, CallRefused, CallStarted, TaskBegun, TaskEnded
from exai.events.requests import RequestRecord
from exai.monitoring.caller_labels import CallerLabels
from exai.monitoring.metrics import Metrics

__all__ = ["CallMetrics", "EmulatedUsageMetrics", "TaskMetrics", "UsageMetrics"]

SECONDS = (0.001, 0.005, 0.02, 0.1, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 900)
STAGE_SECONDS = (0.0001, 0.0005, 0.001, 0.005, 0.02, 0.1, 0.5, 1, 5, 30, 120)
TOKEN_KINDS = ("input", "cached", "cache_write", "output", "reasoning")


class CallMetrics:
    """Counts calls and their time."""

    def __init__(self, metrics: Metrics) -> None:
        self._running = metrics.gauge("calls_running", "Tool calls running now.")[()]
        self._ended = metrics.counter("calls", "Tool calls that ended.", "tool", "outcome", "error")
        self._refused = metrics.counter(
            "calls_refused", "Tool calls turned away before any work.", "tool", "error"
        )
        self._recalled = metrics.counter(
            "idempotent_calls_recalled", "Calls that came under an idempotency key that was in use.", "how"
        )
        self._latency = metrics.histogram(
            "call_seconds", "Whole tool calls.", "tool", "door", buckets=SECONDS
        )
        self._stages = metrics.histogram(
            "call_stage_seconds", "Stages of calls that ask a provider.", "stage", buckets=STAGE_SECONDS
        )

    def watch(self, bus: EventBus) -> None:
        """Count from now on."""
        bus.watch(lambda _: self._running.inc(), CallStarted)
        bus.watch(self._call_ended, CallEnded)
        bus.watch(lambda event: self._refused[event.tool, event.error_code].inc(), CallRefused)
        bus.watch(lambda event: self._recalled[event.how,].inc(), CallRecalled)

    def _call_ended(self, event: CallEnded) -> None:
        self._running.dec()
        self._ended[event.tool, event.outcome, event.error_code or ""].value += 1
        timings = event.timings
        self._latency[event.tool, event.caller.door].observe(timings["latency_ms"] / 1000)
        if event.provider is None or event.model is None:
            return
        for stage, milliseconds in timings.items():
            if milliseconds and stage != "latency_ms":
                self._stages[(stage.removesuffix("_ms"),)].observe(milliseconds / 1000)


class TaskMetrics:
    """Counts calls that became tasks of MCP."""

    def __init__(self, metrics: Metrics) -> None:
        self._running = metrics.gauge("mcp_tasks_running", "Calls under way that are tasks of MCP.")[()]
        self._begun = metrics.counter(
            "mcp_tasks_begun", "Calls that became tasks, and tasks that went on here.", "tool", "how"
        )
        self._ended = metrics.counter("mcp_tasks_ended", "Tasks that ended, or were left.", "tool", "status")

    def watch(self, bus: EventBus) -> None:
        """Count from now on."""
        bus.watch(self._task_begun, TaskBegun)
        bus.watch(self._task_ended, TaskEnded)

    def _task_begun(self, event: TaskBegun) -> None:
        self._running.inc()
        self._begun[event.tool, "resumed" if event.resumed else "new"].value += 1

    def _task_ended(self, event: TaskEnded) -> None:
        self._running.dec()
        self._ended[event.tool, event.status].value += 1


class UsageMetrics:
    """Counts tokens and cost, by model and by caller; what a demonstration's emulator answered is not among them."""

    def __init__(self, metrics: Metrics) -> None:
        self._tokens = metrics.counter(
            "tokens", "Tokens as the providers count them.", "provider", "model", "kind"
        )
        self._cost = metrics.counter(
            "cost_usd", "Cost by the catalogue's prices, in US dollars.", "provider", "model"
        )
        self._without_price = metrics.counter(
            "requests_without_price",
            "Requests of which a part has no known price, so that the sum lacks it.",
            "provider",
            "model",
        )
        self._unreported = metrics.counter(
            "requests_unreported",
            "Requests sent that a provider may charge for without having told their usage, retries included.",
            "provider",
            "model",
        )
        self._callers = CallerLabels()
        self._caller_calls = metrics.counter(
            "caller_calls", "Tool calls that ended, by caller.", "caller", "outcome"
        )
        self._caller_tokens = metrics.counter(
            "caller_tokens", "Tokens as the providers count them, by caller.", "caller", "kind"
        )
        self._caller_cost = metrics.counter(
            "caller_cost_usd", "Cost by the catalogue's prices, in US dollars, by caller.", "caller"
        )

    def watch(self, bus: EventBus) -> None:
        """Count from now on."""
        bus.watch(self._call_ended, CallEnded)

    def _call_ended(self, event: CallEnded) -> None:
        caller = self._callers.of(event.caller.subject)
        self._caller_calls[caller, event.outcome].value += 1
        for request in event.requests:
            if not request.emulated:
                self._count(request, caller)

    def _count(self, request: RequestRecord, caller: str) -> None:
        provider, model = request.provider, request.model
        if request.usage is not None:
            for kind in TOKEN_KINDS:
                if count := getattr(request.usage, kind):
                    self._tokens[provider, model, kind].value += count
                    self._caller_tokens[caller, kind].value += count
        if request.unreported:
            self._unreported[provider, model].value += request.unreported
        if request.without_price:
            self._without_price[provider, model].value += 1
        if request.cost_usd:
            self._cost[provider, model].value += request.cost_usd
            self._caller_cost[caller,].value += request.cost_usd


class EmulatedUsageMetrics:
    """Counts tokens and cost of what a demonstration's emulator answered, by model."""

    def __init__(self, metrics: Metrics) -> None:
        self._tokens = metrics.counter(
            "emulated_tokens",
            "Tokens of a demonstration, which are in no other sum.",
            "provider",
            "model",
            "kind",
        )
        self._cost = metrics.counter(
            "emulated_cost_usd",
            "What a demonstration would have cost, in US dollars; nothing was charged.",
            "provider",
            "model",
        )

    def watch(self, bus: EventBus) -> None:
        """Count from now on."""
        bus.watch(self._call_ended, CallEnded)

    def _call_ended(self, event: CallEnded) -> None:
        for request in event.requests:
            if request.emulated:
                self._count(request)

    def _count(self, request: RequestRecord) -> None:
        provider, model = request.provider, request.model
        for kind in TOKEN_KINDS:
            if count := getattr(request.usage, kind, None):
                self._tokens[provider, model, kind].value += count
        if request.cost_usd:
            self._cost[provider, model].value += request.cost_usd
