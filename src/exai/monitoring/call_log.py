"""A log line for each call that ended: who called what, how it went, what it took. No text of it, and no key."""

import structlog

from exai.events.bus import EventBus
from exai.events.events import CallEnded, CallRefused

__all__ = ["log_calls"]

_log = structlog.get_logger(__name__)


def log_calls(bus: EventBus) -> None:
    """Log from now on, at `info`, the calls that asked a provider or failed; at `debug` the others."""
    bus.watch(_log_ended, CallEnded)
    bus.watch(_log_refused, CallRefused)


def _log_ended(event: CallEnded) -> None:
    level = _log.info if event.requests or event.outcome != "ok" else _log.debug
    used = [request.usage for request in event.requests if request.usage is not None]
    charged = [request for request in event.requests if not request.emulated]
    costs = [request.cost_usd for request in charged if request.cost_usd is not None]
    level(
        "call ended",
        call_id=event.call_id,
        tool=event.tool,
        caller=event.caller.subject,
        door=event.caller.door,
        outcome=event.outcome,
        code=event.error_code,
        provider=event.provider,
        model=event.model,
        milliseconds=round(event.timings.get("latency_ms", 0.0)),
        requests=len(event.requests),
        input=sum(usage.input or 0 for usage in used),
        output=sum(usage.output or 0 for usage in used),
        usd=round(sum(costs), 6) if costs else None,
        emulated=len(charged) < len(event.requests),
    )


def _log_refused(event: CallRefused) -> None:
    _log.info(
        "call refused",
        tool=event.tool,
        caller=event.caller.subject,
        door=event.caller.door,
        code=event.error_code,
    )
