"""GLM's web search on its own: `POST /web_search`."""

from collections.abc import Mapping
from typing import Any

from exai.errors import ProviderDenied, ProviderFailed, ProviderRefused
from exai.providers.base import Charges
from exai.providers.faults import Row, Verdict
from exai.providers.glm import ERRORS
from exai.providers.search import Found, Recency, SearchQuery, SearchResult, clean, clean_line, entries_of
from exai.providers.wire.openai_compatible import OpenAiCompatible

__all__ = ["SEARCH_ERRORS", "GlmSearch"]

SEARCH_ERRORS: tuple[Row, ...] = (
    Row(
        frozenset({"1210", "1213", "1214", "1215"}),
        Verdict(
            ProviderRefused,
            "{title} calls the search invalid ({code}). Change the query or its filters, or check "
            "providers.glm.search_engine.",
        ),
    ),
    Row(
        frozenset({"1702"}),
        Verdict(
            ProviderDenied,
            "{title} has no such search engine for this account ({code}). Check providers.glm.search_engine.",
        ),
    ),
    Row(
        frozenset({"1703"}),
        Verdict(ProviderRefused, "{title} found nothing usable ({code}). Word the query differently."),
    ),
    *ERRORS,
)
"""Errors of a search; the first row that matches decides."""

_RECENCY: Mapping[Recency | None, str] = {
    None: "noLimit",
    Recency.DAY: "oneDay",
    Recency.WEEK: "oneWeek",
    Recency.MONTH: "oneMonth",
    Recency.YEAR: "oneYear",
}


class GlmSearch:
    """A `SearchEngine` by one of GLM's engines."""

    provider = "glm"

    def __init__(self, endpoint: OpenAiCompatible, engine: str) -> None:
        self._endpoint = endpoint
        self._engine = engine

    @property
    def configured(self) -> bool:
        return self._endpoint.configured

    def lacks(self, query: SearchQuery) -> str | None:
        return "GLM filters by one domain at most" if len(query.domains) > 1 else None

    async def search(self, query: SearchQuery, *, deadline: float, charges: Charges) -> Found:
        """See `SearchEngine.search`."""
        fields: dict[str, Any] = {
            "search_engine": self._engine,
            "search_query": query.text,
            "count": query.count,
            "search_recency_filter": _RECENCY[query.recency],
        }
        if query.domains:
            fields["search_domain_filter"] = query.domains[0]
        body = await self._endpoint.post(
            "/web_search",
            fields,
            about="web search",
            errors=SEARCH_ERRORS,
            deadline=deadline,
            charges=charges,
        )
        results = _results(body)
        charges.clear()
        charges.services["web_search"] += 1
        return Found(results, self.provider, self._engine)


def _results(body: bytes) -> tuple[SearchResult, ...]:
    entries = entries_of(body, "search_result")
    if entries is None:
        raise ProviderFailed("GLM sent something that is no search result. Try again.")
    return tuple(
        SearchResult(
            title=clean_line(entry.get("title"), 300),
            url=clean_line(entry.get("link"), 2_000),
            snippet=clean(entry.get("content")),
            published=clean_line(entry.get("publish_date"), 40) or None,
            site=clean_line(entry.get("media"), 100) or None,
        )
        for entry in entries
    )
