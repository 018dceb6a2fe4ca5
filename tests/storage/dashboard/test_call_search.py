"""Searches of the journal, on both databases: every condition, pages, and a bound on what one may take."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, text

from exai.storage.dashboard import call_search
from exai.storage.dashboard.call_search import CallQuery, CallSearch, Condition
from exai.storage.database import Database
from exai.storage.faults import QueryTooSlow
from support.journal_rows import call_row, write_calls

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)


def at(minutes: float) -> datetime:
    return NOON + timedelta(minutes=minutes)


EARLY, LATE = at(-1_000), at(1_000)


async def found(
    database: Database, *conditions: Condition, since: datetime = EARLY, until: datetime = LATE
) -> list[str]:
    """The ids of all pages, two calls each."""
    search, query = CallSearch(database), CallQuery(conditions, since, until)
    ids: list[str] = []
    place = None
    while True:
        page = await search.page(query, place, 2)
        ids += [call["call_id"] for call in page.calls]
        place = page.next
        if place is None:
            assert page.searched_to == since
            return ids


async def fill(database: Database) -> None:
    different: list[dict[str, Any]] = [
        {},
        {"tool": "analyze", "owner": "bob"},
        {"outcome": "failed", "error_code": "circuit_open", "latency_ms": 10.0},
        {"model_used": "kimi-k3", "provider": "kimi", "cost_usd": 0.5},
        {"outcome": None, "latency_ms": None, "model_used": None, "model_requested": "glm-4.7"},
        {"client": "100%_sure", "latency_ms": 60_000.0, "conversation_id": "conv_1"},
        {"emulated": 1, "requests": 3, "input_tokens": 5_000},
        {"outcome": "failed", "error_code": "overloaded", "owner": "bob"},
    ]
    await write_calls(
        database, [call_row(f"call_{number}", at(number), **row) for number, row in enumerate(different)]
    )


CASES: list[tuple[tuple[Condition, ...], list[int]]] = [
    ((), [7, 6, 5, 4, 3, 2, 1, 0]),
    ((Condition("tool", values=("analyze",)),), [1]),
    ((Condition("tool", values=("analyze", "chat")), Condition("caller", values=("bob",))), [7, 1]),
    ((Condition("tool", values=("ana*",)),), [1]),
    ((Condition("caller", values=("bob",)),), [7, 1]),
    ((Condition("caller", values=("bob",), negated=True),), [6, 5, 4, 3, 2, 0]),
    ((Condition("outcome", values=("failed",)),), [7, 2]),
    ((Condition("outcome", values=("running",)),), [4]),
    ((Condition("outcome", values=("ok",), negated=True),), [7, 4, 2]),
    ((Condition("error", values=("circuit_open",)),), [2]),
    ((Condition("error", values=("circuit_open", "overloaded")),), [7, 2]),
    ((Condition("error", values=("*",)),), [7, 2]),
    ((Condition("error", values=("overloaded",), negated=True),), [6, 5, 4, 3, 2, 1, 0]),
    ((Condition("model", values=("kimi-*",)),), [3]),
    ((Condition("model", values=("glm-4.7",)),), [4]),
    ((Condition("client", values=("100%_s*",)),), [5]),
    ((Condition("client", values=("1%",)),), []),
    ((Condition("client", values=("100%*",)),), [5]),
    ((Condition("client", values=("10*_*",)),), [5]),
    ((Condition("took", ">", number=5_000.0),), [5]),
    ((Condition("took", "<=", number=10.0),), [2]),
    ((Condition("took", ">", number=5_000.0, negated=True),), [7, 6, 4, 3, 2, 1, 0]),
    ((Condition("cost", ">", number=0.1),), [3]),
    ((Condition("tokens", ">=", number=5_000.0),), [6]),
    ((Condition("requests", "is", number=3.0),), [6]),
    ((Condition("emulated", ">=", number=1.0),), [6]),
    ((Condition("conversation", values=("conv_1",)),), [5]),
    ((Condition("word", values=("bob",)),), [7, 1]),
    ((Condition("word", values=("circuit_open",)),), [2]),
]


async def test_every_condition_finds_what_it_says_on_any_number_of_pages(
    database: Database, monkeypatch: pytest.MonkeyPatch, subtests: pytest.Subtests
) -> None:
    await fill(database)
    for slice_ in (1, 3, call_search.SLICE):
        monkeypatch.setattr(call_search, "SLICE", slice_)
        for conditions, numbers in CASES:
            with subtests.test(slice=slice_, conditions=conditions):
                assert await found(database, *conditions) == [f"call_{number}" for number in numbers]


async def test_a_range_holds_its_ends_and_nothing_else(database: Database) -> None:
    await fill(database)
    assert await found(database, since=at(2), until=at(4)) == ["call_4", "call_3", "call_2"]
    assert await found(database, since=at(2.5), until=at(2.6)) == []


async def test_calls_of_one_moment_are_each_found_once(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(call_search, "SLICE", 3)
    await write_calls(database, [call_row(f"call_{number:02}", NOON) for number in range(11)])
    assert await found(database) == [f"call_{number:02}" for number in reversed(range(11))]


async def test_a_search_whose_time_is_up_says_how_far_it_looked_and_goes_on(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(call_search, "SLICE", 2)
    monkeypatch.setattr(call_search, "ENOUGH_S", -1.0)
    await fill(database)
    query = CallQuery((Condition("tool", values=("analyze",)),), EARLY, LATE)
    search = CallSearch(database)
    first = await search.page(query, None, 50)
    assert (first.calls, first.searched_to) == ([], at(6))
    assert await found(database, Condition("tool", values=("analyze",))) == ["call_1"]


async def test_a_statement_that_takes_too_long_is_ended(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exai.storage.database.VIEW_S", 0.05)
    endless = text(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000000) SELECT count(*) FROM n"
    )

    def run(connection: Connection) -> None:
        connection.execute(endless)

    with pytest.raises(QueryTooSlow, match="Narrow the range"):
        await database.view(run)
    assert await database.view(lambda connection: connection.execute(text("SELECT 1")).scalar()) == 1
