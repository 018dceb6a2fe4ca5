"""Budgets: no window of any purse holds more than its limit, from any number of processes."""

import asyncio
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exai import config
from exai.runtime.clock import ManualClock
from exai.storage.calls.budgets import KEEP_S, BudgetGrants, Limit, Refusal, Wanted
from exai.storage.database import Database
from exai.storage.database_file import FILE_NAME
from support.migrated_databases import migrated_sqlite
from support.queued_writes import commit_queued

HOUR = Limit(3_600.0, requests=3)
DAY = Limit(86_400.0, usd=1.0)


def wanted(usd: float = 0.1, *limits: Limit, purse: str = "auditor", call_id: str = "call_1") -> Wanted:
    return Wanted(purse, call_id, usd, limits or (HOUR, DAY))


async def test_as_many_as_the_window_holds_are_granted(database: Database) -> None:
    clock = ManualClock()
    grants = BudgetGrants(database, clock)
    assert [await grants.grant(wanted()) for _ in range(3)] == [None] * 3
    assert await grants.grant(wanted()) == Refusal(HOUR, 3_600.0)
    assert await grants.grant(wanted(purse="investigation")) is None, "each purse has its own"
    clock.advance(3_599)
    assert await grants.grant(wanted()) == Refusal(HOUR, 1.0)
    clock.advance(1)
    assert await grants.grant(wanted()) is None


async def test_dollars_are_reserved_settled_and_never_given_back_unknown(database: Database) -> None:
    clock = ManualClock()
    grants = BudgetGrants(database, clock)
    assert await grants.grant(wanted(0.6, DAY, call_id="one")) is None
    assert await grants.grant(wanted(0.6, DAY)) == Refusal(DAY, 86_400.0)
    grants.settle_soon("one", 0.3)
    assert await grants.grant(wanted(0.6, DAY, call_id="two")) is None
    assert (await grants.spent("auditor", 86_400)).usd == pytest.approx(0.9)
    assert await grants.grant(wanted(0.2, DAY)) == Refusal(DAY, 86_400.0)


async def test_the_requests_of_a_call_share_what_it_cost(database: Database) -> None:
    grants = BudgetGrants(database, ManualClock())
    for _ in range(2):
        assert await grants.grant(wanted(0.4, DAY)) is None
    grants.settle_soon("call_1", 0.1)
    await commit_queued(database)
    spent = await grants.spent("auditor", 3_600)
    assert spent.requests == 2
    assert spent.usd == pytest.approx(0.1)


async def test_what_never_fits_says_so(database: Database) -> None:
    assert await BudgetGrants(database, ManualClock()).grant(wanted(2.0, DAY)) == Refusal(DAY, None)
    nothing = Limit(3_600.0, requests=0)
    assert await BudgetGrants(database, ManualClock()).grant(wanted(0.0, nothing)) == Refusal(nothing, None)


async def test_pruning_leaves_what_a_window_reaches(database: Database) -> None:
    clock = ManualClock()
    grants = BudgetGrants(database, clock)
    assert await grants.grant(wanted()) is None
    clock.advance(KEEP_S)
    assert await grants.prune() == 0
    clock.advance(1)
    assert await grants.grant(wanted()) is None
    assert await grants.prune() == 1
    assert (await grants.spent("auditor", KEEP_S)).requests == 1


async def test_a_grant_of_a_clock_that_was_far_ahead_is_pruned(database: Database) -> None:
    ahead, right = ManualClock(), ManualClock()
    ahead.advance(2 * KEEP_S)
    assert await BudgetGrants(database, ahead).grant(wanted(0.1, Limit(3_600.0, requests=1))) is None
    grants = BudgetGrants(database, right)
    assert isinstance(await grants.grant(wanted(0.1, Limit(3_600.0, requests=1))), Refusal)
    assert await grants.prune() == 1
    assert await grants.grant(wanted(0.1, Limit(3_600.0, requests=1))) is None


Step = tuple[float, int]
"""Seconds that pass, and which of three processes asks."""


@pytest.mark.sqlite
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    steps=st.lists(st.tuples(st.floats(0, 2_000), st.integers(0, 2)), max_size=40),
    skews=st.tuples(st.floats(-500, 500), st.floats(-500, 500), st.floats(-500, 500)),
    most=st.integers(1, 4),
)
def test_no_window_holds_more_than_a_model_of_it(
    tmp_path_factory: pytest.TempPathFactory, steps: list[Step], skews: tuple[float, ...], most: int
) -> None:
    asyncio.run(_compare(tmp_path_factory.mktemp("budget"), steps, skews, most))


async def _compare(folder: Path, steps: list[Step], skews: tuple[float, ...], most: int) -> None:
    """Grant by clocks that differ, and compare with a list of moments."""
    migrated_sqlite(folder / FILE_NAME)
    database = await Database.open(config.Database(), folder)
    clocks = [ManualClock(1_700_000_000.0 + skew) for skew in skews]
    processes = [BudgetGrants(database, clock) for clock in clocks]
    limit = Limit(3_600.0, requests=most)
    moments: list[float] = []
    try:
        for seconds, process in steps:
            for clock in clocks:
                clock.advance(seconds)
            at = max([clocks[process].wall(), *moments[-1:]])
            fits = sum(moment > at - limit.window_s for moment in moments) < most
            granted = await processes[process].grant(wanted(0.0, limit)) is None
            assert granted == fits
            if granted:
                moments.append(at)
    finally:
        await database.close()
    for begin in moments:
        assert sum(begin <= moment < begin + limit.window_s for moment in moments) <= most


async def test_processes_side_by_side_get_exactly_what_there_is(
    database: Database, database_settings: config.Database, tmp_path: Path
) -> None:
    url = "" if database_settings.url is None else database_settings.url.get_secret_value()
    asking = [sys.executable, "-m", "support.asking_purse", url, str(tmp_path), "20"]
    processes = [
        await asyncio.create_subprocess_exec(
            *asking, cwd=Path(__file__).parents[1], stdout=asyncio.subprocess.PIPE
        )
        for _ in range(4)
    ]
    outputs = [(await process.communicate())[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0, 0]
    assert sum(map(int, outputs)) == 30, outputs
    assert (await BudgetGrants(database, ManualClock()).spent("auditor", KEEP_S)).requests == 30
