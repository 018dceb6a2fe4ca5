"""A second tool that asks a model, through the real dispatcher and over a real door, before the emulator."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from exai import config
from exai.auth.scopes import MODELS, SEARCH
from exai.consulting.consultant import Consultant
from exai.conversations.conversations import Conversations
from exai.conversations.token_counts import TokenCounts
from exai.dispatch.dispatcher import Dispatcher
from exai.dispatch.idempotent_calls import IdempotentCalls
from exai.dispatch.long_answers import LongAnswers
from exai.dispatch.oversight import Oversight
from exai.error_tracking.noticing import FaultNotices
from exai.events.bus import EventBus
from exai.storage.calls.idempotent_calls import IdempotentCallTable
from exai.storage.calls.journal import Journal
from exai.storage.conversations.calibrations import CalibrationTable
from exai.storage.conversations.tables import ConversationTables
from exai.storage.database import Database
from exai.storage.schema import calls
from exai.tools.chat import Chat
from exai.tools.listing.profiles import Profiles
from exai.tools.registry import Registry
from exai_emulator import Fault, Persona, ScriptedCall
from support import verdict
from support.desks import Desk
from support.file_sources import file_sources
from support.mcp_websocket import McpSocket, mcp_socket
from support.open_doors import open_port, settings_of
from support.queued_writes import commit_queued
from support.schemas import check_result
from support.scripted import asking
from support.scripted_authenticator import ScriptedAuthenticator, ScriptedAuthority
from support.verdict import Verdict

pytestmark = pytest.mark.sqlite


@dataclass
class Client:
    """An MCP client of a daemon that has `chat` and `verdict`; every result is checked against the list."""

    desk: Desk
    database: Database
    tools: dict[str, dict[str, Any]]
    _socket: McpSocket

    async def call(self, name: str, _meta: dict[str, Any] | None = None, **arguments: Any) -> dict[str, Any]:
        params = {"name": name, "arguments": arguments, **({} if _meta is None else {"_meta": _meta})}
        answer = await self._socket.request("tools/call", params)
        if "error" in answer:
            return answer
        result = dict(answer["result"])
        check_result(result, self.tools["chat" if name == "chat" else "verdict"])
        return result

    @property
    def asked(self) -> dict[str, Any]:
        """The latest request to a model."""
        requests = [each for each in self.desk.emulator.log.requests if "/chat/completions" in each.path]
        return dict(requests[-1].body)

    async def rows(self) -> Sequence[Any]:
        """The journal, once what was queued is written."""
        await commit_queued(self.database)
        return await self.database.read(
            lambda connection: connection.execute(select(calls).order_by(calls.c.began_at)).all()
        )


Serve = Callable[..., AbstractAsyncContextManager[Client]]


@pytest.fixture
def serve(desk: Desk, database: Database, tmp_path: Path) -> Serve:
    """Serves the two tools; `deadline_s` is that of `verdict`, `scopes` are the client's."""

    @asynccontextmanager
    async def served(*scopes: str, deadline_s: float | None = None) -> AsyncIterator[Client]:
        bus = EventBus()
        consultant = Consultant(
            router=desk.router,
            conversations=Conversations(ConversationTables(database), desk.clock, 50),
            files=file_sources(database, tmp_path, tmp_path),
            limits=config.Conversations(),
            tool_limits=config.ToolLoop(),
            counts=await TokenCounts.open(CalibrationTable(database), desk.clock),
            clock=desk.clock,
        )
        dispatcher = Dispatcher(
            registry=Registry([Chat(consultant).tool(), Verdict(consultant, deadline_s=deadline_s).tool()]),
            profiles=Profiles(config.Tools()),
            asking=asking(desk.router, bus=bus, clock=desk.clock),
            journal=Journal(database, desk.clock),
            oversight=Oversight.on(
                database, config.Guards(), desk.clock, FaultNotices(bus.publish, desk.clock)
            ),
            long_answers=LongAnswers(None),
            idempotent_calls=IdempotentCalls(
                IdempotentCallTable(database, desk.clock),
                config.Idempotency(),
                clock=desk.clock,
                publish=bus.publish,
            ),
            call_timeout_s=900,
        )
        authenticator = ScriptedAuthenticator()
        headers = authenticator.issue("token", "somebody", *scopes)
        async with (
            open_port(
                dispatcher,
                settings_of(),
                bus,
                authenticates=authenticator,
                authority=ScriptedAuthority(),
            ) as port,
            mcp_socket(port.addresses.mcp_ws, headers=headers) as socket,
        ):
            listed = (await socket.request("tools/list"))["result"]["tools"]
            yield Client(desk, database, {tool["name"]: tool for tool in listed}, socket)

    return served


def _lines(module: Any) -> int:
    return len(Path(module.__file__).read_text(encoding="utf-8").splitlines())


def test_a_tool_that_asks_a_model_is_short() -> None:
    from exai.tools import chat  # the module, beside its class

    assert _lines(chat) < 150
    assert _lines(verdict) < 100


async def test_it_answers_with_files_in_a_conversation_that_chat_goes_on_with(
    serve: Serve, tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text("The pool leaks.")
    async with serve() as client:
        client.desk.emulator.persona = Persona("fixed", text="It holds: line 1.")
        first = await client.call("verdict", claim="The pool leaks.", files=[str(tmp_path / "a.txt")])
        judged = first["structuredContent"]
        assert first["content"][0]["text"].startswith("The claim holds. [emulated glm-5.3] It holds: line 1.")
        assert (judged["verdict"], judged["model_used"]) == ("holds", "glm-5.3")
        facts = first["_meta"]["exai/report"]
        assert facts["timings"]["latency_ms"] > 0
        assert "<<<FILE E1 " in client.asked["messages"][-1]["content"]
        await client.call("chat", prompt="Why?", continuation_id=judged["continuation_id"])
        assert [message["role"] for message in client.asked["messages"]] == [
            "system",
            "user",
            "assistant",
            "user",
        ]
        rows = await client.rows()
    assert [(row.tool, row.model_requested, row.model_used, row.conversation_id) for row in rows] == [
        ("verdict", None, "glm-5.3", judged["continuation_id"]),
        ("chat", None, "glm-5.3", judged["continuation_id"]),
    ]
    assert rows[0].call_id == facts["call_id"]


async def test_streamed_and_under_a_key_its_results_keep_to_the_list(serve: Serve) -> None:
    async with serve() as client:
        await client.call("verdict", {"progressToken": "p"}, claim="Owls see at night.")
        key = {"exai/idempotency-key": "k"}
        first = await client.call("verdict", key, claim="Owls see at night.")
        again = await client.call("verdict", key, claim="Owls see at night.")
    assert again["structuredContent"] == first["structuredContent"]


async def test_unlisted_arguments_are_taken_and_named_in_errors(serve: Serve) -> None:
    async with serve() as client:
        listed = client.tools["verdict"]["inputSchema"]
        assert set(listed["properties"]) == {"claim", "absolute_file_paths", "continuation_id"}
        assert "additionalProperties" not in listed, "a client that checks arguments lets unlisted ones pass"
        judged = await client.call("verdict", claim="Owls see.", model="kimi-k3")
        assert judged["structuredContent"]["model_used"] == "kimi-k3"
        refused = await client.call("verdict", claim="Owls see.", modle="kimi-k3")
    assert "Did you mean 'model'?" in refused["content"][0]["text"]


async def test_its_entry_in_the_list_has_its_meta(serve: Serve) -> None:
    async with serve() as client:
        assert client.tools["verdict"]["_meta"] == {"example.org/kind": "judgement"}
        assert "example.org/kind" not in client.tools["chat"]["_meta"]


async def test_an_older_name_answers_with_its_arguments_mapped(serve: Serve) -> None:
    async with serve() as client:
        assert "factcheck" not in client.tools
        first = await client.call("verdict", claim="Owls hunt.")
        thread = first["structuredContent"]["continuation_id"]
        mapped = await client.call(
            "factcheck",
            evidence="They have large eyes.",
            statement="Owls see at night.",
            thread=thread,
            step_number=1,
            model="glm-5.3",
        )
        assert mapped["structuredContent"]["continuation_id"] == thread
        question = client.asked["messages"][-1]["content"]
        assert question == "Owls see at night.\n\nThey have large eyes."
        assert client.asked["tools"][0]["type"] == "web_search", "the older name stands for a search"
        await client.call("factcheck", statement="Owls see.", use_websearch=False)
        assert "tools" not in client.asked, "what the caller says comes before what the name stands for"
        contradictory = await client.call("factcheck", statement="x", thread="a", continuation_id="b")
        assert "mean the same and differ" in contradictory["content"][0]["text"]
        no_text = await client.call("factcheck", statement=["x"])
        assert "Argument 'statement': Expected a text" in no_text["content"][0]["text"]
        unknown = await client.call("factcheck", statement="x", step=1)
        assert "Unknown argument 'step'" in unknown["content"][0]["text"]


async def test_what_an_older_name_stands_for_needs_its_scope(serve: Serve) -> None:
    async with serve(MODELS) as client:
        assert not (await client.call("verdict", claim="Owls see."))["isError"]
        assert not (await client.call("factcheck", statement="Owls see.", use_websearch=False))["isError"]
        refused = await client.call("factcheck", statement="Owls see.")
    assert refused["error"]["data"]["scope"] == f"{MODELS} {SEARCH}"


async def test_a_deadline_of_its_own_ends_it_while_others_go_on(serve: Serve) -> None:
    async with serve(deadline_s=0.2) as client:
        client.desk.emulator.faults.add("glm", Fault(before_first_byte_ms=60_000, times=1))
        late = await client.call("verdict", claim="Owls see.")
        client.desk.emulator.faults.add("glm", Fault(before_first_byte_ms=400, times=1))
        in_time = await client.call("chat", prompt="Hello.")
        rows = await client.rows()
    assert late["_meta"]["exai/error"]["code"] == "deadline_exceeded"
    assert "timeouts" not in late["content"][0]["text"]
    assert not in_time["isError"]
    assert [(row.outcome, row.error_code) for row in rows] == [
        ("timed_out", "deadline_exceeded"),
        ("ok", None),
    ]


async def test_its_own_limits_end_a_models_tool_calls_sooner_than_the_settings_do(serve: Serve) -> None:
    searches = tuple((ScriptedCall("web_search", {"query": f"owls {number}"}),) for number in range(3))
    asked: dict[str, Any] = {"model": "kimi-k2.6", "use_websearch": True}
    async with serve() as client:
        client.desk.emulator.persona = Persona(rounds=searches)
        assert not (await client.call("chat", prompt="Owls?", **asked))["isError"]
        ended = await client.call("verdict", claim="Owls see.", **asked)
    assert ended["_meta"]["exai/error"]["code"] == "tool_loop_exceeded"
    assert "the limit of 1 rounds" in ended["content"][0]["text"]
