"""All rows of one call, as they were given: the same on both databases, whoever writes them."""

from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Table, select

from exai.callers import Caller, Door
from exai.costs import Usage
from exai.errors import StoreFailed
from exai.runtime.clock import ManualClock
from exai.storage.calls.journal import CallBegun, CallEnd, Journal
from exai.storage.conversations.tables import ConversationTables, NewExchange
from exai.storage.database import Database
from exai.storage.error_tracking.schema import call_spans
from exai.storage.schema import REQUEST_TIMINGS, TIMINGS, calls, conversations, exchanges, requests
from support.request_records import record
from support.waiting import wait_until

BEGAN = 1_700_000_000.25
MOMENT = datetime.fromtimestamp(BEGAN, UTC)
USAGE = Usage(input=10, cached=4, output=5, reasoning=2, cache_write=6)
TOKENS = {
    "input_tokens": 10,
    "cached_tokens": 4,
    "output_tokens": 5,
    "reasoning_tokens": 2,
    "cache_write_tokens": 6,
}
TEXT = "Quotes ' \" ? :name %s, a null character is none, \u2028 and \U0001f600"


async def rows(database: Database, table: Table) -> list[dict[str, Any]]:
    query = select(table).order_by(*table.primary_key.columns)
    return await database.read(lambda connection: [dict(row) for row in connection.execute(query).mappings()])


def exchange(number: int) -> NewExchange:
    return NewExchange(
        conversation_id="conv_1",
        owner="alice",
        question=f"{TEXT} {number}",
        answer=TEXT,
        reasoning=None if number == 1 else TEXT,
        model="glm-5.3",
        call_id="call_1",
        tokens=12,
        reasoning_tokens=3,
        at=MOMENT,
        most=9,
    )


async def test_every_row_of_a_call_is_as_it_was_given(database: Database) -> None:
    journal, tables = Journal(database, ManualClock(BEGAN)), ConversationTables(database)
    await journal.begin(CallBegun("call_1", Caller("alice", Door.HTTP, TEXT), "chat", None, "conv_1"))
    await tables.begin(exchange(1))
    assert await tables.append(exchange(2)) == 2
    times = {name: number + 0.125 for number, name in enumerate(TIMINGS)}
    request_times = {name: number + 0.5 for number, name in enumerate(REQUEST_TIMINGS)}
    request = record(
        "glm-5.3", USAGE, attempts=2, services={"file": 1}, cost_usd=0.000078, timings=request_times
    )
    journal.end_soon(
        CallEnd(
            "call_1",
            "ok",
            None,
            "glm-5.3",
            "glm",
            "conv_1",
            USAGE,
            0.000078,
            times,
            (request,),
            report='{"a":1}',
            spans="[]",
        )
    )

    async def is_ended() -> bool:
        return (await rows(database, calls))[0]["outcome"] is not None

    await wait_until(is_ended, what="the end is written")
    (call,) = await rows(database, calls)
    expected = {
        "call_id": "call_1",
        "owner": "alice",
        "door": "http",
        "client": TEXT,
        "tool": "chat",
        "model_requested": None,
        "conversation_id": "conv_1",
        "began_at": MOMENT,
        "outcome": "ok",
        "model_used": "glm-5.3",
        "provider": "glm",
        "requests": 2,
        "cost_usd": 0.000078,
        "without_price": 0,
        "emulated": 0,
        "report": '{"a":1}',
        **TOKENS,
        **times,
    }
    assert {name: call[name] for name in expected} == expected
    (row,) = await rows(database, requests)
    expected = {
        "call_id": "call_1",
        "number": 1,
        "purpose": "chat",
        "provider": "glm",
        "model": "glm-5.3",
        "attempts": 2,
        "outcome": "ok",
        "services": '{"file":1}',
        "cost_usd": 0.000078,
        "began_at": datetime.fromtimestamp(request.began_at, UTC),
        "ended_at": datetime.fromtimestamp(request.ended_at, UTC),
        **TOKENS,
        **request_times,
    }
    assert {name: row[name] for name in expected} == expected
    assert [each["spans"] for each in await rows(database, call_spans)] == ["[]"]
    (conversation,) = await rows(database, conversations)
    assert (conversation["owner"], conversation["exchanges"], conversation["updated_at"]) == (
        "alice",
        2,
        MOMENT,
    )
    said = [
        (each["number"], each["question"], each["answer"], each["reasoning"], each["tokens"])
        for each in await rows(database, exchanges)
    ]
    assert said == [(1, f"{TEXT} 1", TEXT, None, 12), (2, f"{TEXT} 2", TEXT, TEXT, 12)]


async def test_a_row_that_is_refused_is_refused_alone(database: Database) -> None:
    journal = Journal(database, ManualClock(BEGAN))
    begun = CallBegun("call_1", Caller("alice", Door.HTTP), "chat", None, None)
    await journal.begin(begun)
    with pytest.raises(StoreFailed):
        await journal.begin(begun)
    await journal.begin(CallBegun("call_2", Caller("alice", Door.HTTP), "chat", None, None))
    assert [each["call_id"] for each in await rows(database, calls)] == ["call_1", "call_2"]
