"""Web search through the daemon: what leaves the host, what comes back as sources, what it costs."""

import json
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jsonschema

from exai_emulator import Emulator, Fault, Persona, ScriptedCall
from support.daemons import StartDaemon
from support.mcp_websocket import McpSocket, mcp_socket
from support.results import whole


def searches(emulator: Emulator) -> list[Any]:
    """The search requests that reached the providers."""
    return [
        record
        for record in emulator.log.requests
        if record.path.endswith("/web_search") or "/tools/" in record.path
    ]


async def asks(socket: McpSocket, model: str, **arguments: Any) -> dict[str, Any]:
    result = await socket.tool("chat", {"prompt": "What is new on owls?", "model": model, **arguments})
    assert not result["isError"], result
    structured: dict[str, Any] = whole(result)
    return structured


async def schema_of(socket: McpSocket, tool: str) -> Any:
    tools = (await socket.request("tools/list"))["result"]["tools"]
    return next(each["outputSchema"] for each in tools if each["name"] == tool)


def row(tmp_path: Path) -> sqlite3.Row:
    with sqlite3.connect(tmp_path / "data" / "exai.sqlite") as database:
        database.row_factory = sqlite3.Row
        rows: list[sqlite3.Row] = database.execute("SELECT * FROM calls").fetchall()
    (only,) = rows
    return only


async def test_off_means_that_nothing_is_searched(start_daemon: StartDaemon, emulator: Emulator) -> None:
    async with start_daemon() as daemon, mcp_socket(daemon.mcp_ws) as socket:
        for model in ("glm-5.3", "kimi-k3", "kimi-k2.6"):
            for asked in ({}, {"use_websearch": False}):
                assert (await asks(socket, model, **asked))["citations"] == []
    assert len(emulator.log.requests) == 6
    for request in emulator.log.requests:
        assert request.path.endswith("/chat/completions")
        assert "tools" not in request.body
    assert not emulator.accounts["glm"].fees
    assert not emulator.accounts["kimi"].fees


async def test_glm_searches_on_its_side_and_its_sources_are_cited(
    start_daemon: StartDaemon, emulator: Emulator
) -> None:
    async with start_daemon() as daemon, mcp_socket(daemon.mcp_ws) as socket:
        result = await socket.tool(
            "chat", {"prompt": "What is new on owls?", "model": "glm-5.3", "use_websearch": True}
        )
        jsonschema.validate(result["structuredContent"], await schema_of(socket, "chat"))
        answer = whole(result)
    (request,) = emulator.log.requests
    assert [tool["type"] for tool in request.body["tools"]] == ["web_search"]
    assert len(answer["citations"]) == 2
    for citation in answer["citations"]:
        assert citation["title"].startswith("[emulated search_pro_jina] What is new on owls?")
        assert citation["url"].startswith("https://emulated.invalid/")
        assert datetime.fromisoformat(citation["published"]).year
    assert answer["cost_usd"] is None
    assert answer["cost"]["unknown"] == ["No dollar price of a GLM web search is published."]


async def test_a_configured_price_of_glms_search_makes_the_cost_known(
    start_daemon: StartDaemon, emulator: Emulator
) -> None:
    async with (
        start_daemon(EXAI_PROVIDERS__GLM__SEARCH_USD="0.01") as daemon,
        mcp_socket(daemon.mcp_ws) as socket,
    ):
        answer = await asks(socket, "glm-5.3", use_websearch=True)
    assert answer["cost"]["search"] == 0.01
    assert answer["cost_usd"] > 0.01
    assert emulator.accounts["glm"].fees == {"web_search": 1}


async def test_kimi_searches_by_a_tool_and_what_it_found_is_cited(
    start_daemon: StartDaemon, emulator: Emulator, tmp_path: Path
) -> None:
    heard: list[Any] = []
    async with start_daemon() as daemon, mcp_socket(daemon.mcp_ws) as socket:
        result = await socket.tool(
            "chat",
            {"prompt": "What is new on owls?", "model": "kimi-k3", "use_websearch": True},
            heard.append,
        )
    answer = whole(result)
    first, search, second = emulator.log.requests
    assert [tool["function"]["name"] for tool in first.body["tools"]] == ["web_search"]
    assert search.path == "/v1/tools/search"
    assert search.body == {"text_query": "What is new on owls?", "limit": 5}
    called, told = second.body["messages"][-2:]
    assert called["reasoning_content"]
    assert told["tool_call_id"] == called["tool_calls"][0]["id"] == "web_search:0"
    assert "https://emulated.invalid/1" in told["content"]
    assert [citation["url"] for citation in answer["citations"]] == [
        f"https://emulated.invalid/{number}" for number in range(1, 6)
    ]
    assert all(citation["title"] and citation["published"] for citation in answer["citations"])
    assert "- [emulated kimi-search] What is new on owls?, result 1 (20" in result["content"][0]["text"]
    assert answer["cost"]["search"] == 0.002
    assert answer["notes"] == []
    assert emulator.accounts["kimi"].fees == {"search": 1}
    assert "Searching the web: What is new on owls?" in [each["message"] for each in heard]
    journalled = row(tmp_path)
    assert journalled["cost_usd"] == answer["cost_usd"]
    assert journalled["input_tokens"] == answer["usage"]["input"]
    timings = answer["timings"]
    assert journalled["tools_ms"] == timings["tools_ms"] > 0
    latency = timings.pop("latency_ms")
    assert abs(sum(timings.values()) - latency) < 1.0


async def test_every_kimi_model_can_search(start_daemon: StartDaemon, emulator: Emulator) -> None:
    models = ("kimi-k3.1-pro", "kimi-k3.1-pro-highspeed", "kimi-k2.7-code", "kimi-k2.6")
    async with start_daemon() as daemon, mcp_socket(daemon.mcp_ws) as socket:
        for model in models:
            assert len((await asks(socket, model, use_websearch=True))["citations"]) == 5
    assert len(searches(emulator)) == len(models)


async def test_a_model_that_takes_over_searches_in_its_own_way(
    start_daemon: StartDaemon, emulator: Emulator
) -> None:
    emulator.faults.add("glm", Fault(error="1113", times=None))
    async with start_daemon() as daemon, mcp_socket(daemon.mcp_ws) as socket:
        answer = await asks(socket, "glm-5.3", use_websearch=True, fallback_models=["kimi-k3"])
    assert answer["model_used"] == "kimi-k3"
    assert [record.path for record in searches(emulator)] == ["/v1/tools/search"]
    assert len(answer["citations"]) == 5
    assert answer["cost"]["search"] == 0.002
    assert answer["cost_usd"] is not None


async def test_usage_is_the_sum_of_the_rounds(start_daemon: StartDaemon, emulator: Emulator) -> None:
    async with start_daemon() as daemon, mcp_socket(daemon.mcp_ws) as socket:
        plain = await asks(socket, "kimi-k3")
        searched = await asks(socket, "kimi-k3", use_websearch=True)
    assert searched["usage"]["reasoning"] == 2 * plain["usage"]["reasoning"]
    assert searched["usage"]["input"] > 2 * plain["usage"]["input"]


async def test_the_built_in_search_echoes_its_handle_exactly(
    start_daemon: StartDaemon, emulator: Emulator
) -> None:
    emulator.persona = Persona(searches=2)
    async with (
        start_daemon(EXAI_PROVIDERS__KIMI__WEB_SEARCH="builtin") as daemon,
        mcp_socket(daemon.mcp_ws) as socket,
    ):
        answer = await asks(socket, "kimi-k2.6", use_websearch=True)
    assert searches(emulator) == []
    first, second, third = emulator.log.of("kimi")
    declared = [{"type": "builtin_function", "function": {"name": "$web_search"}}]
    assert first.body["tools"] == second.body["tools"] == third.body["tools"] == declared
    for record in (second, third):
        called, echo = record.body["messages"][-2:]
        (call,) = called["tool_calls"]
        assert call["type"] == "builtin_function"
        assert called["reasoning_content"]
        assert echo == {
            "role": "tool",
            "tool_call_id": call["id"],
            "name": "$web_search",
            "content": call["function"]["arguments"],
        }
        assert json.loads(echo["content"])["usage"] == {"total_tokens": 1200}
    assert answer["usage"]["input"] > 3600
    assert answer["cost"]["search"] == 0.01
    assert emulator.accounts["kimi"].fees == {"$web_search": 2}
    assert answer["citations"] == []
    assert "does not name its sources" in answer["notes"][0]


async def test_the_built_in_search_is_for_models_that_have_it(
    start_daemon: StartDaemon, emulator: Emulator
) -> None:
    async with (
        start_daemon(EXAI_PROVIDERS__KIMI__WEB_SEARCH="builtin") as daemon,
        mcp_socket(daemon.mcp_ws) as socket,
    ):
        answer = await asks(socket, "kimi-k3", use_websearch=True)
    assert [record.path for record in searches(emulator)] == ["/v1/tools/search"]
    assert len(answer["citations"]) == 5


async def test_a_built_in_search_that_was_not_declared_is_neither_echoed_nor_charged(
    start_daemon: StartDaemon, emulator: Emulator
) -> None:
    emulator.persona = Persona(rounds=((ScriptedCall("$web_search"),),))
    for rule in ("kimi.web_search.declared", "kimi.web_search.echo"):
        emulator.rules.set(rule, on=False)
    async with start_daemon() as daemon, mcp_socket(daemon.mcp_ws) as socket:
        answer = await asks(socket, "kimi-k3", use_websearch=True)
    assert "There is no tool '$web_search'. There are: web_search." in answer["answer"]
    assert "search" not in answer["cost"]


async def test_a_search_loop_that_does_not_end_is_given_up(
    start_daemon: StartDaemon, emulator: Emulator
) -> None:
    emulator.persona = Persona(searches=50)
    async with (
        start_daemon(EXAI_PROVIDERS__KIMI__WEB_SEARCH="builtin", EXAI_TOOL_LOOP__MAX_ROUNDS="3") as daemon,
        mcp_socket(daemon.mcp_ws) as socket,
    ):
        result = await socket.tool("chat", {"prompt": "Search.", "model": "kimi-k2.6", "use_websearch": True})
    assert result["isError"]
    assert result["_meta"]["exai/error"]["code"] == "tool_loop_exceeded"
    assert "the limit of 3 rounds" in result["content"][0]["text"]
    assert len(emulator.log.of("kimi")) == 4


async def test_several_searches_of_one_round_run_and_are_cited_once_each(
    start_daemon: StartDaemon, emulator: Emulator
) -> None:
    emulator.persona = Persona(
        rounds=(
            (
                ScriptedCall("web_search", {"query": "owls", "count": 2}),
                ScriptedCall("web_search", {"query": "hawks", "count": 3}),
            ),
        )
    )
    async with start_daemon() as daemon, mcp_socket(daemon.mcp_ws) as socket:
        answer = await asks(socket, "kimi-k3", use_websearch=True)
    assert sorted(record.body["text_query"] for record in searches(emulator)) == ["hawks", "owls"]
    assert len(answer["citations"]) == 3
    assert answer["cost"]["search"] == 0.004


async def test_a_search_that_fails_is_told_to_the_model_and_to_the_caller(
    start_daemon: StartDaemon, emulator: Emulator
) -> None:
    emulator.faults.add("kimi", Fault(error="empty_403", path="/tools/search", times=None))
    async with start_daemon() as daemon, mcp_socket(daemon.mcp_ws) as socket:
        answer = await asks(socket, "kimi-k3", use_websearch=True)
    assert "Tools said: Error: " in answer["answer"]
    (note,) = answer["notes"]
    assert note.startswith("A web search failed. ")
    assert "HTTP 403" in note
    assert answer["citations"] == []
    assert "search" not in answer["cost"]
    assert len(searches(emulator)) == 1


async def test_a_limited_search_is_made_again(start_daemon: StartDaemon, emulator: Emulator) -> None:
    emulator.faults.add("kimi", Fault(error="tools_rate_limited", path="/tools/search"))
    async with start_daemon() as daemon, mcp_socket(daemon.mcp_ws) as socket:
        answer = await asks(socket, "kimi-k3", use_websearch=True)
    first, second = searches(emulator)
    assert (first.status, second.status) == (429, 200)
    assert len(answer["citations"]) == 5


async def test_a_later_round_that_fails_is_asked_again_and_the_search_is_not(
    start_daemon: StartDaemon, emulator: Emulator
) -> None:
    emulator.faults.add("kimi", Fault(before_headers_ms=300, path="/tools/search"))
    asked = {"prompt": "What is new on owls?", "model": "kimi-k3", "use_websearch": True}
    async with (
        start_daemon(EXAI_RETRY__OVERLOAD_BACKOFF_S="0.05") as daemon,
        mcp_socket(daemon.mcp_ws) as socket,
    ):
        _, answer = await socket.begin_tool("chat", asked, lambda _: None)
        await emulator.log.wait_for(lambda record: record.path.endswith("/tools/search"))
        emulator.faults.add("kimi", Fault(error="overloaded"))
        result = (await answer)["result"]
    assert not result["isError"]
    assert [record.status for record in emulator.log.of("kimi")] == [200, 429, 200]
    assert len(searches(emulator)) == 1
    assert whole(result)["cost"]["search"] == 0.002


async def test_a_model_that_does_not_search_says_so(start_daemon: StartDaemon, emulator: Emulator) -> None:
    emulator.persona = Persona("fixed", text="I know that.")
    async with start_daemon() as daemon, mcp_socket(daemon.mcp_ws) as socket:
        answer = await asks(socket, "kimi-k3", use_websearch=True)
    assert searches(emulator) == []
    assert answer["notes"] == ["kimi-k3 answered without searching the web."]


async def test_a_conversation_goes_on_after_a_search(start_daemon: StartDaemon, emulator: Emulator) -> None:
    async with start_daemon() as daemon, mcp_socket(daemon.mcp_ws) as socket:
        first = await asks(socket, "kimi-k3", use_websearch=True)
        second = await asks(socket, "kimi-k3", continuation_id=first["continuation_id"])
    assert second["context"]["exchanges_included"] == 1
    last = emulator.log.of("kimi")[-1].body
    assert "tools" not in last
    assert [message["role"] for message in last["messages"]] == ["system", "user", "assistant", "user"]


async def test_the_search_tool_finds_pages(
    start_daemon: StartDaemon, emulator: Emulator, tmp_path: Path
) -> None:
    async with start_daemon() as daemon, mcp_socket(daemon.mcp_ws) as socket:
        result = await socket.tool("search", {"query": " owls ", "count": 3})
        jsonschema.validate(result["structuredContent"], await schema_of(socket, "search"))
    found = whole(result)
    (request,) = emulator.log.requests
    assert request.path == "/v1/tools/search"
    assert request.body == {"text_query": "owls", "limit": 3}
    assert (found["provider"], found["engine"], found["cost_usd"]) == ("kimi", "search", 0.002)
    assert [page["url"] for page in found["results"]] == [
        f"https://emulated.invalid/{number}" for number in (1, 2, 3)
    ]
    assert found["results"][0]["title"] == "[emulated kimi-search] owls, result 1"
    assert datetime.fromisoformat(found["results"][0]["published"]).year
    text = result["content"][0]["text"]
    assert text.startswith("[1] [emulated kimi-search] owls, result 1 (20")
    assert "https://emulated.invalid/3" in text
    journalled = row(tmp_path)
    assert (journalled["tool"], journalled["outcome"]) == ("search", "ok")
    assert (journalled["provider"], journalled["model_used"]) == ("kimi", "search")
    assert journalled["cost_usd"] == 0.002
    timings = found["timings"]
    latency = timings.pop("latency_ms")
    assert abs(sum(timings.values()) - latency) < 1.0


async def test_filters_reach_each_provider_in_its_own_words(
    start_daemon: StartDaemon, emulator: Emulator
) -> None:
    asked = {"query": "owls", "recency": "week", "domains": ["https://owls.example/"], "count": 2}
    async with start_daemon() as daemon, mcp_socket(daemon.mcp_ws) as socket:
        kimi = whole(await socket.tool("search", asked))
        glm = whole(await socket.tool("search", {**asked, "engine": "glm"}))
    first, second = emulator.log.requests
    today = datetime.now(UTC)
    assert first.path == "/v1/tools/search_pro"
    assert first.body == {
        "text_query": "owls",
        "limit": 2,
        "sites": ["owls.example"],
        "time_window": {
            "start": f"{today - timedelta(days=7):%Y-%m-%d}",
            "end": f"{today:%Y-%m-%d}",
        },
    }
    assert second.path == "/api/paas/v4/web_search"
    assert second.body == {
        "search_engine": "search-prime",
        "search_query": "owls",
        "count": 2,
        "search_recency_filter": "oneWeek",
        "search_domain_filter": "owls.example",
    }
    for found in (kimi, glm):
        assert {urlsplit(page["url"]).hostname for page in found["results"]} == {"owls.example"}
    assert (kimi["cost_usd"], glm["cost_usd"]) == (0.003, None)


async def test_nothing_found_is_no_error_and_costs_nothing(
    start_daemon: StartDaemon, emulator: Emulator
) -> None:
    async with start_daemon() as daemon, mcp_socket(daemon.mcp_ws) as socket:
        result = await socket.tool("search", {"query": "emulated-no-results"})
    assert whole(result)["results"] == []
    assert whole(result)["cost_usd"] == 0
    assert "Nothing was found" in result["content"][0]["text"]


async def test_auto_takes_the_next_engine_and_says_so(start_daemon: StartDaemon, emulator: Emulator) -> None:
    emulator.faults.add("kimi", Fault(error="empty_403", path="/tools/search", times=None))
    async with start_daemon() as daemon, mcp_socket(daemon.mcp_ws) as socket:
        found = whole(await socket.tool("search", {"query": "owls"}))
        named = await socket.tool("search", {"query": "owls", "engine": "kimi"})
    assert found["provider"] == "glm"
    assert found["notes"] == ["kimi could not search (provider_denied); glm was asked."]
    assert named["isError"]
    assert named["_meta"]["exai/error"]["code"] in {"provider_denied", "circuit_open"}
    assert "org-emulated" not in json.dumps(named)


async def test_a_search_that_cannot_be_is_not_sent(start_daemon: StartDaemon, emulator: Emulator) -> None:
    async with start_daemon() as daemon, mcp_socket(daemon.mcp_ws) as socket:
        for arguments, code, says in (
            ({"query": "  "}, "bad_arguments", "blank"),
            ({"query": "x", "domains": ["a b"]}, "bad_arguments", "no domain"),
            ({"query": "x", "count": 21}, "bad_arguments", "count"),
            ({"query": "x", "recency": "decade"}, "bad_arguments", "recency"),
            (
                {"query": "x", "engine": "glm", "domains": ["a.example", "b.example"]},
                "ability_missing",
                "one domain",
            ),
        ):
            result = await socket.tool("search", arguments)
            assert result["_meta"]["exai/error"]["code"] == code
            assert says in result["content"][0]["text"]
    assert emulator.log.requests == []


async def test_cancelling_a_search_closes_its_connection(
    start_daemon: StartDaemon, emulator: Emulator
) -> None:
    emulator.faults.add("kimi", Fault(before_headers_ms=60_000, path="/tools/search"))
    async with start_daemon() as daemon, mcp_socket(daemon.mcp_ws) as socket:
        number, _ = await socket.begin_tool("search", {"query": "owls"})
        await emulator.log.wait_for(lambda record: record.path.endswith("/tools/search"))
        await socket.cancel(number)
        await emulator.log.wait_for(lambda record: record.outcome == "disconnected")
