"""Kimi's web search on its own: `POST /tools/search` and `/tools/search_pro`."""

from datetime import timedelta
from typing import Any

from typing_extensions import override

from exai.errors import (
    ProviderDenied,
    ProviderFailed,
    ProviderRefused,
    ProviderThrottled,
    ProviderTimeout,
    QuotaExhausted,
)
from exai.providers.base import Charges
from exai.providers.faults import Row, Verdict
from exai.providers.search import (
    Found,
    SearchEngine,
    SearchQuery,
    SearchResult,
    clean,
    clean_line,
    entries_of,
)
from exai.providers.wire.openai_compatible import OpenAiCompatible
from exai.runtime.clock import Clock

__all__ = ["SEARCH_ERRORS", "KimiSearch"]


def _row(kind: str, verdict: Verdict) -> Row:
    return Row(frozenset({kind}), verdict)


_LOST = Verdict(ProviderFailed, "{title} failed while searching ({code}). Try again later.")

SEARCH_ERRORS: tuple[Row, ...] = (
    _row(
        "invalid_request",
        Verdict(
            ProviderRefused, "{title} calls the search invalid ({code}). Change the query or its filters."
        ),
    ),
    _row("invalid_url", Verdict(ProviderRefused, "{title} calls the address invalid ({code}). Correct it.")),
    _row(
        "security_risk", Verdict(ProviderDenied, "{title} does not open that address ({code}). Take another.")
    ),
    _row("markdown_not_found", Verdict(ProviderRefused, "{title} found nothing there ({code}).")),
    _row("client_canceled", _LOST),
    _row(
        "rate_limited",
        Verdict(
            ProviderThrottled,
            "The {title} account's limit of searches is reached ({code}). Try again shortly.",
        ),
    ),
    _row("rate_limit_unavailable", Verdict(ProviderThrottled, "{title} cannot take searches now ({code}).")),
    _row("internal_error", _LOST),
    _row("upstream_failed", _LOST),
    _row("timeout", Verdict(ProviderTimeout, "{title} found nothing in time ({code}). Try again.")),
    _row(
        "exceeded_current_quota_error",
        Verdict(QuotaExhausted, "The {title} account is out of balance ({code}). Top up in its console."),
    ),
)
"""Errors by the types of the tools' gateway, which differ from the chat's. A refused key has no body."""


class KimiSearch(SearchEngine):
    """A `SearchEngine`: the plain search, or the one with sites and dates when a query has them."""

    provider = "kimi"

    def __init__(self, endpoint: OpenAiCompatible, clock: Clock) -> None:
        self._endpoint = endpoint
        self._clock = clock

    @property
    def configured(self) -> bool:
        return self._endpoint.configured

    @override
    def lacks(self, query: SearchQuery) -> str | None:
        """Return `None`: Kimi can do everything that a query asks for."""
        return None

    async def search(self, query: SearchQuery, *, deadline: float, charges: Charges) -> Found:
        """See `SearchEngine.search`."""
        service = "search_pro" if query.domains or query.recency is not None else "search"
        fields: dict[str, Any] = {"text_query": query.text, "limit": query.count}
        if query.domains:
            fields["sites"] = list(query.domains)
        if query.recency is not None:
            today = self._clock.utc()
            since = today - timedelta(days=query.recency.days)
            fields["time_window"] = {"start": f"{since:%Y-%m-%d}", "end": f"{today:%Y-%m-%d}"}
        body = await self._endpoint.post(
            f"/tools/{service}",
            fields,
            about="web search",
            errors=SEARCH_ERRORS,
            deadline=deadline,
            charges=charges,
        )
        results = _results(body)
        charges.clear()
        # Only a result that is not empty is charged.
        if results:
            charges.services[service] += 1
        return Found(results, self.provider, service)


def _results(body: bytes) -> tuple[SearchResult, ...]:
    entries = entries_of(body, "search_results")
    if entries is None:
        raise ProviderFailed("Kimi sent something that is no search result. Try again.")
    return tuple(
        SearchResult(
            title=clean_line(entry.get("title"), 300),
            url=clean_line(entry.get("url"), 2_000),
            snippet=clean(entry.get("snippet")) or _excerpts(entry.get("chunks")),
            published=clean_line(entry.get("date"), 40) or None,
            site=clean_line(entry.get("site_name"), 100) or None,
        )
        for entry in entries
    )


def _excerpts(chunks: Any) -> str:
    texts = (
        (chunk.get("text") for chunk in chunks if isinstance(chunk, dict)) if isinstance(chunks, list) else ()
    )
    return clean("\n".join(text for text in texts if isinstance(text, str)))
