"""One call as `status` tells of it: how it ended, what it cost item by item, where its time went."""

from collections.abc import Mapping
from typing import Any, Self

import msgspec

from exai.storage.calls.recorded import RecordedCall

__all__ = ["CallReport"]

MOST_REQUESTS = 8
"""Of one call; a model with tools makes dozens."""

TOLD_ALREADY = frozenset({"provider", "model_requested", "model_reason", "cost_usd", "usage", "results"})
"""Parts of a tool's report that the journal has in columns of their own."""


class ReportedRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked of a provider."""

    purpose: str
    model: str
    outcome: str
    attempts: int
    input_tokens: int | None
    cached_tokens: int | None
    output_tokens: int | None
    cost_usd: float | None
    ms: float

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Self:
        names = set(cls.__struct_fields__) - {"ms"}
        seconds = (row["ended_at"] - row["began_at"]).total_seconds()
        return cls(**{name: row[name] for name in names}, ms=round(seconds * 1000, 1))

    @property
    def line(self) -> str:
        """Render the request in one line."""
        parts = [f"- {self.purpose} {self.model}: {self.outcome}", f"{self.attempts} sent", f"{self.ms:g} ms"]
        if self.input_tokens is not None or self.output_tokens is not None:
            cached = f" ({self.cached_tokens} cached)" if self.cached_tokens else ""
            parts.append(f"{self.input_tokens or 0} tokens in{cached}, {self.output_tokens or 0} out")
        parts.append(_dollars(self.cost_usd))
        return ", ".join(parts)


class CallReport(msgspec.Struct, frozen=True, kw_only=True):
    """What is recorded of a call."""

    call_id: str
    at: str
    tool: str
    outcome: str
    """As in the journal; `running` while it has no end."""
    error: str | None
    caller: str | None
    """Whose it was; `None` for the reader's own."""
    continuation_id: str | None
    model_requested: str | None
    model_used: str | None
    model_reason: str | None
    cost_usd: float | None
    emulated: bool | None
    """True: a demonstration's emulator answered, and nothing was charged."""
    input_tokens: int | None
    output_tokens: int | None
    timings: dict[str, float]
    requests: tuple[ReportedRequest, ...]
    further_requests: int | None
    """How many more there were."""
    report: dict[str, Any]
    """What the tool reported beside: cost by item, models tried, what entered the prompt."""

    @classmethod
    def of(cls, recorded: RecordedCall, reader: str) -> Self:
        """Tell `reader` of a call."""
        facts, asked = recorded.facts, recorded.requests
        report = {name: value for name, value in (recorded.report or {}).items() if name not in TOLD_ALREADY}
        same = ("tool", "model_requested", "model_used", "model_reason", "cost_usd", "input_tokens")
        return cls(
            call_id=recorded.call_id,
            at=recorded.began_at.isoformat(timespec="seconds"),
            outcome=facts["outcome"] or "running",
            error=facts["error_code"],
            caller=None if recorded.owner == reader else recorded.owner,
            continuation_id=facts["conversation_id"],
            emulated=bool(facts["emulated"]) or None,
            output_tokens=facts["output_tokens"],
            timings=dict(recorded.timings),
            requests=tuple(map(ReportedRequest.of, asked[:MOST_REQUESTS])),
            further_requests=max(0, len(asked) - MOST_REQUESTS) or None,
            report=report,
            **{name: facts[name] for name in same},
        )

    @property
    def text(self) -> str:
        """Render the call for a model that reads text alone."""
        ended = self.outcome if self.error is None else f"{self.outcome} ({self.error})"
        head = f"{self.call_id}: {self.tool} at {self.at}, {ended}"
        lines = [head if self.caller is None else f"{head}, by {self.caller}"]
        model = self.model_used or self.model_requested
        if model is not None:
            lines.append(f"Model: {model}" + (f" ({self.model_reason})" if self.model_reason else ""))
        if self.continuation_id is not None:
            lines.append(f"continuation_id: {self.continuation_id}")
        charged = (
            f"Cost: {_dollars(self.cost_usd)}{', emulated: nothing was charged' if self.emulated else ''}"
        )
        lines.append(f"{charged}; {self.input_tokens or 0} tokens in, {self.output_tokens or 0} out")
        if self.timings:
            spent = (f"{name.removesuffix('_ms')} {ms:g}" for name, ms in self.timings.items())
            lines.append(f"Milliseconds: {', '.join(spent)}")
        if self.requests:
            lines += ["Requests:", *(request.line for request in self.requests)]
        if self.further_requests:
            lines.append(f"and {self.further_requests} more")
        if self.report:
            lines.append(f"Report: {msgspec.json.encode(self.report).decode()}")
        return "\n".join(lines)


def _dollars(usd: float | None) -> str:
    return "of unknown cost" if usd is None else f"{usd:.6f} USD"
