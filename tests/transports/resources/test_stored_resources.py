"""Conversations, answers, plans, runs and schemas as resources, over HTTP in both revisions, on both databases."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import mcp_types as types
import msgspec
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler
from mcp.shared._httpx_utils import create_mcp_http_client
from mcp.shared.exceptions import MCPError

from exai.auth.scopes import MODELS, STATUS
from exai.callers import Caller, Door
from exai.conversations.conversations import Conversations
from exai.runtime.clock import ManualClock
from exai.storage.calls.journal import CallBegun, CallEnd, Journal
from exai.storage.conversations.owned import OwnConversations
from exai.storage.conversations.tables import ConversationTables
from exai.storage.database import Database
from exai.storage.workflows.evidence import EvidenceRow, EvidenceRows
from exai.storage.workflows.plans import PlanItem, PlanTables
from exai.storage.workflows.runs import Step, WorkflowTables
from exai.transports.resources import handlers as handlers_module
from exai.transports.resources.conversations import AnswerResources, ConversationResources
from exai.transports.resources.handlers import Resources
from exai.transports.resources.plans import PlanResources
from exai.transports.resources.schemas import SchemaResources
from exai.transports.resources.workflows import WorkflowResources
from exai.workflows.definitions import bundled_workflows
from exai.workflows.engine import new_run
from exai.workflows.plans import Plans
from support.open_doors import Doors, open_doors
from support.queued_writes import commit_queued
from support.scripted_authenticator import ScriptedAuthenticator
from support.waiting import wait_until

MODES = {"2025-11-25": "legacy", "2026-07-28": "auto"}
NOT_FOUND = {"2025-11-25": -32002, "2026-07-28": -32602}
SCHEMAS = {"echo": {"name": "echo", "inputSchema": {"type": "object"}}}

SHOWN = EvidenceRow(
    number=1,
    stage="collect",
    source="named",
    path="src/pool.py",
    first=1,
    last=2,
    total=9,
    rev="",
    sha256="ab",
    tokens=12,
    why="It was named.",
    left_out=None,
    text="def pool():\n    ...\n",
)
LEFT_OUT = msgspec.structs.replace(SHOWN, number=2, path="src/big.py", left_out="no room", text="")


@dataclass
class Stored:
    """The doors before what callers have stored."""

    database: Database
    doors: Doors
    authenticator: ScriptedAuthenticator
    clock: ManualClock = field(default_factory=ManualClock)

    @asynccontextmanager
    async def client(self, subject: str, revision: str, scope: str = MODELS) -> AsyncIterator[Client]:
        headers = self.authenticator.issue(f"{subject} {scope}", subject, scope)
        async with (
            create_mcp_http_client(headers=headers) as http,
            Client(streamable_http_client(self.doors.http, http_client=http), mode=MODES[revision]) as client,
        ):
            yield client

    async def exchange(
        self, owner: str, question: str, answer: str, handle: str | None = None
    ) -> tuple[str, str]:
        """A call with its answer; the ids of conversation and call."""
        self.clock.advance(1)
        caller = Caller(subject=owner, door=Door.HTTP)
        conversations = Conversations(ConversationTables(self.database), self.clock, 50)
        journal = Journal(self.database, self.clock)
        conversation = await conversations.open(caller, handle)
        call_id = f"call_{self.clock.monotonic()}"
        await journal.begin(CallBegun(call_id, caller, "chat", None, conversation.id))
        await conversations.record(
            conversation,
            caller=caller,
            question=question,
            answer=answer,
            reasoning="secretly",
            model="glm-5.3",
            call_id=call_id,
        )
        journal.end_soon(CallEnd(call_id, "ok", None, "glm-5.3", "glm", conversation.id, None, None, {}))
        await commit_queued(self.database)
        return conversation.id, call_id

    async def plan(self, owner: str, goal: str) -> str:
        self.clock.advance(1)
        plans = Plans(PlanTables(self.database), self.clock)
        return (await plans.create(owner, goal, [PlanItem(1, "Measure", "done"), PlanItem(2, "Cut")])).plan_id

    async def run(self, owner: str, *, process: str | None = None) -> str:
        self.clock.advance(1)
        tables = WorkflowTables(self.database, self.clock)
        run = new_run(bundled_workflows()["think"], owner, "conv_1", self.clock)
        run = msgspec.structs.replace(run, process=process or tables.process)
        run = await tables.begin(run)
        steps = [
            Step("answer", "request", "ended", "d", 1, "call_1", self.clock.utc(), model="glm-5.3", usd=0.25),
            Step("doubt", "request", "begun", "d", 1, "call_1", self.clock.utc()),
        ]
        await tables.change(run, steps, EvidenceRows(0, (SHOWN, LEFT_OUT)), stage="doubt")
        return run.workflow_id


@pytest.fixture
async def stored(database: Database) -> AsyncIterator[Stored]:
    authenticator, clock = ScriptedAuthenticator(), ManualClock()
    conversations = OwnConversations(database)
    resources = Resources(
        (
            ConversationResources(conversations),
            AnswerResources(conversations),
            PlanResources(PlanTables(database)),
            WorkflowResources(WorkflowTables(database, clock)),
            SchemaResources(["echo"], SCHEMAS.get),
        ),
        ListenHandler(InMemorySubscriptionBus()),
    )
    async with open_doors(judge=authenticator, extend=[resources.add_to]) as doors:
        yield Stored(database, doors, authenticator)


async def text_at(client: Client, uri: str) -> str:
    (content,) = (await client.read_resource(uri)).contents
    assert isinstance(content, types.TextResourceContents)
    assert content.uri == uri
    return content.text


@pytest.mark.parametrize("revision", MODES)
async def test_what_is_ones_own_is_listed_and_read(stored: Stored, revision: str) -> None:
    handle, call_id = await stored.exchange("anna", "Why does\nthe pool leak?", "It is **never** closed.")
    await stored.exchange("anna", "Sure?", "Yes.", handle)
    plan_id, workflow_id = await stored.plan("anna", "Close the pool"), await stored.run("anna")
    await stored.exchange("ben", "his own", "his")
    async with stored.client("anna", revision) as client:
        listed = {each.uri: each for each in (await client.list_resources()).resources}
        assert list(listed) == [
            f"exai://conversations/{handle}",
            f"exai://plans/{plan_id}",
            f"exai://workflows/{workflow_id}",
        ]
        assert listed[f"exai://conversations/{handle}"].name == "Why does the pool leak?"
        assert listed[f"exai://plans/{plan_id}"].name == "Close the pool"
        said = await text_at(client, f"exai://conversations/{handle}")
        assert "It is **never** closed." in said
        assert said.index("Why does\nthe pool leak?") < said.index("Sure?") < said.index("Yes.")
        assert "secretly" not in said
        assert await text_at(client, f"exai://answers/{call_id}") == "It is **never** closed."
        plan = await text_at(client, f"exai://plans/{plan_id}")
        assert "1. [done] Measure" in plan
        assert "2. [todo] Cut" in plan
        run = json.loads(await text_at(client, f"exai://workflows/{workflow_id}"))
        assert (run["state"], run["stage"], run["cost_usd"]) == ("working", "doubt", 0.25)
        assert [(step["stage"], step["state"]) for step in run["stages"]] == [
            ("answer", "ended"),
            ("doubt", "begun"),
        ]
        first, second = json.loads(await text_at(client, f"exai://workflows/{workflow_id}/evidence"))
        assert (first["id"], first["path"], first["why"]) == ("E1", "src/pool.py", "It was named.")
        assert first["text"] == SHOWN.text
        assert (second["id"], second["left_out"]) == ("E2", "no room")
        assert "text" not in second
        assert json.loads(await text_at(client, "exai://schema/echo")) == SCHEMAS["echo"]
        templates = (await client.list_resource_templates()).resource_templates
        assert [each.uri_template for each in templates] == [
            "exai://conversations/{id}",
            "exai://answers/{call_id}",
            "exai://plans/{id}",
            "exai://workflows/{id}",
            "exai://workflows/{id}/evidence",
            "exai://workflows/{id}/sarif",
            "exai://schema/{tool}",
        ]


@pytest.mark.parametrize("revision", MODES)
async def test_foreign_and_unknown_ones_are_the_same_words(stored: Stored, revision: str) -> None:
    handle, call_id = await stored.exchange("anna", "hers", "hers")
    workflow_id = await stored.run("anna")
    uris = [
        f"exai://workflows/{workflow_id}/evidence",
        f"exai://workflows/{workflow_id}",
        f"exai://conversations/{handle}",
        f"exai://answers/{call_id}",
        f"exai://plans/{await stored.plan('anna', 'hers')}",
        "exai://conversations/conv_0",
        "exai://answers/call_0",
        "exai://plans/plan_0",
        "exai://workflows/wf_0",
        "exai://workflows/wf_0/evidence",
        "exai://workflows/",
        f"exai://workflows/{'x' * 300}",
        "exai://schema/nothing",
        "exai://nothing/at_all",
        "file:///etc/passwd",
    ]
    async with stored.client("ben", revision) as client:
        assert (await client.list_resources()).resources == []
        words = set()
        for uri in uris:
            with pytest.raises(MCPError) as refused:
                await client.read_resource(uri)
            assert refused.value.code == NOT_FOUND[revision], uri
            words.add(str(refused.value))
        assert len(words) == 1


async def test_pages_go_through_every_kind_once(stored: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handlers_module, "PAGE", 3)
    conversations = [(await stored.exchange("anna", f"q{number}", "a"))[0] for number in range(4)]
    plans = [await stored.plan("anna", f"p{number}") for number in range(4)]
    runs = [await stored.run("anna") for _ in range(2)]
    uris: list[str] = []
    async with stored.client("anna", "2026-07-28") as client:
        cursor = None
        while True:
            page = await client.list_resources(cursor=cursor)
            assert len(page.resources) <= 3
            uris += [each.uri for each in page.resources]
            cursor = page.next_cursor
            if cursor is None:
                break
        with pytest.raises(MCPError, match="cursor"):
            await client.list_resources(cursor="nonsense")
    assert uris == [
        *(f"exai://conversations/{each}" for each in reversed(conversations)),
        *(f"exai://plans/{each}" for each in reversed(plans)),
        *(f"exai://workflows/{each}" for each in reversed(runs)),
    ]


async def test_without_the_scope_there_are_schemas_alone(stored: Stored) -> None:
    handle, _ = await stored.exchange("anna", "hers", "hers")
    async with stored.client("anna", "2026-07-28", STATUS) as client:
        assert (await client.list_resources()).resources == []
        with pytest.raises(MCPError):
            await client.read_resource(f"exai://conversations/{handle}")
        assert json.loads(await text_at(client, "exai://schema/echo")) == SCHEMAS["echo"]


async def test_a_run_whose_process_died_is_interrupted(stored: Stored) -> None:
    workflow_id = await stored.run("anna", process="gone")
    async with stored.client("anna", "2026-07-28") as client:

        async def is_interrupted() -> bool:
            run = json.loads(await text_at(client, f"exai://workflows/{workflow_id}"))
            return bool(run["state"] == "interrupted")

        # A PostgreSQL server that began just now waits for processes that may come back.
        await wait_until(is_interrupted, what="the run is seen as left")


async def test_of_a_long_conversation_the_latest_part_is_shown(stored: Stored) -> None:
    handle, _ = await stored.exchange("anna", "first", "a" * 300_000)
    for number in (2, 3):
        await stored.exchange("anna", f"question {number}", str(number) * 150_000, handle)
    async with stored.client("anna", "2026-07-28") as client:
        said = await text_at(client, f"exai://conversations/{handle}")
        assert "[1 older exchanges are left out.]" in said
        assert "question 2" in said
        await stored.exchange("anna", "last", "z" * 500_000, handle)
        said = await text_at(client, f"exai://conversations/{handle}")
    assert "[3 older exchanges are left out.]" in said
    assert "z" * 500_000 in said
