"""The journal: begun before the provider is asked, ended whatever happens, swept after a crash."""

import asyncio
import signal
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Table, select

from exai import config
from exai.callers import Caller, Credential, Door
from exai.conversations.conversations import Conversations
from exai.costs import Usage
from exai.runtime.clock import ManualClock, SystemClock
from exai.storage import pruning
from exai.storage.calls import journal as journal_module
from exai.storage.calls.journal import CallBegun, CallEnd, Journal
from exai.storage.conversations.tables import ConversationTables
from exai.storage.database import Database
from exai.storage.schema import REQUEST_TIMINGS, TIMINGS, calls, requests
from support.request_records import record
from support.waiting import wait_until

ALICE = Caller(subject="alice", door=Door.WEBSOCKET, client="cursor 1")
BOB = Caller(subject="bob", door=Door.HTTP)

TIMES = {name: float(number) for number, name in enumerate(TIMINGS, 1)}
REQUEST_TIMES = {name: float(number) for number, name in enumerate(REQUEST_TIMINGS, 1)}


def begun(call_id: str, caller: Caller = ALICE) -> CallBegun:
    return CallBegun(call_id, caller, "chat", "glm-5.3", None)


def ended(call_id: str, outcome: str = "ok", error_code: str | None = None) -> CallEnd:
    usage = Usage(input=10, cached=4, output=5, reasoning=2, cache_write=6)
    first = record(
        "glm-5.3",
        usage,
        attempts=2,
        unreported=1,
        services={"web_search": 2, "file": 1},
        cost_usd=0.25,
        without_price=True,
        timings=REQUEST_TIMES,
    )
    second = record("kimi-k3", number=2, provider="kimi", attempts=1, outcome="cancelled")
    return CallEnd(
        call_id, outcome, error_code, "glm-5.3", "glm", "conv_1", usage, 0.25, TIMES, (first, second)
    )


async def rows(database: Database, table: Table = calls) -> list[dict[str, object]]:
    query = select(table).order_by(*table.primary_key.columns)
    return await database.read(lambda connection: [dict(row) for row in connection.execute(query).mappings()])


async def test_a_row_is_there_before_begin_returns_and_whole_after_its_end(database: Database) -> None:
    journal = Journal(database, SystemClock())
    await journal.begin(begun("call_1"))
    (row,) = await rows(database)
    assert (row["owner"], row["door"], row["client"], row["outcome"]) == (
        "alice",
        "websocket",
        "cursor 1",
        None,
    )
    journal.end_soon(ended("call_1"))
    await journal.begin(begun("call_2"))
    row = (await rows(database))[0]
    assert (row["outcome"], row["error_code"], row["model_used"], row["cost_usd"]) == (
        "ok",
        None,
        "glm-5.3",
        0.25,
    )
    assert (row["input_tokens"], row["cached_tokens"], row["output_tokens"], row["reasoning_tokens"]) == (
        10,
        4,
        5,
        2,
    )
    assert {name: row[name] for name in TIMINGS} == TIMES
    assert (row["cache_write_tokens"], row["requests"], row["without_price"]) == (6, 3, 1)


async def test_a_calls_requests_are_written_with_its_end(database: Database) -> None:
    journal = Journal(database, SystemClock())
    await journal.begin(begun("call_1"))
    assert await rows(database, requests) == []
    journal.end_soon(ended("call_1"))
    await journal.begin(begun("call_2"))
    first, second = await rows(database, requests)
    began = datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
    assert first == {
        "call_id": "call_1",
        "number": 1,
        "purpose": "chat",
        "provider": "glm",
        "model": "glm-5.3",
        "attempts": 2,
        "outcome": "ok",
        "input_tokens": 10,
        "cached_tokens": 4,
        "cache_write_tokens": 6,
        "output_tokens": 5,
        "reasoning_tokens": 2,
        "unreported": 1,
        "services": '{"file":1,"web_search":2}',
        "cost_usd": 0.25,
        "without_price": 1,
        "emulated": 0,
        **REQUEST_TIMES,
        "began_at": began,
        "ended_at": began + timedelta(seconds=1),
    }
    assert (second["number"], second["model"], second["outcome"]) == (2, "kimi-k3", "cancelled")
    assert [second[name] for name in REQUEST_TIMINGS] == [None] * len(REQUEST_TIMINGS)
    assert (second["unreported"], second["services"], second["without_price"]) == (0, None, 0)


async def test_an_end_that_is_written_twice_is_there_once(database: Database) -> None:
    journal = Journal(database, SystemClock())
    await journal.begin(begun("call_1"))
    for _ in range(2):
        journal.end_soon(ended("call_1"))
    await journal.begin(begun("call_2"))
    assert len(await rows(database, requests)) == 2


async def test_a_row_names_the_token_that_the_call_was_made_with(database: Database) -> None:
    journal = Journal(database, SystemClock())
    own = Credential("exai", "5858c8eb29a8674f", 0.0, None)
    others = Credential("keycloak", "jti-1", 0.0, None)
    for number, credential in enumerate((None, own, others)):
        await journal.begin(begun(f"call_{number}", Caller("alice", Door.HTTP, credential=credential)))
    assert [row["token"] for row in await rows(database)] == [None, "5858c8eb29a8674f", "keycloak:jti-1"]


async def test_recent_failures_are_the_owners_own_newest_first(database: Database) -> None:
    clock = ManualClock()
    journal = Journal(database, clock)
    for number, (caller, outcome) in enumerate(
        [(ALICE, "failed"), (ALICE, "ok"), (BOB, "failed"), (ALICE, "timed_out"), (ALICE, "cancelled")]
    ):
        await journal.begin(begun(f"call_{number}", caller))
        journal.end_soon(ended(f"call_{number}", outcome, "some_code"))
        clock.advance(1)
    await journal.begin(begun("still running"))
    failures = await journal.recent_failures(owner="alice", limit=2)
    assert [failure.call_id for failure in failures] == ["call_4", "call_3"]
    assert failures[0].began_at > failures[1].began_at
    assert [failure.call_id for failure in await journal.recent_failures(owner="bob", limit=9)] == ["call_2"]
    assert await journal.recent_failures(owner="nobody", limit=9) == []


async def test_old_rows_are_dropped_and_running_ones_kept(database: Database) -> None:
    clock = ManualClock()
    journal = Journal(database, clock)
    await journal.begin(begun("old and ended"))
    journal.end_soon(ended("old and ended"))
    await journal.begin(begun("old and running"))
    clock.advance(10 * 86_400)
    await journal.begin(begun("young"))
    assert await journal.prune(9) == 1
    assert [row["call_id"] for row in await rows(database)] == ["old and running", "young"]
    assert await rows(database, requests) == [], "they go with their call"


async def test_many_old_rows_are_dropped_a_batch_at_a_time(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "BATCH", 2)
    monkeypatch.setattr(journal_module, "BATCH", 2)
    clock = ManualClock()
    journal = Journal(database, clock)
    for number in range(5):
        await journal.begin(begun(f"call_{number}"))
        journal.end_soon(ended(f"call_{number}"))
    clock.advance(10 * 86_400)
    assert await journal.prune(9) == 5
    assert await rows(database) == []


async def test_the_sweep_leaves_the_living_alone(
    database: Database, database_settings: config.Database, tmp_path: Path
) -> None:
    await Journal(database, SystemClock()).begin(begun("call_1"))
    other = await Database.open(database_settings, tmp_path)
    assert await Journal(other, SystemClock()).sweep() == 0
    await other.close()
    assert (await rows(database))[0]["outcome"] is None


CHILD = """
import asyncio, sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from exai import config
from exai.callers import Caller, Door
from exai.conversations.conversations import Conversations
from exai.runtime.clock import SystemClock
from exai.storage.calls.journal import CallBegun, Journal
from exai.storage.conversations.tables import ConversationTables
from exai.storage.database import Database

async def main():
    database = await Database.open(
        config.Database.model_validate({"url": sys.argv[1]}), Path(sys.argv[2]), config.Fleet(beat_s=0.1, lease_s=1)
    )
    journal = Journal(database, SystemClock())
    await journal.begin(CallBegun("of the dead", Caller.local(Door.STDIO), "chat", None, None))
    conversations = Conversations(ConversationTables(database), SystemClock(), 50)
    conversation = await conversations.open(Caller.local(Door.STDIO), None)
    await conversations.record(
        conversation, caller=Caller.local(Door.STDIO), question="remember Bergamot", answer="yes", reasoning=None,
        model="glm-5.3", call_id="of the dead",
    )
    print(conversation.id, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_a_killed_process_leaves_rows_that_the_next_start_marks_lost(
    database_settings: config.Database, tmp_path: Path
) -> None:
    assert database_settings.url is not None
    url = database_settings.url.get_secret_value()
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CHILD, url, str(tmp_path), stdout=asyncio.subprocess.PIPE
    )
    assert child.stdout is not None
    handle = (await child.stdout.readline()).decode().strip()
    database = await Database.open(database_settings, tmp_path, config.Fleet(beat_s=0.1, lease_s=1))
    journal = Journal(database, SystemClock())
    assert await journal.sweep() == 0
    child.send_signal(signal.SIGKILL)
    await child.wait()
    await wait_until(journal.sweep, what="the dead process has missed a lease of beats")
    assert [(row["call_id"], row["outcome"]) for row in await rows(database)] == [("of the dead", "lost")]
    conversations = Conversations(ConversationTables(database), SystemClock(), 50)
    conversation = await conversations.open(Caller.local(Door.HTTP), handle)
    recalled = await conversations.recall(conversation, 1000, reasoning_of=None)
    assert [message.text for message in recalled.messages] == ["remember Bergamot", "yes"]
    await database.close()


async def test_a_call_that_ends_before_its_begin_is_committed_still_ends(database: Database) -> None:
    journal = Journal(database, SystemClock())
    await journal.begin(begun("call_0"))
    loop = asyncio.get_running_loop()
    journal.end_soon(ended("call_0"))
    beginnings = [loop.create_task(journal.begin(begun(f"call_{number}"))) for number in range(1, 20)]
    await asyncio.sleep(0)
    for number, beginning in enumerate(beginnings, 1):
        beginning.cancel()
        journal.end_soon(ended(f"call_{number}", "cancelled", "cancelled"))
    await journal.begin(begun("last"))
    assert [row["call_id"] for row in await rows(database) if row["outcome"] is None] == ["last"]
