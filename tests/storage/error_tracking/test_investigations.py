"""Rows of investigations: one unfinished of a group, one running of all, a round taken up twice, one end."""

import asyncio
from datetime import timedelta

import msgspec
import pytest
from sqlalchemy import Connection, select, text, update

from exai import config
from exai.errors import StoreFailed
from exai.runtime.clock import ManualClock
from exai.storage.database import Database
from exai.storage.error_tracking.investigations import (
    EvidenceRow,
    Finished,
    InvestigationRow,
    InvestigationTables,
)
from exai.storage.error_tracking.retention import FaultRetention
from exai.storage.fleet.schema import replicas
from exai.storage.write_operations import LockGroup, row_by_row
from support.tracked_faults import Tracked, opened, tracked

PIECE = EvidenceRow("e10", "log", "log", "0" * 64, "own", "text")


async def group_ids(process: Tracked, *messages: str) -> list[str]:
    """Have groups counted, one per message, and return their ids."""
    for message in messages:
        process.fail(message)
    return [group.group_id for group in await process.counted()]


async def asked(tables: InvestigationTables, group_id: str) -> InvestigationRow:
    row = await tables.ask(group_id, "asked", "local:me")
    assert row is not None
    return row


async def test_a_group_has_one_unfinished_investigation_whoever_asks(
    database: Database, database_settings: config.Database
) -> None:
    clock = ManualClock()
    (group_id,) = await group_ids(await tracked(database), "broken")
    async with opened(database_settings) as other:
        tables = [InvestigationTables(each, clock) for each in (database, other.database)]
        rows = await asyncio.gather(*(asked(each, group_id) for each in tables * 10))
    assert len({row.investigation_id for row in rows}) == 1
    assert (rows[0].state, rows[0].seen) == ("asked", 1)


@row_by_row(LockGroup.ERRORS)
def _keep_silent(connection: Connection, parameters: tuple[str, float]) -> None:
    run_id, seconds = parameters
    row = replicas.c
    (last,) = connection.scalars(select(row.beat_at).where(row.run_id == run_id))
    connection.execute(
        update(replicas).where(row.run_id == run_id).values(beat_at=last - timedelta(seconds=seconds))
    )


async def test_one_runs_at_a_time_of_all_processes_and_a_dead_one_holds_nobody_up(
    database: Database, database_settings: config.Database
) -> None:
    clock = ManualClock()
    groups = await group_ids(await tracked(database, clock), "broken table", "gone file")
    async with opened(database_settings, clock) as other:
        one, two = (InvestigationTables(each, clock) for each in (database, other.database))
        first, second = [await asked(one, group) for group in groups]
        assert (await one.begin(first.investigation_id)).result == "begun"
        assert (await two.begin(second.investigation_id)).result == "busy"
        assert (await two.begin(first.investigation_id)).result == "busy"
        await database.write(_keep_silent, (database.run_id, 31))
        assert (await two.begin(second.investigation_id)).result == "begun"
        assert (await one.begin(first.investigation_id)).result == "busy"


async def test_a_round_is_taken_up_once_and_then_it_has_failed(database: Database) -> None:
    tables = InvestigationTables(database, ManualClock())
    (group_id,) = await group_ids(await tracked(database), "broken")
    row = await asked(tables, group_id)
    assert [(await tables.begin(row.investigation_id)).result for _ in range(3)] == [
        *("begun", "begun", "interrupted")
    ]
    ended = await tables.find(row.investigation_id)
    assert ended is not None
    assert (ended.state, ended.why.partition(":")[0]) == ("failed", "Interrupted twice")
    assert (await tables.begin(row.investigation_id)).result == "over"
    assert (await asked(tables, group_id)).investigation_id != row.investigation_id


async def test_a_postponed_round_counts_as_no_interruption(database: Database) -> None:
    tables = InvestigationTables(database, ManualClock())
    (group_id,) = await group_ids(await tracked(database), "broken")
    row = await asked(tables, group_id)
    for _ in range(4):
        assert (await tables.begin(row.investigation_id)).result == "begun"
        await tables.postpone(row.investigation_id, "nobody to ask")
    (waits,) = await tables.unfinished()
    assert (waits.state, waits.round, waits.taken_up, waits.why) == ("postponed", 4, 0, "nobody to ask")


async def test_what_a_report_cites_outlives_every_pruning(database: Database) -> None:
    clock = ManualClock(wall=1_800_000_000.0)
    tables, process = InvestigationTables(database, clock), await tracked(database, clock)
    for _ in range(130):
        process.fail("storm")
    (group,) = await process.counted()
    stored = [each.occurrence_id for each in await process.groups.occurrences(group, 200)]
    cited = (stored[0], stored[3], stored[-2])
    row = await asked(tables, group.group_id)
    await tables.begin(row.investigation_id)
    done = Finished(investigation_id=row.investigation_id, state="done", report="{}", occurrences=cited)
    assert await tables.finish(done)
    for _ in range(3_000):
        process.fail("storm")
    await process.tracker.flush()
    retention = FaultRetention(database, clock, 30)
    await retention.prune()
    assert set(cited) <= {each.occurrence_id for each in await process.groups.occurrences(group, 200)}
    clock.advance(31 * 86_400)
    await retention.prune()
    await tables.prune(30)
    kept = {each.occurrence_id for each in await process.groups.occurrences(group, 200)}
    assert kept == {*cited, stored[-1]}, "and the first of all"


async def test_what_was_spent_is_found_by_the_process_that_takes_it_up(database: Database) -> None:
    tables = InvestigationTables(database, ManualClock())
    (group_id,) = await group_ids(await tracked(database), "broken")
    row = await asked(tables, group_id)
    assert (row.tokens, row.cost_usd) == (0, 0.0)
    await tables.begin(row.investigation_id)
    seen = []
    for spent in ((1_200, 0.05), (2_000, 0.07), (2_100, None)):
        await tables.note_stage(row.investigation_id, "asks", asks=True)
        asking = await tables.find(row.investigation_id)
        await tables.note_spent(row.investigation_id, *spent)
        after = await tables.find(row.investigation_id)
        assert asking is not None
        assert after is not None
        seen.append((asking.cost_usd, after.requests, after.tokens, after.cost_usd))
    assert seen == [(None, 1, 1_200, 0.05), (None, 2, 2_000, 0.07), (None, 3, 2_100, None)]
    await tables.cancel(row.investigation_id, "enough")
    await tables.note_spent(row.investigation_id, 9, 9.0)
    ended = await tables.find(row.investigation_id)
    assert ended is not None
    assert (ended.tokens, ended.state) == (2_100, "cancelled")


async def test_report_evidence_and_end_are_one_transaction(database: Database) -> None:
    clock = ManualClock()
    tables, process = InvestigationTables(database, clock), await tracked(database)
    (group_id,) = await group_ids(process, "broken")
    (group,) = await process.groups.listed(state=None, most=1)
    (occurrence,) = await process.groups.occurrences(group, 1)
    row = await asked(tables, group_id)
    await tables.begin(row.investigation_id)
    assert await tables.note_stage(row.investigation_id, "asks", asks=True)
    clock.advance(2)
    done = Finished(
        investigation_id=row.investigation_id,
        state="done",
        level="possible",
        fix="set it",
        models="kimi-k2.6",
        report="{}",
        evidence=(PIECE, PIECE),
        occurrences=(occurrence.occurrence_id,),
    )
    with pytest.raises(StoreFailed):
        await tables.finish(done)  # the same piece twice: nothing of it is kept
    assert await tables.evidence_of(row.investigation_id) == []
    assert await tables.finish(msgspec.structs.replace(done, evidence=(PIECE,)))
    assert not await tables.finish(done)
    ended = await tables.latest_of(group_id, done=True)
    assert ended is not None
    assert (ended.state, ended.level, ended.requests, ended.duration_ms) == ("done", "possible", 1, 2000)
    assert await tables.evidence_of(row.investigation_id) == [PIECE]
    columns = "investigation_result, fix_recommendation, model_used, investigation_duration_ms"
    view = f"SELECT {columns} FROM error_investigations"
    shown = await database.read(lambda connection: connection.execute(text(view)).all())
    assert [tuple(each) for each in shown] == [("{}", "set it", "kimi-k2.6", 2000)]
    clock.advance(timedelta(days=31).total_seconds())
    assert await tables.prune(30) == 1


async def test_of_what_ended_long_ago_the_latest_stays_and_the_latest_report(database: Database) -> None:
    """Else whoever asks and cancels again and again fills the table for good."""
    clock = ManualClock()
    tables = InvestigationTables(database, clock)
    groups = await group_ids(await tracked(database, clock), "broken table", "gone file")
    ended: list[str] = []
    for group_id, is_reported in [(group, way) for way in (True, True, False, False) for group in groups]:
        row = await asked(tables, group_id)
        ended.append(row.investigation_id)
        await tables.begin(row.investigation_id)
        if is_reported:
            await tables.finish(Finished(investigation_id=row.investigation_id, state="done", report="{}"))
        else:
            await tables.cancel(row.investigation_id, "no longer wanted")
        clock.advance(1)
    clock.advance(timedelta(days=31).total_seconds())
    recent = [(await asked(tables, groups[0])).investigation_id]
    await tables.cancel(recent[0], "no longer wanted")
    await tables.prune(30)
    stays = [each for each in [*ended, *recent] if await tables.find(each) is not None]
    assert stays == [ended[2], ended[3], ended[7], *recent]


async def test_what_is_cancelled_or_merged_away_keeps_no_report(database: Database) -> None:
    tables, process = InvestigationTables(database, ManualClock()), await tracked(database)
    one, two = await group_ids(process, "broken table", "gone file")
    first, second = await asked(tables, one), await asked(tables, two)
    await tables.begin(first.investigation_id)
    assert await tables.cancel(first.investigation_id, "no longer wanted")
    assert not await tables.note_stage(first.investigation_id, "asks")
    late = Finished(investigation_id=first.investigation_id, state="done", report="{}")
    assert not await tables.finish(late)
    await process.groups.merge(1, [2], actor="me")
    moved = await tables.find(second.investigation_id)
    assert moved is not None
    assert (moved.group_id, moved.state, moved.why) == (one, "cancelled", "merged into E-1")


async def test_our_own_doing_is_never_investigated(database: Database) -> None:
    """What E14 asks of the table: nothing above it can ask for one."""
    process = await tracked(database)
    process.fail("broken", own_doing=True)
    (group,) = await process.counted()
    assert group.own_doing == 1
    tables = InvestigationTables(database, ManualClock())
    assert await tables.ask(group.group_id, "asked", "local:me") is None
    assert await tables.unfinished() == []
    process.fail("broken")
    process.fail("broken", own_doing=True)
    (group,) = await process.counted()
    assert group.own_doing == 0, "somebody else met it, too"
    assert await tables.ask(group.group_id, "asked", "local:me") is not None
