"""A log line for each call that ended: who called what, how it went, what it took. No text of it, and no key."""

import structlog

from exai.events.bus import EventBus
from exai.events.events import CallEnded, CallRefused
from exai.monitoring.logs import frequent_lines

__all__ = ["log_calls"]

_log = structlog.get_logger(__name__)


def log_calls(bus: EventBus) -> None:
    """Log from now on, at `info`, the calls that asked a provider or failed; at `debug` the others."""
    lines = frequent_lines(__name__)

    def log_ended(event: CallEnded) -> None:
        if not (event.requests or event.outcome != "ok"):
            _log.debug("call ended", **_figures(event), **_names(event))
        elif lines is None:
            _log.info("call ended", **_figures(event), **_names(event))
        else:
            lines.info("call ended", _figures(event), _names(event))

    bus.watch(log_ended, CallEnded)
    bus.watch(_log_refused, CallRefused)


def _names(event: CallEnded) -> dict[str, str | None]:
    caller = event.caller
    return {
        "tool": event.tool,
        "caller": caller.subject,
        "door": caller.door,
        "outcome": event.outcome,
        "code": event.error_code,
        "provider": event.provider,
        "model": event.model,
    }


def _figures(event: CallEnded) -> dict[str, str | float | None]:
    read, written, emulated = 0, 0, False
    usd: float | None = None
    for request in event.requests:
        if (usage := request.usage) is not None:
            read += usage.input or 0
            written += usage.output or 0
        if request.emulated:
            emulated = True
        elif request.cost_usd is not None:
            usd = (usd or 0.0) + request.cost_usd
    return {
        "call_id": event.call_id,
        "milliseconds": round(event.timings.get("latency_ms", 0.0)),
        "requests": len(event.requests),
        "input": read,
        "output": written,
        "usd": None if usd is None else round(usd, 6),
        "emulated": emulated,
    }


def _log_refused(event: CallRefused) -> None:
    _log.info(
        "call refused",
        tool=event.tool,
        caller=event.caller.subject,
        door=event.caller.door,
        code=event.error_code,
    )
