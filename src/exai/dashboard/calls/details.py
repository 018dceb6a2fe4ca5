"""One call, whole: its row, spans, requests, report, group, lines of the log, and calls like it beside it."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import to_builtins

from exai.dashboard.documents.live import Live
from exai.dashboard.documents.moments import whole
from exai.monitoring.logs import recent_lines
from exai.storage.calls.recorded import RecordedCall
from exai.storage.dashboard.call_details import CallSurroundings
from exai.storage.dashboard.call_search import as_call
from exai.storage.schema import REQUEST_TIMINGS

__all__ = ["document_of", "usual_of"]

LEAST_LIKE = 20
MOST_LINES = 200
MOST_REQUESTS = 100
MOST_SPANS = 400
NOT_KEPT = "Spans are kept of failed calls, of those that were slow for their model, and of one in twenty."


def document_of(
    call: RecordedCall, around: CallSurroundings, live: Live, *, shows_errors: bool
) -> dict[str, Any]:
    """Make the document of a call that has a row."""
    facts, running = call.facts, live.row(call.call_id)
    spans = None if call.spans is None else call.spans[:MOST_SPANS]
    usual, usual_why = usual_of(call.timings, around)
    lines = _lines(call.call_id)
    group = int(around.group.group.removeprefix("E-")) if around.group is not None else None
    stages = {"latency_ms": None, "first_token_ms": None, **call.timings}
    return {
        "call": to_builtins(as_call({**facts, **stages}, group)),
        "run_id": facts["run_id"],
        "running": running,
        "timings": dict(call.timings),
        "spans": None if spans is None else [_span(each) for each in spans],
        "spans_cut": call.spans is not None and len(call.spans) > MOST_SPANS,
        "spans_why": None if spans is not None else _why_no_spans(running),
        "requests": [_request(each) for each in call.requests[:MOST_REQUESTS]],
        "requests_total": len(call.requests),
        "report": call.report,
        "group": to_builtins(around.group),
        "occurrences": to_builtins(around.occurrences) if shows_errors else [],
        "log": lines or [],
        "log_why": None if lines else _why_no_lines(lines),
        "usual": usual,
        "usual_why": usual_why,
    }


def usual_of(
    timings: Mapping[str, float], around: CallSurroundings
) -> tuple[dict[str, Any] | None, str | None]:
    """Compare the stages of a call with those of calls like it; or say why that cannot be done."""
    like = around.like
    if len(like) < LEAST_LIKE:
        return None, (
            f"Only {len(like)} answered calls of this tool and model were found in the week before it; "
            f"{LEAST_LIKE} are needed."
        )
    stages = {}
    for name, value in timings.items():
        others = sorted(each.get(name, 0.0) for each in like)
        below = sum(other < value for other in others) / len(others)
        stages[name] = {"p50": _at(others, 0.5), "p95": _at(others, 0.95), "below": round(below, 4)}
    return {"calls": len(like), "since": whole(around.since), "stages": stages}, None


def _at(ordered: Sequence[float], share: float) -> float:
    return ordered[math.ceil(share * len(ordered)) - 1]


def _span(each: Any) -> dict[str, Any]:
    request, stage, began, ended, attempt, model = each
    return {
        "request": request,
        "stage": stage,
        "began_ms": began,
        "ended_ms": ended,
        "attempt": attempt,
        "model": model,
    }


def _request(row: Mapping[str, Any]) -> dict[str, Any]:
    shown = {
        name: value for name, value in row.items() if name not in {"call_id", "services", *REQUEST_TIMINGS}
    }
    shown["emulated"] = bool(shown["emulated"])
    timings = {name: row[name] for name in REQUEST_TIMINGS if row[name] is not None}
    document: dict[str, Any] = to_builtins({**shown, "services": row["services"], "timings": timings})
    return document


def _why_no_spans(running: Mapping[str, Any] | None) -> str:
    return "It runs; its spans come with its end." if running is not None else NOT_KEPT


def _lines(call_id: str) -> list[str] | None:
    recent = recent_lines()
    return None if recent is None else recent.naming(call_id, MOST_LINES)


def _why_no_lines(lines: Sequence[str] | None) -> str:
    if lines is None:
        return "This process keeps no lines of its log."
    return "None of the latest lines of this process' log names it."
