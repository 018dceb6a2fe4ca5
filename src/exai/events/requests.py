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
    unreported: int
    """How many of the attempts the provider may charge for without having told their usage: the connection broke, the
    caller left, or the answer had no usage."""
    services: Mapping[str, int]
    """How often a service with a fee of its own was used, by its name in the catalogue."""
    cost_usd: float | None
    """By list price, of all parts that have a known one; `None` where none has, or nothing was charged for."""
    without_price: bool
    """Whether a part of the cost is not known, so that `cost_usd` is the least that it cost."""
    timings: Mapping[str, float]
    """Milliseconds by stage, which add up to no more than its duration."""
    began_at: float
    """Seconds since 1970-01-01 UTC, as the next."""
    ended_at: float
    emulated: bool = False
    """Whether the emulator of a demonstration answered it, so that nothing of its cost was charged."""
