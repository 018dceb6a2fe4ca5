"""Web search at a provider: queries, results, and the interface of an engine."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from exai.messages import Citation
from exai.providers.base import Charges
from exai.providers.untrusted_json import UnreadableJsonError, read_json

__all__ = [
    "Found",
    "Recency",
    "SearchEngine",
    "SearchQuery",
    "SearchResult",
    "as_text",
    "clean",
    "clean_line",
    "entries_of",
]

MAX_SNIPPET_CHARACTERS = 2_000
"""Of one result: a paragraph or two; ten whole pages would fill a model's window."""


MAX_RESULTS = 20
"""As many as a query may ask for."""


class Recency(StrEnum):
    """How old a result may be."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    YEAR = "year"

    @property
    def days(self) -> int:
        return _DAYS[self]


_DAYS: Mapping[Recency, int] = {Recency.DAY: 1, Recency.WEEK: 7, Recency.MONTH: 31, Recency.YEAR: 366}


@dataclass(frozen=True, slots=True)
class SearchQuery:
    """A web search."""

    text: str
    count: int = 5
    """Most results, from 1 to 20."""
    recency: Recency | None = None
    domains: tuple[str, ...] = ()
    """Only these sites; at most five."""


@dataclass(frozen=True, slots=True)
class SearchResult:
    """One page that was found."""

    title: str
    url: str
    snippet: str = field(repr=False)
    published: str | None = None
    """The date in the provider's form."""
    site: str | None = None

    @property
    def citation(self) -> Citation:
        """The page as a source."""
        return Citation(self.title, self.url, self.published)


@dataclass(frozen=True, slots=True)
class Found:
    """The results of a search."""

    results: tuple[SearchResult, ...]
    provider: str
    engine: str
    """The engine, by the provider's name."""


class SearchEngine(Protocol):
    """A provider's web search on its own, without a model."""

    @property
    def provider(self) -> str: ...

    @property
    def configured(self) -> bool:
        """Whether it has a key."""
        ...

    def lacks(self, query: SearchQuery) -> str | None:
        """Describe what of `query` it cannot do; `None`: it can do everything."""
        ...

    async def search(self, query: SearchQuery, *, deadline: float, charges: Charges) -> Found:
        """Search; `deadline` is in `Clock.monotonic` seconds. What it is charged for is noted in `charges`.

        Raises:
            ProviderFault: the provider failed, or refused.
            DeadlineExceeded: `deadline` passed first.
        """
        ...


def clean(value: Any, limit: int = MAX_SNIPPET_CHARACTERS) -> str:
    """Remove control characters from a text of a reply, and cut it to `limit`; anything else becomes ''."""
    if not isinstance(value, str):
        return ""
    # What is cut away is not looked at: a reply may be megabytes of one text.
    begun = value[: 4 * limit + 100].lstrip()
    if begun.isprintable():
        return begun.rstrip()[:limit]
    text = "".join(
        character if character.isprintable() or character in "\n\t" else " " for character in begun
    )
    return text.strip()[:limit]


def entries_of(body: bytes, name: str) -> list[dict[str, Any]] | None:
    """Return the results under `name` of a search's reply, as many as may be asked for; `None`: it is no such reply."""
    try:
        reply = read_json(body)
    except UnreadableJsonError:
        return None
    entries = reply.get(name) if isinstance(reply, dict) else None
    if not isinstance(entries, list):
        return None
    return [entry for entry in entries[:MAX_RESULTS] if isinstance(entry, dict)]


def clean_line(value: Any, limit: int) -> str:
    """Clean a text as `clean` does, into one line: a title must not look like the text around it."""
    if isinstance(value, str) and len(value) <= limit and value.isprintable() and " " not in value:
        return value
    return " ".join(clean(value, 4 * limit).split())[:limit]


def as_text(results: tuple[SearchResult, ...], snippet_characters: int = MAX_SNIPPET_CHARACTERS) -> str:
    """Format numbered results, for a model."""
    entries = []
    for number, result in enumerate(results, start=1):
        dated = f" ({result.published})" if result.published else ""
        place = result.url or result.site or ""
        entries.append(
            f"[{number}] {result.title}{dated}\n{place}\n{result.snippet[:snippet_characters]}".rstrip()
        )
    return "\n\n".join(entries)
