"""Kimi's REST tools: search, search with excerpts, and fetching a page; errors and headers of their own."""

import ipaddress
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from exai_emulator.calls import ErrorRow, Refusal
from exai_emulator.endpoints import Endpoint, EndpointRequest, Reply
from exai_emulator.found_pages import find_pages
from exai_emulator.identities import Identity
from exai_emulator.rules import Behaviour, EndpointRule, RuleBook
from exai_emulator.shapes import as_int

__all__ = ["BEHAVIOURS", "ERRORS", "RULES", "KimiRestTools", "is_rest_tool", "track_headers"]

NO_PAGE = "emulated-no-page"
"""A URL with this word has no page to be read."""

_COUNT = 5
_DATE = re.compile(r"\d{4}(-\d{2}(-\d{2})?)?")


def _row(name: str, status: int, message: str, **fields: Any) -> ErrorRow:
    return ErrorRow(f"tools_{name}", status, "D", message, name, **fields)


ERRORS = (
    _row("invalid_request", 400, "The request is invalid"),
    _row("invalid_url", 400, "The url is invalid"),
    _row("security_risk", 403, "The url is not allowed"),
    _row("markdown_not_found", 404, "No content was found at the url"),
    _row("client_canceled", 408, "The client canceled the request"),
    _row(
        "rate_limited",
        429,
        "Too many requests, please try again later",
        headers={"X-RateLimit-Limit": "10", "X-RateLimit-Remaining": "0"},
        resets_in_s=1,
    ),
    _row("rate_limit_unavailable", 429, "The rate limiter is unavailable"),
    _row("internal_error", 500, "Internal error"),
    _row("upstream_failed", 502, "The upstream failed"),
    _row("timeout", 504, "The request timed out"),
)


def is_rest_tool(path: str) -> bool:
    """Whether a path belongs to the gateway of these tools."""
    return path.startswith("/v1/tools/")


def track_headers(headers: Mapping[str, str], identity: Identity) -> dict[str, str]:
    """What every reply of the gateway carries: the caller's own track id, or a new one."""
    sent = headers.get("X-Msh-Track-Id", "")
    track = sent if sent and sent.isascii() and sent.isprintable() else identity.uuid
    return {"X-Msh-Track-Id": track, "X-Msh-Chat-Id": f"toolgw-{track}"}


def _bad(message: str) -> Refusal:
    return Refusal("tools_invalid_request", message)


def _body(request: EndpointRequest) -> Mapping[str, Any]:
    return request.json if isinstance(request.json, dict) else {}


def _suspended(request: EndpointRequest) -> Refusal | None:
    return Refusal("empty_403") if request.account.state.balance <= 0 else None


def _query(request: EndpointRequest) -> Refusal | None:
    query = _body(request).get("text_query")
    return None if isinstance(query, str) and query.strip() else _bad("text_query is required")


def _between(field: str, least: int, most: int) -> Any:
    def check(request: EndpointRequest) -> Refusal | None:
        value = _body(request).get(field)
        number = as_int(value)
        if value is None or (number is not None and least <= number <= most):
            return None
        return _bad(f"{field} is between {least} and {most}")

    return check


def _include_content(request: EndpointRequest) -> Refusal | None:
    value = _body(request).get("include_content")
    return None if value is None or isinstance(value, bool) else _bad("include_content is a boolean")


def _sites(request: EndpointRequest) -> Refusal | None:
    sites = _body(request).get("sites")
    if sites is None:
        return None
    fits = (
        isinstance(sites, list)
        and len(sites) <= 5
        and all(isinstance(site, str) and site and not re.search(r"[\s()]", site) for site in sites)
    )
    return None if fits else _bad("sites has at most 5 entries without spaces and parentheses")


def _window(request: EndpointRequest) -> Refusal | None:
    window = _body(request).get("time_window")
    if window is None:
        return None
    dates = [window.get("start"), window.get("end")] if isinstance(window, dict) else [0]
    fits = all(date is None or (isinstance(date, str) and _read_date(date) is not None) for date in dates)
    return None if fits else _bad("time_window has a start and an end as YYYY, YYYY-MM or YYYY-MM-DD")


def _only_pro(request: EndpointRequest) -> Refusal | None:
    named = _body(request).keys() & {"sites", "time_window"}
    return _bad(f"unknown field {min(named)}") if named else None


def _url(request: EndpointRequest) -> Refusal | None:
    url = _body(request).get("url")
    parts = urlsplit(url) if isinstance(url, str) else None
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
        return Refusal("tools_invalid_url")
    return Refusal("tools_security_risk") if _is_inside(parts.hostname) else None


def _page(request: EndpointRequest) -> Refusal | None:
    return Refusal("tools_markdown_not_found") if NO_PAGE in str(_body(request).get("url")) else None


def _is_inside(host: str) -> bool:
    """Whether a host is one of a private network."""
    if host == "localhost" or host.endswith((".localhost", ".internal")):
        return True
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return False


def _read_date(text: str) -> datetime | None:
    if not _DATE.fullmatch(text):
        return None
    try:
        return datetime.strptime(text, "%Y-%m-%d"[: {4: 2, 7: 5, 10: 8}[len(text)]]).replace(tzinfo=UTC)
    except ValueError:
        return None


_SEARCH_RULES = (
    EndpointRule(
        "kimi.tools.account", "D", "a REST tool without balance: 403 with an empty body", _suspended
    ),
    EndpointRule("kimi.search.query", "D", "a search without `text_query`: 400", _query),
    EndpointRule("kimi.search.limit", "D", "`limit` outside 1 to 20: 400", _between("limit", 1, 20)),
    EndpointRule(
        "kimi.search.timeout",
        "D",
        "`timeout_seconds` outside 1 to 60: 400",
        _between("timeout_seconds", 1, 60),
    ),
    EndpointRule(
        "kimi.search.include_content", "D", "`include_content` that is no boolean: 400", _include_content
    ),
)
_PLAIN_RULES = (
    EndpointRule(
        "kimi.search.only_pro", "?", "`sites` or `time_window` outside `search_pro`: 400", _only_pro
    ),
)
_PRO_RULES = (
    EndpointRule("kimi.search.sites", "D", "over 5 `sites`, or one with blanks or parentheses: 400", _sites),
    EndpointRule("kimi.search.window", "D", "a `time_window` that holds no dates: 400", _window),
)
_FETCH_RULES = (
    EndpointRule("kimi.fetch.url", "D", "a `url` that is none: 400; one inside a network: 403", _url),
    EndpointRule("kimi.fetch.page", "D", f"a `url` with the word {NO_PAGE}: 404", _page),
)
RULES = (*_SEARCH_RULES, *_PLAIN_RULES, *_PRO_RULES, *_FETCH_RULES)

BEHAVIOURS = (
    Behaviour("kimi.tools.key", "D", "a wrong key at a REST tool: 401 with an empty body"),
    Behaviour("kimi.tools.track", "D", "REST tools answer with X-Msh-Track-Id, echoed, and X-Msh-Chat-Id"),
    Behaviour("kimi.tools.rate", "D", "`rate_limited` has X-RateLimit-Limit, -Remaining and -Reset"),
    Behaviour("kimi.tools.billing", "D", "only a result that is not empty is charged"),
    Behaviour("kimi.search.chunks", "D", "results of `search_pro` have `chunks` with scores"),
)


class KimiRestTools:
    """The endpoints below `/tools`."""

    def __init__(self, rules: RuleBook) -> None:
        self._rules = rules
        self.endpoints: tuple[tuple[str, str, Endpoint], ...] = (
            ("POST", "/tools/search", self._search),
            ("POST", "/tools/search_pro", self._search_pro),
            ("POST", "/tools/fetch", self._fetch),
        )

    def _search(self, request: EndpointRequest) -> Reply | Refusal:
        refusal = self._rules.first_of((*_SEARCH_RULES, *_PLAIN_RULES), request)
        return self._found(request, "search") if refusal is None else refusal

    def _search_pro(self, request: EndpointRequest) -> Reply | Refusal:
        refusal = self._rules.first_of((*_SEARCH_RULES, *_PRO_RULES), request)
        return self._found(request, "search_pro") if refusal is None else refusal

    def _found(self, request: EndpointRequest, tool: str) -> Reply:
        body = _body(request)
        newest, days = _span(body, request.account.clock.now())
        pages = find_pages(
            f"kimi-{tool}",
            str(body.get("text_query")),
            as_int(body.get("limit")) or _COUNT,
            sites=body.get("sites") or (),
            newest=newest,
            days=days,
        )
        results = []
        for page in pages:
            result: dict[str, Any] = {
                "title": page.title,
                "url": page.url,
                "snippet": page.text,
                "site_name": page.site,
                "date": page.date,
                "authority": 0.5,
                "icon": "",
                "mime": "text/html",
            }
            if body.get("include_content"):
                result["text"] = f"{page.text}\n\nAll of the emulated page."
            if tool == "search_pro":
                result["chunks"] = [{"text": f"{page.text} An excerpt.", "score": 0.9}]
            results.append(result)
        fees = request.account.fees
        return Reply({"search_results": results}, commit=(lambda: fees.update([tool])) if results else None)

    def _fetch(self, request: EndpointRequest) -> Reply | Refusal:
        if (refusal := self._rules.first_of((_SEARCH_RULES[0], *_FETCH_RULES), request)) is not None:
            return refusal
        url = str(_body(request).get("url"))
        page = {
            "url": url,
            "title": f"[emulated kimi-fetch] {url}",
            "markdown": f"# [emulated kimi-fetch] {url}\n\nThe page at {url} has this emulated text.",
        }
        return Reply(page, commit=lambda: request.account.fees.update(["fetch"]))


def _span(body: Mapping[str, Any], now: float) -> tuple[float, int]:
    """The end of the window that is asked for, and its length in days."""
    window = body.get("time_window")
    dates = window if isinstance(window, dict) else {}
    start, end = (_read_date(str(dates.get(name))) for name in ("start", "end"))
    newest = min(now, end.timestamp()) if end is not None else now
    if start is None:
        return newest, 1_000
    return newest, max(1, int((newest - start.timestamp()) // 86_400))
