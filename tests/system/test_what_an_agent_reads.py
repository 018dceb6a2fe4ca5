"""What a result costs an agent that reads it, whether its client hands it the text or the structure."""

import json
from pathlib import Path
from typing import Any

import pytest

from exai.conversations.estimates import estimate_tokens
from exai_emulator import Emulator, Fault, Persona
from support.daemons import StartDaemon
from support.mcp_websocket import McpSocket, mcp_socket
from support.results import whole
from support.waiting import wait_until

BESIDE_AN_ANSWER = 120
WHOLE = 1_500
"""What `models` and `status` may cost."""
HANDLE_WITHIN = 100
"""Characters, from either end of a long result."""

SECTIONS = ("service", "providers", "limits", "jobs", "duties", "usage", "errors")


def text_of(result: dict[str, Any]) -> str:
    assert not result["isError"], result
    text: str = result["content"][0]["text"]
    return text


def costs(result: dict[str, Any]) -> dict[str, int]:
    """Tokens of both forms, counted as those of the list of tools are."""
    return {
        "text": estimate_tokens(text_of(result)),
        "structure": estimate_tokens(json.dumps(result["structuredContent"])),
    }


def beside_the_answer(result: dict[str, Any]) -> dict[str, int]:
    answer = result["structuredContent"]["answer"]
    spent = costs(result)
    return {
        "text": spent["text"] - estimate_tokens(answer),
        "structure": spent["structure"] - estimate_tokens(json.dumps(answer)),
    }


def said_in(value: Any) -> list[str]:
    """Every text in a structure."""
    if isinstance(value, dict):
        return [text for field in value.values() for text in said_in(field)]
    if isinstance(value, list):
        return [text for item in value for text in said_in(item)]
    return [value] if isinstance(value, str) else []


async def test_beside_an_answer_an_agent_reads_little(
    start_daemon: StartDaemon, emulator: Emulator, tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text("heron " * 200)
    settings = {"EXAI_FILES__ROOTS": f'["{tmp_path}"]', "EXAI_RETRY__MAX_RETRIES": "0"}
    async with start_daemon(**settings) as daemon, mcp_socket(daemon.mcp_ws) as socket:
        first = await socket.tool("chat", {"prompt": "Hello.", "model": "kimi-k3"})
        handle = first["structuredContent"]["continuation_id"]
        told = [
            first,
            await socket.tool("chat", {"prompt": "Go on.", "continuation_id": handle}),
            await socket.tool("chat", {"prompt": "Hi.", "model": "glm-5.3", "effort": "max"}, lambda _: None),
            await socket.tool("chat", {"prompt": "Read.", "absolute_file_paths": [str(tmp_path / "a.txt")]}),
            await socket.tool("chat", {"prompt": "Hello.", "model": "glm-4.7-flash", "effort": "none"}),
        ]
        emulator.faults.add("glm", Fault(error="500", times=None))
        fallback = {"prompt": "Hello.", "model": "glm-5.3", "fallback_models": ["kimi-k3"]}
        told.append(await socket.tool("chat", fallback))
    assert [
        each for result in told for each in beside_the_answer(result).values() if each > BESIDE_AN_ANSWER
    ] == []
    assert max(beside_the_answer(first).values()) <= 60, "an answer of which nothing is unusual"
    assert list(first["structuredContent"]) == [
        "continuation_id",
        "model_used",
        "exchanges_remaining",
        "answer",
    ]
    (note,) = told[-1]["structuredContent"]["notes"]
    assert "glm-5.3" in note
    assert "kimi-k3" in note


async def test_text_and_structure_say_the_same(start_daemon: StartDaemon, emulator: Emulator) -> None:
    async with start_daemon() as daemon, mcp_socket(daemon.mcp_ws) as socket:
        calls: tuple[tuple[str, dict[str, Any]], ...] = (
            ("chat", {"prompt": "Owls?", "model": "glm-5.3", "use_websearch": True}),
            ("search", {"query": "owls", "engine": "kimi"}),
            ("search", {"query": "owls", "engine": "glm"}),
            ("models", {}),
            ("models", {"model": "kimi-k3"}),
            ("status", {"id": "last"}),
        )
        for name, arguments in calls:
            result = await socket.tool(name, arguments)
            text = text_of(result)
            missing = [each for each in said_in(result["structuredContent"]) if each not in text]
            assert missing == [], (name, arguments)
        emulator.persona = Persona(kind="long", tokens=50)
        cut = await socket.tool("chat", {"prompt": "A story.", "effort": "none", "max_answer_tokens": 10})
    assert cut["structuredContent"]["finish_reason"] == "length"
    assert "cut" in text_of(cut).partition("[emulated")[0], "before the answer"


async def groups_of(socket: McpSocket) -> bool:
    errors = await socket.tool("status", {"section": "errors"})
    return bool(errors["structuredContent"]["groups"])


async def test_models_and_status_are_read_at_once_however_bad_it_looks(
    start_daemon: StartDaemon, emulator: Emulator
) -> None:
    models = [f"model-of-a-long-name-{number}" for number in range(40)]
    custom = {
        f"EXAI_PROVIDERS__CUSTOM__HOUSE{house}__{name}": value
        for house in range(3)
        for name, value in (
            ("BASE_URL", emulator.addresses.custom),
            ("API_KEY", "house-key"),
            ("MODELS", json.dumps([{"name": model, "context_tokens": 100_000} for model in models])),
        )
    }
    async with (
        start_daemon(EXAI_RETRY__MAX_RETRIES="0", **custom) as daemon,
        mcp_socket(daemon.mcp_ws) as socket,
    ):
        for model in ("glm-5.3", "glm-5.2", "kimi-k3", "kimi-k2.6"):
            provider = model.partition("-")[0]
            emulator.faults.add(provider, Fault(error={"glm": "500", "kimi": "server_error"}[provider]))
            for _ in range(2):
                await socket.tool("chat", {"prompt": "Hello.", "model": model})
        emulator.faults.add("kimi", Fault(error="quota", times=None))
        for _ in range(12):
            await socket.tool("chat", {"prompt": "Hello.", "model": "kimi-k3"})
        await wait_until(lambda: groups_of(socket), within=30, what="what failed is counted")
        listed = await socket.tool("models")
        reports = {"all": await socket.tool("status")}
        for section in SECTIONS:
            reports[section] = await socket.tool("status", {"section": section})
        reports["a call"] = await socket.tool("status", {"id": "last"})
        house = await socket.tool("models", {"provider": "house1"})
        one = await socket.tool("models", {"model": f"house2/{models[-1]}"})
    spent = {name: max(costs(result).values()) for name, result in reports.items()}
    spent |= {"models": max(costs(listed).values()), "house": max(costs(house).values())}
    assert {name: tokens for name, tokens in spent.items() if tokens > WHOLE} == {}
    assert len(listed["structuredContent"]["providers"]) == 5
    assert all(provider["models"] for provider in listed["structuredContent"]["providers"])
    assert "more models are not shown" in listed["structuredContent"]["note"]
    assert "more models are not shown" in text_of(listed)
    assert sum(len(provider["models"]) for provider in whole(listed)["providers"]) > 120, "the report has all"
    ((told,),) = (provider["models"] for provider in one["structuredContent"]["providers"])
    assert told["details"]["breaker"] == {"state": "closed"}


async def test_a_long_answer_has_its_handle_first_and_last(
    start_daemon: StartDaemon, emulator: Emulator
) -> None:
    emulator.persona = Persona("fixed", text="herons wade. " * 4_600)
    async with start_daemon() as daemon, mcp_socket(daemon.mcp_ws) as socket:
        result = await socket.tool("chat", {"prompt": "All about herons."})
        entry = {tool["name"]: tool for tool in (await socket.request("tools/list"))["result"]["tools"]}[
            "chat"
        ]
    answer = result["structuredContent"]
    assert len(answer["answer"]) < 40_000
    assert answer["more"][0]["id"].startswith("file_"), "the rest is read by `files`"
    for form in (text_of(result), json.dumps(answer)):
        assert answer["continuation_id"] in form[:HANDLE_WITHIN]
        assert answer["continuation_id"] in form[-HANDLE_WITHIN:]
    assert entry["_meta"]["anthropic/maxResultSizeChars"] == 500_000


async def call_of(socket: McpSocket, name: str) -> dict[str, Any]:
    """What `status` tells of a call, by its id."""
    result = await socket.tool("status", {"id": name})
    assert not result["isError"], result
    call: dict[str, Any] = result["structuredContent"]["call"]
    return call


@pytest.mark.parametrize("streamed", [False, True])
async def test_status_tells_of_one_call_what_its_report_said(
    start_daemon: StartDaemon, streamed: bool
) -> None:
    listener = (lambda _: None) if streamed else None
    async with start_daemon() as daemon, mcp_socket(daemon.mcp_ws) as socket:
        answer = await socket.tool("chat", {"prompt": "Hello.", "model": "glm-5.3"}, listener)
        report = answer["_meta"]["exai/report"]
        told = await call_of(socket, report["call_id"])
        assert (told["outcome"], told["model_used"], told["tool"]) == ("ok", "glm-5.3", "chat")
        assert told["continuation_id"] == answer["structuredContent"]["continuation_id"]
        assert told["timings"] == report["timings"]
        assert told["cost_usd"] == report["cost_usd"] > 0
        assert told["report"]["cost"] == report["cost"]
        assert told["report"]["context"]["tokens_expected"] == report["context"]["tokens_expected"]
        assert told["input_tokens"] == report["usage"]["input"]
        assert [(each["purpose"], each["model"]) for each in told["requests"]] == [("chat", "glm-5.3")]
        for name in ("last", told["continuation_id"], f" {told['call_id']} "):
            assert await call_of(socket, name) == told
        failed = await socket.tool("chat", {"prompt": "Hello.", "continuation_id": "conv_of_nobody"})
        of_failed = await call_of(socket, failed["_meta"]["exai/error"]["call_id"])
        assert (of_failed["outcome"], of_failed["error"]) == ("failed", "unknown_conversation")
        unknown = await socket.tool("status", {"id": "call_of_nobody"})
    assert unknown["_meta"]["exai/error"]["code"] == "bad_arguments"


async def test_a_call_that_runs_is_told_as_running(start_daemon: StartDaemon, emulator: Emulator) -> None:
    emulator.persona = Persona(kind="long", tokens=5_000, delay_per_token_ms=20)
    async with start_daemon() as daemon, mcp_socket(daemon.mcp_ws) as socket:
        number, _ = await socket.begin_tool("chat", {"prompt": "A long story.", "model": "glm-5.3"})
        await emulator.log.wait_for(lambda record: record.outcome == "open")
        assert (await call_of(socket, "last"))["outcome"] == "running"
        await socket.cancel(number)

        async def is_cancelled() -> bool:
            told = await call_of(socket, "last")
            return bool(told["outcome"] == "cancelled")

        await wait_until(is_cancelled, what="the cancelled call has its end")


async def test_the_journal_keeps_no_names_of_files(start_daemon: StartDaemon, tmp_path: Path) -> None:
    (tmp_path / "secret-plan.txt").write_text("heron " * 20)
    async with (
        start_daemon(EXAI_FILES__ROOTS=f'["{tmp_path}"]') as daemon,
        mcp_socket(daemon.mcp_ws) as socket,
    ):
        paths = [str(tmp_path / "secret-plan.txt")]
        answer = await socket.tool("chat", {"prompt": "Read.", "absolute_file_paths": paths})
        assert answer["_meta"]["exai/report"]["files"] == paths
        told = await socket.tool("status", {"id": "last"})
    assert "secret-plan" not in json.dumps(told)
    assert told["structuredContent"]["call"]["report"]["context"]["files"] == 1
