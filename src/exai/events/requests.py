"""What is recorded of one request to a provider: for the journal, for metrics, for whoever audits calls."""

from collections.abc import Mapping
from enum import StrEnum

import msgspec

from exai.costs import Usage

__all__ = ["Purpose", "RequestRecord"]


class Purpose(StrEnum):
    """What a request was made for."""

    CHAT = "chat"
    WEB_SEARCH = "web-search"
    COUNT = "count"
    """Counting the tokens of a prompt."""


class RequestRecord(msgspec.Struct, frozen=True):
    """One request that ended, its attempts together."""

    number: int
    """Within its call, from 1."""
    purpose: Purpose
    provider: str
    model: str
    attempts: int
    """Sent to the provider: more than 1 where it was made again, 0 where it failed before."""
    outcome: str
    """`ok`, `cancelled`, or the code of its last failure."""
    usage: Usage | None
    """`None` where the provider did not say."""
    cost_usd: float | None
    """By list price; `None` where a part has no known price, or nothing was charged for."""
    timings: Mapping[str, float]
    """Milliseconds by stage, which add up to no more than its duration."""
    began_at: float
    """Seconds since 1970-01-01 UTC, as the next."""
    ended_at: float
