"""A row per request that a call made, written with the call's end."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import msgspec

from exai.costs import Usage
from exai.events.requests import RequestRecord
from exai.storage.dialects import ManyRows, insert_if_absent
from exai.storage.schema import REQUEST_TIMINGS, requests

__all__ = ["INSERT_REQUESTS", "rows_of"]

INSERT_REQUESTS = ManyRows(insert_if_absent(requests))
"""A call's end that outlives an outage may be written twice."""

_NO_USAGE = Usage()

_encode = msgspec.json.Encoder(order="sorted").encode


def rows_of(call_id: str, records: Iterable[RequestRecord]) -> list[dict[str, Any]]:
    """Make the rows of a call's requests."""
    return [_row(call_id, record) for record in records]


def _row(call_id: str, record: RequestRecord) -> dict[str, Any]:
    usage = record.usage or _NO_USAGE
    timings = record.timings
    row: dict[str, Any] = {
        "call_id": call_id,
        "number": record.number,
        "purpose": record.purpose.value,
        "provider": record.provider,
        "model": record.model,
        "attempts": record.attempts,
        "outcome": record.outcome,
        "input_tokens": usage.input,
        "cached_tokens": usage.cached,
        "cache_write_tokens": usage.cache_write,
        "output_tokens": usage.output,
        "reasoning_tokens": usage.reasoning,
        "unreported": record.unreported,
        "services": _encode(record.services).decode() if record.services else None,
        "cost_usd": record.cost_usd,
        "without_price": int(record.without_price),
        "emulated": int(record.emulated),
        "began_at": datetime.fromtimestamp(record.began_at, UTC),
        "ended_at": datetime.fromtimestamp(record.ended_at, UTC),
    }
    for name in REQUEST_TIMINGS:
        row[name] = timings.get(name)
    return row
