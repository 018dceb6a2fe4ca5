"""What the emulated searches find: pages made from the query, the same for everyone who asks alike."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

__all__ = ["NOTHING_FOUND", "FoundPage", "find_pages"]

NOTHING_FOUND = "emulated-no-results"
"""A query with this word finds nothing."""

_SITE = "emulated.invalid"


@dataclass(frozen=True, slots=True)
class FoundPage:
    """One page."""

    title: str
    url: str
    text: str
    site: str
    date: str
    """As `YYYY-MM-DD`."""


def find_pages(
    engine: str,
    query: str,
    count: int,
    *,
    sites: Sequence[str] = (),
    newest: float,
    days: int = 1_000,
) -> Iterator[FoundPage]:
    """`count` pages about `query`, of `sites` in turn, spread over the `days` that end at `newest` (Unix seconds)."""
    if NOTHING_FOUND in query:
        return
    today = datetime.fromtimestamp(newest, UTC)
    for number in range(1, count + 1):
        site = sites[(number - 1) % len(sites)] if sites else _SITE
        age = (number - 1) * days // max(count, 1)
        yield FoundPage(
            title=f"[emulated {engine}] {query[:70]}, result {number}",
            url=f"https://{site}/{number}",
            text=f"[emulated {engine}] Page {number} that was found for: {query}",
            site=site,
            date=f"{today - timedelta(days=age):%Y-%m-%d}",
        )
