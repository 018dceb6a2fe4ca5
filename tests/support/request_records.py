"""Records of requests, as a ledger hands them out when a call has ended."""

from typing import Any

from exai.costs import Usage
from exai.events.requests import Purpose, RequestRecord

__all__ = ["record"]


def record(model: str = "glm-5.3", usage: Usage | None = None, **fields: Any) -> RequestRecord:
    """One request that was answered at once, unless said otherwise."""
    return RequestRecord(
        **{
            "number": 1,
            "purpose": Purpose.CHAT,
            "provider": "glm",
            "model": model,
            "attempts": 1,
            "outcome": "ok",
            "usage": usage,
            "unreported": 0,
            "services": {},
            "cost_usd": None,
            "without_price": usage is not None and fields.get("cost_usd") is None,
            "timings": {},
            "began_at": 1_700_000_000.0,
            "ended_at": 1_700_000_001.0,
            **fields,
        }
    )
