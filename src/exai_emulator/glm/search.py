"""GLM's web search, in a chat and on its own, and its reader of pages."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from exai_emulator.calls import ChatCall, Refusal
from exai_emulator.endpoints import Endpoint, EndpointRequest, Reply
from exai_emulator.found_pages import FoundPage, find_pages
from exai_emulator.rules import Behaviour, EndpointRule, RuleBook
from exai_emulator.shapes import as_int, tool_entries

__all__ = ["BEHAVIOURS", "FIRST_CHUNK", "RULES", "GlmSearch", "search_in_chat"]

FIRST_CHUNK = "glm.web_search.first_chunk"

_PRIME = "search-prime"
_LINKLESS = frozenset({"search_std", "search_pro"})
_MAINLAND = frozenset(
    {*_LINKLESS, "search_pro_sogou", "search_pro_quark", "search_pro_jina", "search_pro_bing"}
)
_DAYS = {"oneDay": 1, "oneWeek": 7, "oneMonth": 30, "oneYear": 365, "noLimit": 1_000}
_COUNT = 10
_IN_CHAT = 2


def _bad(message: str) -> Refusal:
    return Refusal("1214", message)


def _text(body: Mapping[str, Any], field: str) -> str:
    value = body.get(field)
    return value if isinstance(value, str) else ""


def _body(request: EndpointRequest) -> Mapping[str, Any]:
    return request.json if isinstance(request.json, dict) else {}


def _query(request: EndpointRequest) -> Refusal | None:
    return None if _text(_body(request), "search_query").strip() else _bad("search_query cannot be empty")


def _engine(request: EndpointRequest) -> Refusal | None:
    return None if _text(_body(request), "search_engine") else _bad("search_engine cannot be empty")


def _engine_known(request: EndpointRequest) -> Refusal | None:
    known = _text(_body(request), "search_engine") in {_PRIME, *_MAINLAND}
    return None if known else Refusal("1702")


def _count(request: EndpointRequest) -> Refusal | None:
    value = _body(request).get("count", _COUNT)
    number = as_int(value)
    return None if number is not None and 1 <= number <= 50 else _bad("count is between 1 and 50")


def _recency(request: EndpointRequest) -> Refusal | None:
    known = _body(request).get("search_recency_filter", "noLimit") in _DAYS
    return None if known else _bad(f"search_recency_filter is one of {', '.join(_DAYS)}")


def _domain(request: EndpointRequest) -> Refusal | None:
    value = _body(request).get("search_domain_filter", "")
    return None if isinstance(value, str) else _bad("search_domain_filter is one domain")


def _balance(request: EndpointRequest) -> Refusal | None:
    return Refusal("1113") if request.account.state.balance <= 0 else None


def _url(request: EndpointRequest) -> Refusal | None:
    parts = urlsplit(_text(_body(request), "url"))
    return None if parts.scheme in ("http", "https") and parts.netloc else _bad("url is invalid")


_SEARCH_RULES = (
    EndpointRule("glm.search.query", "D", "a search without `search_query`: 400/1214", _query),
    EndpointRule("glm.search.engine", "D", "a search without `search_engine`: 400/1214", _engine),
    EndpointRule("glm.search.engine_known", "?", "an unknown `search_engine`: 1702", _engine_known),
    EndpointRule("glm.search.count", "D", "`count` outside 1 to 50: 400/1214", _count),
    EndpointRule("glm.search.recency", "D", "an unknown `search_recency_filter`: 400/1214", _recency),
    EndpointRule("glm.search.domain", "?", "`search_domain_filter` that is no text: 400/1214", _domain),
    EndpointRule("glm.search.balance", "?", "a search without balance: 429/1113", _balance),
)
_READER_RULES = (EndpointRule("glm.reader.url", "?", "a `url` that is none: 400/1214", _url),)
RULES = (*_SEARCH_RULES, *_READER_RULES)

BEHAVIOURS = (
    Behaviour("glm.web_search.results", "D", "`search_result: true` adds a top-level `web_search` array"),
    Behaviour(
        FIRST_CHUNK,
        "?",
        "a stream brings the `web_search` array on its first chunk instead of its last",
        switchable=True,
        default=False,
    ),
    Behaviour("glm.search.intent", "D", "mainland engines add `search_intent` and `request_id`"),
    Behaviour("glm.search.linkless", "DL", "results of `search_std` and `search_pro` have empty links"),
    Behaviour("glm.search.errors", "D", "1701 (concurrency), 1702 (no engine) and 1703 (no data) are errors"),
    Behaviour("glm.reader", "DS", "`POST /reader` gives a page's text, title and description"),
)


def search_in_chat(call: ChatCall) -> list[dict[str, str]] | None:
    """What the chat's `web_search` tool found; `None` where it was not searched.

    The list is empty where the request does not want to see the results.
    """
    for tool in tool_entries(call.body):
        search = (
            tool.get("web_search") if isinstance(tool, dict) and tool.get("type") == "web_search" else None
        )
        if not isinstance(search, dict) or not search.get("enable", True):
            continue
        if search.get("search_result") is not True:
            return []
        asked = _text(search, "search_query") or next(
            (text for role, text in reversed(call.texts) if role == "user"), ""
        )
        site = _text(search, "search_domain_filter")
        pages = find_pages(
            _text(search, "search_engine"),
            asked,
            as_int(search.get("count")) or _IN_CHAT,
            sites=[site] if site else [],
            newest=call.account.clock.now(),
            days=_DAYS.get(_text(search, "search_recency_filter"), 1_000),
        )
        return [
            _result(number, page, _text(search, "search_engine"))
            for number, page in enumerate(pages, start=1)
        ]
    return None


def _result(number: int, page: FoundPage, engine: str) -> dict[str, str]:
    return {
        "title": page.title,
        "content": page.text,
        "link": "" if engine in _LINKLESS else page.url,
        "media": page.site,
        "icon": "",
        "refer": f"ref_{number}",
        "publish_date": page.date,
    }


class GlmSearch:
    """The endpoints `/web_search` and `/reader`."""

    def __init__(self, rules: RuleBook) -> None:
        self._rules = rules
        self.endpoints: tuple[tuple[str, str, Endpoint], ...] = (
            ("POST", "/web_search", self._search),
            ("POST", "/reader", self._read),
        )

    def _search(self, request: EndpointRequest) -> Reply | Refusal:
        if (refusal := self._rules.first_of(_SEARCH_RULES, request)) is not None:
            return refusal
        body = _body(request)
        query, engine = _text(body, "search_query"), _text(body, "search_engine")
        site = _text(body, "search_domain_filter")
        pages = find_pages(
            engine,
            query,
            as_int(body.get("count")) or _COUNT,
            sites=[site] if site else [],
            newest=request.account.clock.now(),
            days=_DAYS[_text(body, "search_recency_filter") or "noLimit"],
        )
        identity = request.identity
        found: dict[str, Any] = {
            "id": identity.glm_id,
            "created": identity.created,
            "search_result": [_result(number, page, engine) for number, page in enumerate(pages, start=1)],
        }
        if engine != _PRIME:
            intent = {"query": query, "intent": "SEARCH_ALL", "keywords": query}
            found |= {
                "request_id": _text(body, "request_id") or identity.glm_id,
                "search_intent": [intent],
            }
        return Reply(found, commit=lambda: request.account.fees.update(["web_search"]))

    def _read(self, request: EndpointRequest) -> Reply | Refusal:
        if (refusal := self._rules.first_of(_READER_RULES, request)) is not None:
            return refusal
        url = _text(_body(request), "url")
        identity = request.identity
        page = {
            "title": f"[emulated reader] {url}",
            "description": "An emulated page.",
            "content": f"# [emulated reader] {url}\n\nThe page at {url} has this emulated text.",
            "url": url,
            "metadata": {},
            "external": {},
        }
        return Reply(
            {
                "id": identity.glm_id,
                "created": identity.created,
                "request_id": _text(_body(request), "request_id") or identity.glm_id,
                "model": "web-reader",
                "reader_result": page,
            },
            commit=lambda: request.account.fees.update(["reader"]),
        )
