"""Both services search the web, in their own forms and with their own errors."""

import re
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from exai_emulator import AccountState, Emulator, Fault
from exai_emulator.glm.search import RULES as GLM_RULES
from exai_emulator.kimi.rest_tools import RULES as KIMI_RULES

from .conftest import Reply, key_of

Call = Callable[..., Awaitable[Reply]]
WEB = {"search_query": "owls", "search_engine": "search-prime"}


@pytest.fixture
def call(emulator: Emulator, http: Any) -> Call:
    """Post to an endpoint: `call("kimi", "/tools/search", text_query="owls")`; None leaves a field out."""

    async def post(
        door: str, path: str, *, key: str | None = None, headers: Any = None, **fields: Any
    ) -> Reply:
        body = {name: value for name, value in fields.items() if value is not None}
        authorized = {"Authorization": f"Bearer {key or key_of(emulator, door)}", **(headers or {})}
        async with http.post(
            getattr(emulator.addresses, door) + path, json=body, headers=authorized
        ) as response:
            return Reply(response.status, response.headers, await response.read())

    return post


async def glm(call: Call, **fields: Any) -> Reply:
    return await call("glm", "/web_search", **{**WEB, **fields})


async def kimi(call: Call, tool: str = "search", **fields: Any) -> Reply:
    return await call("kimi", f"/tools/{tool}", **{"text_query": "owls", **fields})


async def test_glm_answers_for_its_own_platform(call: Call) -> None:
    prime = (await glm(call, count=3)).json
    assert set(prime) == {"id", "created", "search_result"}
    assert len(prime["search_result"]) == 3
    assert set(prime["search_result"][0]) == {
        "title",
        "content",
        "link",
        "media",
        "icon",
        "refer",
        "publish_date",
    }
    assert prime["search_result"][0]["title"].startswith("[emulated search-prime] ")
    assert len((await glm(call)).json["search_result"]) == 10
    mainland = (await glm(call, search_engine="search_pro", request_id="mine-12")).json
    assert mainland["request_id"] == "mine-12"
    assert set(mainland["search_intent"][0]) == {"query", "intent", "keywords"}
    assert {result["link"] for result in mainland["search_result"]} == {""}


async def test_glm_filters(call: Call) -> None:
    found = (
        await glm(call, search_domain_filter="owls.example", search_recency_filter="oneWeek", count=20)
    ).json["search_result"]
    assert {result["media"] for result in found} == {"owls.example"}
    oldest = min(result["publish_date"] for result in found)
    assert oldest >= f"{datetime.now(UTC) - timedelta(days=7):%Y-%m-%d}"


async def test_glm_searches_in_a_chat_where_it_is_asked_to(emulator: Emulator, ask: Any) -> None:
    def tool(**fields: Any) -> Any:
        search = {"search_engine": "search_pro_jina", "search_result": True, **fields}
        return [{"type": "web_search", "web_search": search}]

    whole = (await ask("glm", tools=tool(count=4))).json
    assert [result["refer"] for result in whole["web_search"]] == ["ref_1", "ref_2", "ref_3", "ref_4"]
    assert "tool_calls" not in whole["choices"][0]["message"]
    assert "web_search" not in (await ask("glm", tools=tool(search_result=False))).json
    assert "web_search" not in (await ask("glm", tools=tool(enable=False))).json
    assert emulator.accounts["glm"].fees == {"web_search": 2}
    for first in (False, True):
        emulator.rules.set("glm.web_search.first_chunk", on=first)
        *chunks, done = (await ask("glm", tools=tool(), stream=True)).frames
        assert done == "[DONE]"
        assert [place for place, chunk in enumerate(chunks) if "web_search" in chunk] == [
            0 if first else len(chunks) - 1
        ]


async def test_glm_reads_a_page(emulator: Emulator, call: Call) -> None:
    page = (await call("glm", "/reader", url="https://owls.example/1")).json
    assert set(page) == {"id", "created", "request_id", "model", "reader_result"}
    assert "[emulated reader]" in page["reader_result"]["content"]
    assert emulator.accounts["glm"].fees == {"reader": 1}


GLM_REFUSALS: dict[str, tuple[str, dict[str, Any], int, str]] = {
    "glm.search.query": ("/web_search", {**WEB, "search_query": " "}, 400, "1214"),
    "glm.search.engine": ("/web_search", {**WEB, "search_engine": None}, 400, "1214"),
    "glm.search.engine_known": ("/web_search", {**WEB, "search_engine": "altavista"}, 500, "1702"),
    "glm.search.count": ("/web_search", {**WEB, "count": 51}, 400, "1214"),
    "glm.search.recency": ("/web_search", {**WEB, "search_recency_filter": "all"}, 400, "1214"),
    "glm.search.domain": ("/web_search", {**WEB, "search_domain_filter": ["a.example"]}, 400, "1214"),
    "glm.search.balance": ("/web_search", WEB, 429, "1113"),
    "glm.reader.url": ("/reader", {"url": "owls"}, 400, "1214"),
}


@pytest.mark.parametrize("rule", GLM_RULES, ids=lambda rule: rule.id)
async def test_glm_refuses(emulator: Emulator, call: Call, rule: Any) -> None:
    path, fields, status, code = GLM_REFUSALS[rule.id]
    if rule.id.endswith("balance"):
        emulator.accounts["glm"].state = AccountState(balance=0)
    refused = await call("glm", path, **fields)
    assert (refused.status, refused.json["error"]["code"]) == (status, code)
    assert not emulator.accounts["glm"].fees


async def test_kimi_searches(emulator: Emulator, call: Call) -> None:
    found = (await kimi(call)).json["search_results"]
    assert len(found) == 5
    assert set(found[0]) == {
        "title",
        "url",
        "snippet",
        "site_name",
        "date",
        "authority",
        "icon",
        "mime",
    }
    assert found[0]["title"].startswith("[emulated kimi-search] ")
    assert (await kimi(call, limit=1, include_content=True)).json["search_results"][0]["text"]
    pro = (
        await kimi(
            call,
            "search_pro",
            limit=20,
            sites=["a.example", "b.example"],
            time_window={"start": "2026-01", "end": "2026-02-03"},
        )
    ).json["search_results"]
    assert {page["site_name"] for page in pro} == {"a.example", "b.example"}
    assert all("2026-01-01" <= page["date"] <= "2026-02-03" for page in pro)
    assert pro[0]["chunks"][0]["score"] == 0.9
    page = (await call("kimi", "/tools/fetch", url="https://owls.example/1")).json
    assert set(page) == {"url", "title", "markdown"}
    assert emulator.accounts["kimi"].fees == {"search": 2, "search_pro": 1, "fetch": 1}


async def test_finding_nothing_costs_nothing_at_kimi(emulator: Emulator, call: Call) -> None:
    assert (await kimi(call, text_query="emulated-no-results")).json == {"search_results": []}
    assert (await glm(call, search_query="emulated-no-results")).json["search_result"] == []
    assert not emulator.accounts["kimi"].fees


KIMI_REFUSALS: dict[str, tuple[str, dict[str, Any], int, str | None]] = {
    "kimi.tools.account": ("search", {}, 403, None),
    "kimi.search.query": ("search", {"text_query": None}, 400, "invalid_request"),
    "kimi.search.limit": ("search", {"limit": 21}, 400, "invalid_request"),
    "kimi.search.timeout": ("search", {"timeout_seconds": 61}, 400, "invalid_request"),
    "kimi.search.include_content": ("search", {"include_content": "yes"}, 400, "invalid_request"),
    "kimi.search.only_pro": ("search", {"sites": ["a.example"]}, 400, "invalid_request"),
    "kimi.search.sites": ("search_pro", {"sites": ["a (b)"]}, 400, "invalid_request"),
    "kimi.search.window": ("search_pro", {"time_window": {"start": "2026-13"}}, 400, "invalid_request"),
    "kimi.fetch.url": ("fetch", {"url": "ftp://owls.example"}, 400, "invalid_url"),
    "kimi.fetch.page": ("fetch", {"url": "https://owls.example/emulated-no-page"}, 404, "markdown_not_found"),
}


@pytest.mark.parametrize("rule", KIMI_RULES, ids=lambda rule: rule.id)
async def test_kimi_refuses(emulator: Emulator, call: Call, rule: Any) -> None:
    tool, fields, status, kind = KIMI_REFUSALS[rule.id]
    if kind is None:
        emulator.accounts["kimi"].state = AccountState(balance=0)
    refused = await kimi(call, tool, **fields)
    assert refused.status == status
    if kind is None:
        assert refused.content == b""
    else:
        assert refused.json["error"]["type"] == kind
    assert refused.headers["X-Msh-Chat-Id"].startswith("toolgw-")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "10.1.2.3", "[::1]", "printer.internal"])
async def test_kimi_fetches_nothing_inside_a_network(call: Call, host: str) -> None:
    refused = await call("kimi", "/tools/fetch", url=f"http://{host}/")
    assert (refused.status, refused.json["error"]["type"]) == (403, "security_risk")


async def test_a_wrong_key_has_an_empty_body_at_kimis_tools_alone(call: Call) -> None:
    refused = await kimi(call, key="sk-wrong")
    assert (refused.status, refused.content) == (401, b"")
    assert (await call("kimi", "/chat/completions", key="sk-wrong")).json["error"]["type"]


async def test_kimis_tools_are_tracked(call: Call) -> None:
    own = await kimi(call, headers={"X-Msh-Track-Id": "mine"})
    assert (own.headers["X-Msh-Track-Id"], own.headers["X-Msh-Chat-Id"]) == ("mine", "toolgw-mine")
    assert re.fullmatch(r"[\da-f-]{36}", (await kimi(call)).headers["X-Msh-Track-Id"])


async def test_kimis_rate_limit_says_when_it_resets(emulator: Emulator, call: Call) -> None:
    emulator.faults.add("kimi", Fault(error="tools_rate_limited", path="/tools/search"))
    refused = await kimi(call)
    assert (refused.status, refused.json["error"]["type"]) == (429, "rate_limited")
    assert (refused.headers["X-RateLimit-Limit"], refused.headers["X-RateLimit-Remaining"]) == ("10", "0")
    assert abs(int(refused.headers["X-RateLimit-Reset"]) - time.time()) < 5
    assert (await kimi(call)).status == 200
    assert emulator.accounts["kimi"].fees == {"search": 1}


@pytest.mark.parametrize(("code", "status"), [("1701", 429), ("1702", 500), ("1703", 500)])
async def test_glms_search_errors(emulator: Emulator, call: Call, code: str, status: int) -> None:
    emulator.faults.add("glm", Fault(error=code, path="/web_search"))
    refused = await glm(call)
    assert (refused.status, refused.json["error"]["code"]) == (status, code)
