"""The spans of a call: when which of its requests, or the call itself, spent its time on what.

They are the intervals of the ledger, of which the stages of the journal are computed too, so both cannot differ. The
spans of one request follow one another; those of different requests may overlap, and a stage of the call is their
union.
"""

import msgspec

from exai.routing.ledger import Ledger, Stage

__all__ = ["Span", "spans_of"]


class Span(msgspec.Struct, frozen=True, array_like=True):
    """A stretch of a call's time."""

    request: int
    """Of which request, from 1; 0: of none, of the call itself."""
    stage: str
    """As the journal has it, such as `first_token_ms`."""
    began_ms: float
    """Since the call began."""
    ended_ms: float
    attempt: int = 1
    """Of its request."""
    model: str = ""
    """Of its request, with its provider."""


def spans_of(ledger: Ledger, began: float) -> list[Span]:
    """List the spans of a call that began then, in the order of their beginning."""
    spans = [_span(0, stage, start, end, began) for start, end, stage in ledger.own_intervals]
    for entry in ledger.entries:
        attempt, model = 1, f"{entry.provider}/{entry.model}"
        for start, end, stage in entry.intervals:
            spans.append(_span(entry.number, stage, start, end, began, attempt, model))
            attempt += stage is Stage.BACKOFF
    return sorted(spans, key=lambda span: (span.began_ms, span.request))


def _span(
    request: int, stage: Stage, start: float, end: float, began: float, attempt: int = 1, model: str = ""
) -> Span:
    return Span(
        request, stage.value, round((start - began) * 1000, 3), round((end - began) * 1000, 3), attempt, model
    )
