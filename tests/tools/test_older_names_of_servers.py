"""Older names of tools that ask, search or tell about the server: each row of the manual's table."""

import re
from pathlib import Path
from typing import Any

import pytest

from exai.errors import BadArguments
from exai.tools.chat import Chat
from exai.tools.files import Files
from exai.tools.models import Models
from exai.tools.older.echo import Echo
from exai.tools.registry import Registry
from exai.tools.search import Search
from exai.tools.status import Status
from exai.tools.voting.consensus import ConsensusTool
from exai.tools.workflows.analyze import Analyze
from exai.tools.workflows.plan import PlanTool
from exai.tools.workflows.review import Review
from exai.tools.workflows.think import Think
from exai.tools.writing.write import Write
from exai.workflows.definitions import bundled_workflows
from support.daemon_in_process import StartInProcess
from support.mcp_websocket import mcp_socket


@pytest.fixture
def registry() -> Registry:
    absent: Any = None
    tools = Chat(absent), ConsensusTool(absent), Search(absent), Files(absent), Models(absent), Echo()
    return Registry(
        [
            *(each.tool() for each in tools),
            Status(absent, absent, absent).tool(),
            Analyze(absent, bundled_workflows()["analyze"]).tool(),
            PlanTool(absent, absent).tool(),
            Think(absent, bundled_workflows()["think"]).tool(),
            Write(absent, bundled_workflows()["write"], absent).tool(),
            Review(absent, bundled_workflows()["review"], absent).tool(),
        ]
    )


@pytest.mark.parametrize(
    ("name", "given", "tool", "becomes"),
    [
        ("version", {}, "status", {"section": "all"}),
        (
            "tracer",
            {
                "step": "Look.",
                "step_number": 1,
                "total_steps": 2,
                "next_step_required": True,
                "findings": "",
                "trace_mode": "precision",
                "target_description": "How does Pool.take open a connection? See `Wire`.",
                "thinking_mode": "low",
            },
            "analyze",
            {
                "question": "How does Pool.take open a connection? See `Wire`.",
                "kind": "trace",
                "target": "Wire",
                "effort": "low",
                "step": "Look.",
                "step_number": 1,
            },
        ),
        (
            "tracer",
            {"trace_mode": "dependencies", "target_description": "Who needs src/pool.py:take now?"},
            "analyze",
            {"kind": "dependencies", "target": "src/pool.py:take"},
        ),
        ("tracer", {"trace_mode": "precision", "step": "take()"}, "analyze", {"target": "take"}),
        (
            "tracer",
            {"trace_mode": "precision", "step": "who calls", "target": "take", "target_description": " "},
            "analyze",
            {"question": "who calls", "target": "take"},
        ),
        (
            "refactor",
            {
                "step": "Divide it.",
                "refactor_type": "decompose",
                "focus_areas": ["size"],
                "relevant_files": ["/p/a.py"],
                "style_guide_examples": ["/p/b.py"],
                "step_number": 1,
                "confidence": "incomplete",
                "images": [],
            },
            "analyze",
            {
                "kind": "refactor",
                "paths": ["/p/b.py"],
                "relevant_files": ["/p/a.py"],
                "step": "Divide it.",
                "confidence": "low",
            },
        ),
        (
            "refactor",
            {"step": "Divide it.", "refactor_type": "decompose", "relevant_files": ["/p/a.py"]},
            "analyze",
            {
                "question": "Divide it.\n\nLook for parts that are to be divided, the largest first.",
                "relevant_files": ["/p/a.py"],
                "step": None,
            },
        ),
        (
            "codereview",
            {"step": "Look.", "findings": "None.", "relevant_files": ["/p/a.py"], "temperature": 0.2},
            "review",
            {"step": None, "findings": "", "relevant_files": ["/p/a.py"], "temperature": 0.2},
        ),
        (
            "testgen",
            {
                "step": "Cover take.",
                "step_number": 1,
                "total_steps": 2,
                "next_step_required": True,
                "findings": "",
                "relevant_files": ["/p/a.py"],
                "confidence": "low",
            },
            "write",
            {"kind": "tests", "paths": ["/p/a.py"], "instructions": "Cover take."},
        ),
        (
            "docgen",
            {
                "step": "Document it.",
                "relevant_files": ["/p/a.py"],
                "document_flow": True,
                "document_complexity": True,
                "update_existing": True,
                "comments_on_complex_logic": True,
                "num_files_documented": 0,
                "total_files_to_document": 1,
            },
            "write",
            {"kind": "docs", "paths": ["/p/a.py"], "instructions": "Document it."},
        ),
        ("health", {"tail_lines": 50}, "status", {"section": "providers"}),
        ("self-check", {"log_lines": 40}, "status", {"section": "doctor"}),
        ("activity", {"lines": 200, "filter": "x", "since": "1h"}, "status", {"section": "calls"}),
        ("toolcall_log_tail", {"n": 20, "path": ""}, "status", {"section": "calls"}),
        ("kimi_capture_headers", {"messages": [{}], "model": "kimi"}, "status", {"id": "last"}),
        ("kimi_capture_headers", {"call_id": "call_1"}, "status", {"id": "call_1"}),
        ("listmodels", {}, "models", {"provider": None}),
        ("provider_capabilities", {"include_tools": True, "show_advanced": False}, "models", {"model": None}),
        (
            "glm_web_search",
            {
                "search_query": "owls",
                "search_recency_filter": "oneWeek",
                "search_domain_filter": "a.org",
                "count": 3,
            },
            "search",
            {"query": "owls", "recency": "week", "domains": ["a.org"], "engine": "glm", "count": 3},
        ),
        (
            "glm_web_search",
            {"search_query": "owls", "search_recency_filter": "all"},
            "search",
            {"recency": None},
        ),
        ("glm_web_search", {"search_query": "owls", "user_id": "u"}, "search", {"recency": None}),
        ("apilookup", {"prompt": "Which React?"}, "chat", {"use_websearch": True, "model": None}),
        (
            "kimi_chat_with_tools",
            {
                "messages": [{"role": "user", "content": "Hi."}],
                "temperature": 0.6,
                "stream": True,
                "tools": [],
            },
            "chat",
            {"prompt": "Hi.", "model": "kimi", "temperature": 0.6},
        ),
        (
            "consensus",
            {"step": "A queue?", "step_number": 1, "total_steps": 3},
            "consensus",
            {"question": "A queue?"},
        ),
        (
            "glm_payload_preview",
            {"prompt": "Hi.", "system_prompt": "Be short."},
            "chat",
            {"prompt": "Hi.", "model": "glm", "dry_run": True},
        ),
        (
            "kimi_intent_analysis",
            {"prompt": "Hi.", "context": "A greeting."},
            "chat",
            {"prompt": "A greeting.\n\nHi.", "dry_run": True},
        ),
        (
            "thinkdeep",
            {"step": "Why?", "step_number": 1, "focus_areas": ["cost"], "images": [], "temperature": 0.2},
            "think",
            {"step": "Why?", "focus": ["cost"]},
        ),
        ("thinkdeep", {"problem_context": "Shall we?"}, "think", {"problem": "Shall we?"}),
        ("test_echo", {"message": "Hi."}, "test_echo", {"text": "Hi."}),
    ],
)
def test_an_older_name_takes_the_arguments_that_agents_know(
    registry: Registry, name: str, given: dict[str, Any], tool: str, becomes: dict[str, Any]
) -> None:
    invocation = registry.find(name, given)
    arguments: Any = invocation.arguments()
    assert invocation.tool.name == tool
    assert {field: getattr(arguments, field) for field in becomes} == becomes


def test_messages_become_one_prompt_that_says_who_said_what(registry: Registry) -> None:
    messages = [
        {"role": "system", "content": "Be short."},
        {"role": "user", "content": "One?"},
        {"role": "assistant", "content": "Two."},
        {"role": "user", "content": "Why?"},
    ]
    arguments: Any = registry.find("kimi_chat_with_tools", {"messages": messages}).arguments()
    assert arguments.prompt == (
        "What was said before:\n\nsystem: Be short.\n\nuser: One?\n\nassistant: Two.\n\nWhy?"
    )


def test_a_look_up_asks_for_what_holds_now_and_needs_the_scope_of_search(registry: Registry) -> None:
    invocation = registry.find("apilookup", {"prompt": "Which React?"})
    arguments: Any = invocation.arguments()
    assert arguments.prompt.startswith("Which React?\n\nAnswer from current official documentation")
    assert invocation.scopes == ("tools:models", "tools:search")
    with pytest.raises(BadArguments, match="Argument 'prompt'"):
        registry.find("apilookup", {"prompt": 3}).arguments()


@pytest.mark.parametrize(
    ("name", "given", "why"),
    [
        (
            "tracer",
            {"trace_mode": "ask", "target_description": "`f`"},
            "Argument 'trace_mode': give `precision`",
        ),
        ("tracer", {"target_description": "`f`"}, "Argument 'trace_mode'"),
        (
            "tracer",
            {"trace_mode": "precision", "target_description": "How is it paid for?"},
            "Argument 'target_description': name the part .*in backticks",
        ),
        ("tracer", {"trace_mode": "precision", "target_description": 3}, "Argument 'target_description'"),
        ("clink", {"prompt": "Do it.", "cli_name": "codex"}, "EXAI starts no other agent: .*`chat`"),
        ("toolcall_log_tail", {"path": "/var/log/x"}, "Argument 'path': EXAI reads no file .*`status`"),
        ("activity", {"path": "/var/log/x"}, "Argument 'path'"),
        ("kimi_chat_with_tools", {"messages": [], "prompt": "x"}, "Argument 'messages': give at least one"),
        (
            "kimi_chat_with_tools",
            {"messages": [{"role": "user", "content": "x"}], "tools": [{"type": "function"}]},
            "Argument 'tools': .*cannot call back",
        ),
    ],
)
def test_what_is_refused_says_why_and_where_to_go(
    registry: Registry, name: str, given: dict[str, Any], why: str
) -> None:
    with pytest.raises(BadArguments, match=why):
        registry.find(name, given).arguments()


def test_the_manual_has_every_older_name_and_no_other(registry: Registry) -> None:
    manual = (Path(__file__).parents[2] / "docs" / "migrating.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1] for line in manual.splitlines() if line.startswith("| `")]
    named = {name for row in rows for name in re.findall(r"`([\w-]+)`", row)} - {
        "step",
        "consensus",
        "debug",
        "analyze",
    }
    assert named == registry.older_names | {"models", "test_echo"}


async def test_an_agent_is_told_once_per_conversation_what_an_older_name_stands_for(
    start_in_process: StartInProcess,
) -> None:
    async with start_in_process() as daemon, mcp_socket(daemon.mcp_ws) as socket:

        async def told(name: str, **arguments: Any) -> tuple[list[str], dict[str, Any]]:
            """The notes about names, which the text has too, and the answer."""
            result = await socket.tool(name, arguments)
            answer = result["structuredContent"]
            notes = [note for note in answer.get("notes", ()) if "is an older name" in note]
            assert result["content"][0]["text"].count("is an older name") == len(notes)
            return notes, answer

        note = "`kimi_intent_analysis` is an older name here: `chat` answered it."
        for _ in range(2):
            notes, answer = await told("apilookup", prompt="Hi.")
            assert notes == ["`apilookup` is an older name here: `chat` answered it."]
            handle = answer["continuation_id"]
            assert next(iter(answer)) == "continuation_id"
            assert (await told("apilookup", prompt="And?", continuation_id=handle))[0] == []
        assert (await told("kimi_intent_analysis", prompt="Why?"))[0] == [note]
        assert [(await told(name))[0] for name in ("health", "version")] == [[], []], "they have no notes"
        searches = [(await told("glm_web_search", search_query="herons"))[0] for _ in range(2)]
        assert [len(notes) for notes in searches] == [1, 0]


async def test_an_answer_says_which_tool_an_older_name_stands_for(start_in_process: StartInProcess) -> None:
    async with start_in_process() as daemon, mcp_socket(daemon.mcp_ws) as socket:

        async def meta(name: str, **arguments: Any) -> dict[str, Any]:
            answer = await socket.request("tools/call", {"name": name, "arguments": arguments})
            assert not answer["result"]["isError"], answer
            return dict(answer["result"].get("_meta", {}))

        assert (await meta("health"))["exai/alias"] == {"name": "health", "tool": "status"}
        asked = await meta("kimi_chat_with_tools", messages=[{"role": "user", "content": "Hi."}])
        assert asked["exai/alias"] == {"name": "kimi_chat_with_tools", "tool": "chat"}
        assert asked["exai/report"]["provider"] == "kimi"
        assert "exai/alias" not in await meta("status")
        echoed = await socket.request("tools/call", {"name": "test_echo", "arguments": {"text": "Hi."}})
        assert echoed["result"]["content"][0]["text"] == "Hi."
        listed = (await socket.request("tools/list"))["result"]["tools"]
        assert not {"test_echo", "health", "models"} & {tool["name"] for tool in listed}
