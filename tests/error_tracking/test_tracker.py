"""The tracker: exact counts from several processes, few occurrences of many, history, and what a dead process left."""

import asyncio
import json
import signal
import sys
import zlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select, text

from exai import config
from exai.callers import Caller, Door
from exai.error_tracking import tracker
from exai.error_tracking.faults import Fault, FaultSource
from exai.error_tracking.noticing import FaultNotices
from exai.error_tracking.states import DecisionRefused, archive, reopen, resolve
from exai.error_tracking.tracker import ErrorGroupOpened, ErrorRegressed, body_of
from exai.errors import FileRefused, ProviderThrottled, StoreFailed
from exai.events.bus import EventBus
from exai.monitoring.logs import Redaction
from exai.runtime.clock import ManualClock, SystemClock
from exai.storage.calls.journal import CallBegun, CallEnd, Journal
from exai.storage.database import Database
from exai.storage.error_tracking.counting import exponent_of
from exai.storage.error_tracking.groups import StaleVersion
from exai.storage.error_tracking.retention import FaultRetention
from exai.storage.error_tracking.rows import FaultBatch, Turn
from exai.storage.error_tracking.schema import error_counts, error_occurrences, releases
from exai.storage.schema import calls
from support.queued_writes import commit_queued
from support.tracked_faults import Tracked, opened, raised_in, tracked
from support.waiting import wait_until

NOW = datetime(2026, 11, 30, 12, 30, tzinfo=UTC).timestamp()


async def numbers(database: Database, query: str) -> list[tuple[object, ...]]:
    rows = await database.read(lambda connection: connection.execute(text(query)).all())
    return [tuple(row) for row in rows]


async def test_equal_errors_of_two_processes_are_one_group_counted_exactly(
    database: Database, database_settings: config.Database
) -> None:
    """What E2 asks: 1,000 at once from each, ids, times, addresses and paths varied, in several batches."""
    one = await tracked(database)
    async with opened(database_settings) as other:

        async def storm(process: Tracked) -> None:
            for batch in range(4):
                for number in range(250):
                    process.fail(
                        f"call call_{batch:04x}{number:08x} at 10.0.0.{number} failed after {number} s"
                    )
                await process.tracker.flush()

        await asyncio.gather(storm(one), storm(other))
        (group,) = await one.counted()
    assert (group.seen, group.handled, group.lost, group.number) == (2_000, 0, 0, 1)
    assert 20 <= group.stored < 400
    hours = await database.read(lambda c: c.scalar(select(func.sum(error_counts.c.seen))))
    assert int(hours or 0) == 2_000


@pytest.mark.sqlite
async def test_different_errors_stay_different(database: Database) -> None:
    process = await tracked(database)
    kinds = [type(f"Error{number}", (Exception,), {}) for number in range(300)]
    for kind in kinds:
        process.fail("x", kind)
    groups = await process.counted()
    assert [group.seen for group in groups] == [1] * 300
    assert [group.number for group in groups] == list(range(1, 301))
    assert sum(isinstance(event, ErrorGroupOpened) for event in process.events) == 300


async def test_an_occurrence_is_kept_redacted_with_what_each_place_knew(database: Database) -> None:
    process = await tracked(database)
    error = raised_in("password=hunter2hunter2 is wrong")
    process.notices.notice(error, FaultSource.LOG)
    process.notices.notice(error, FaultSource.DOOR, incident_id="inc_1", call_id="call_1", subject="alice")
    (group,) = await process.counted()
    (occurrence,) = await process.groups.occurrences(group, 10)
    body = json.loads(occurrence.body)
    assert (body["source"], body["incident_id"], body["subject"]) == ("door", "inc_1", "alice")
    assert "hunter2" not in occurrence.body + group.title
    assert (group.callers, group.seen) == (1, 1)


async def test_of_what_a_caller_got_wrong_the_caller_s_words_are_not_kept(database: Database) -> None:
    process = await tracked(database)
    wrong = FileRefused("There is no file 'plans-for-may.txt' in /home/ann/secret/project.")
    wrong.__cause__ = FileNotFoundError(2, "No such file or directory", "plans-for-may.txt")
    process.notices.notice(wrong, FaultSource.CALL)
    (group,) = await process.counted()
    (occurrence,) = await process.groups.occurrences(group, 10)
    (fingerprint,) = await numbers(database, "SELECT why FROM error_fingerprints")
    for kept in (occurrence.body, group.title, str(fingerprint)):
        assert "plans" not in kept
        assert "ann" not in kept
    assert "There is no file <quoted> in <path>" in occurrence.body


async def test_a_retry_that_helped_is_counted_and_alarms_nobody(database: Database) -> None:
    process = await tracked(database)
    fault = ProviderThrottled("again in 3 s")
    process.notices.notice(fault, FaultSource.CALL, provider="glm", model="glm-5.3")
    (group,) = await process.counted()
    await process.groups.decide(
        group.number, lambda each: resolve(each, at=process_clock()), version=1, actor="bob"
    )
    process.notices.notice(
        ProviderThrottled("x"), FaultSource.CALL, handled=True, provider="glm", model="glm-5.3"
    )
    (group,) = await process.counted()
    assert (group.seen, group.handled, group.state) == (2, 1, "resolved")


def process_clock() -> datetime:
    return datetime.now(UTC) - timedelta(hours=1)


async def test_a_storm_keeps_ever_fewer_occurrences(database: Database) -> None:
    clock = ManualClock(wall=NOW)
    process = await tracked(database, clock)
    for _ in range(20):
        for _ in range(500):
            process.fail("storm")
        await process.tracker.flush()
    (group,) = await process.counted()
    assert group.seen == 10_000
    assert 40 <= group.stored <= 400
    assert await FaultRetention(database, clock, 30).prune() == group.stored - 100
    clock.advance(31 * 86_400)
    assert await FaultRetention(database, clock, 30).prune() == 99
    (kept,) = await process.groups.occurrences(group, 100)
    assert (await process.groups.find(1)) is not None
    assert kept.release == "1.0.0"


async def test_what_a_storm_keeps_does_not_depend_on_how_it_is_written_out(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a fault that was counted often few occurrences are written out; those that would be kept are among them."""
    written = []

    def noted(fault: Fault, redaction: Redaction) -> str:
        written.append(fault.occurrence_id)
        return body_of(fault, redaction)

    monkeypatch.setattr(tracker, "body_of", noted)
    process = await tracked(database)
    drawn = []
    for _ in range(30):
        for _ in range(100):
            process.fail("storm")
            drawn.append(process.events[-1].fault.occurrence_id)  # type: ignore[attr-defined]
        await process.tracker.flush()
    (group,) = await process.counted()
    shares = [zlib.crc32(each.encode()) / 2**32 for each in drawn]
    kept = {each for number, each in enumerate(drawn) if shares[number] < 2.0 ** -exponent_of(number)}
    stored = {each.occurrence_id for each in await process.groups.occurrences(group, 3_000)}
    assert stored == kept & set(written)
    assert len(written) < 500 < len(drawn)
    assert len(kept - stored) <= 30 * 20, "a tally holds twenty whole, and of more ever fewer"


@pytest.mark.virtual_time
async def test_what_was_counted_before_is_gathered_for_longer_than_what_is_new() -> None:
    class Counts:
        waits = False

        async def count(self, _: FaultBatch) -> list[Turn]:
            return []

    bus, clock, loop = EventBus(), ManualClock(), asyncio.get_running_loop()
    counting = tracker.Tracker(Counts(), clock, Redaction(), bus.publish, asyncio.Event())  # type: ignore[arg-type]
    counting.watch(bus)
    notices = FaultNotices(bus.publish, clock)

    async def took(*kinds: type[Exception]) -> float:
        for kind in kinds:
            notices.notice(raised_in("x", kind), FaultSource.TASK)
        began = loop.time()
        await counting.gather()
        return round(loop.time() - began, 6)

    spent = [await took(KeyError), await took(KeyError), await took(KeyError, TypeError), await took()]
    assert spent == [tracker.FLUSH_S, tracker.REPEATS_S, tracker.FLUSH_S, 0.0]


@pytest.mark.sqlite
async def test_many_different_faults_are_counted_in_short_transactions(database: Database) -> None:
    process = await tracked(database)
    counts = process.tracker._counts
    sizes = []
    count = counts.count

    async def noted(batch: FaultBatch) -> list[Turn]:
        sizes.append(len(batch.tallies))
        if len(sizes) == 1:
            process.fail("x", kinds[0])
        return await count(batch)

    counts.count = noted  # type: ignore[method-assign]
    kinds = [type(f"Error{number}", (Exception,), {}) for number in range(120)]
    for kind in kinds:
        process.fail("x", kind)
    await process.tracker.flush()
    assert sizes == [10] * 12, "what comes meanwhile is gathered for the next time"
    groups = await process.counted()
    assert [group.seen for group in groups] == [2] + [1] * 119


async def test_decisions_are_turns_and_a_stale_one_is_refused(database: Database) -> None:
    process = await tracked(database)
    process.fail("x")
    (group,) = await process.counted()
    resolved = await process.groups.decide(
        group.number,
        lambda each: resolve(each, at=process_clock()),
        version=group.version,
        actor="bob",
        note="mine",
    )
    assert resolved is not None
    assert (resolved.state, resolved.version) == ("resolved", 2)
    with pytest.raises(StaleVersion):
        await process.groups.decide(group.number, reopen, version=group.version, actor="eve")
    with pytest.raises(DecisionRefused):
        await process.groups.decide(group.number, archive, version=2, actor="eve")
    process.fail("x")
    (again,) = await process.counted()
    assert (again.state, again.version) == ("open", 3)
    assert [event for event in process.events if isinstance(event, ErrorRegressed)] == [
        ErrorRegressed(1, "regressed")
    ]
    told = [
        (turn.kind, turn.actor, turn.from_state, turn.to_state) for turn in await process.groups.turns(again)
    ]
    assert told == [
        ("first_seen", "exai", None, "open"),
        ("resolved", "bob", "open", "resolved"),
        ("regressed", "exai", "resolved", "open"),
    ]
    assert await process.groups.decide(99, reopen, version=None, actor="bob") is None


async def test_of_two_deciders_at_once_one_wins(
    database: Database, database_settings: config.Database
) -> None:
    one = await tracked(database)
    one.fail("x")
    await one.counted()
    async with opened(database_settings) as other:
        answers = await asyncio.gather(
            *(
                each.groups.decide(1, lambda group: resolve(group, at=process_clock()), version=1, actor="x")
                for each in (one, other)
            ),
            return_exceptions=True,
        )
    assert sorted(isinstance(answer, StaleVersion) for answer in answers) == [False, True]
    (group,) = await one.counted()
    assert len(await one.groups.turns(group)) == 2


async def test_groups_are_merged_and_split_without_losing_a_count(database: Database) -> None:
    process = await tracked(database)
    for kind, times in ((KeyError, 3), (LookupError, 4)):
        for _ in range(times):
            process.fail("x", kind, subject=kind.__name__)
    first, second = await process.counted()
    merged = await process.groups.merge(first.number, [second.number], actor="bob", note="the same")
    assert merged is not None
    assert (merged.seen, merged.stored, merged.callers) == (7, 7, 2)
    assert await process.groups.find(second.number) is None
    process.fail("x", LookupError)
    (merged,) = await process.counted()
    assert merged.seen == 8
    known = await process.groups.fingerprints(merged)
    assert [each.seen for each in known] == [5, 3]
    new = await process.groups.split(merged.number, known[1].hash[:12], actor="bob")
    assert new is not None
    assert (new.number, new.seen, new.state) == (2, 3, "open")
    assert len(await process.groups.occurrences(new, 10)) == 3
    left = await process.groups.find(1)
    assert left is not None
    assert left.seen == 5
    assert await process.groups.split(1, "", actor="bob") is None
    assert [turn.kind for turn in await process.groups.turns(left)] == ["first_seen", "merged", "split"]
    assert await process.groups.merge(1, [77], actor="bob") is None


async def test_releases_are_noted_in_the_order_of_their_first_sight(
    database: Database, database_settings: config.Database
) -> None:
    one = await tracked(database, release="1.0.0")
    one.fail("x")
    await one.counted()
    two = Tracked(database, SystemClock(), "1.1.0+abcdef")
    async with opened(database_settings) as other:
        other.fail("x")
        await other.counted()
    two.tracker._number = 100  # the same run goes on, as a process with another release would not
    two.fail("x")
    (group,) = await two.counted()
    rows = await database.read(lambda c: c.execute(select(releases).order_by(releases.c.ordinal)).all())
    assert [(row.release, row.ordinal, row.commit) for row in rows] == [
        ("1.0.0", 1, None),
        ("1.1.0+abcdef", 2, "abcdef"),
    ]
    assert (group.first_release, group.last_release) == ("1.0.0", "1.1.0+abcdef")
    kept = await database.read(lambda c: c.scalar(select(func.sum(error_occurrences.c.keep))))
    assert kept == 2


async def test_a_batch_that_was_kept_although_nobody_knew_is_counted_once(database: Database) -> None:
    process = await tracked(database)
    process.fail("x")
    count = process.tracker._counts.count
    tries = []

    async def kept_and_lost(batch: object) -> object:
        tries.append(batch)
        turns = await count(batch)  # type: ignore[arg-type]
        if len(tries) == 1:
            raise StoreFailed("the connection broke")
        return turns

    process.tracker._counts.count = kept_and_lost  # type: ignore[method-assign, assignment]
    with pytest.raises(StoreFailed):
        await process.tracker.flush()
    process.fail("x")
    (group,) = await process.counted()
    assert group.seen == 2
    assert len(tries) == 3


async def failed_call(process: Tracked, journal: Journal, call_id: str, *, counts: bool) -> None:
    await journal.begin(CallBegun(call_id, Caller("alice", Door.HTTP), "chat", None, None))
    error_hash = process.fail("failed", ProviderThrottled, call_id=call_id, provider="glm", model="glm-5.3")
    journal.end_soon(
        CallEnd(
            call_id,
            "failed",
            "provider_throttled",
            "glm-5.3",
            "glm",
            None,
            None,
            None,
            {"latency_ms": 5.0},
            error_hash=error_hash,
        )
    )
    if counts:
        await process.tracker.flush()


async def test_what_a_dead_process_did_not_count_is_counted_from_the_journal_once(
    database: Database, database_settings: config.Database, tmp_path: Path
) -> None:
    dead = await Database.open(database_settings, tmp_path)
    process = await tracked(dead)
    journal = Journal(dead, SystemClock())
    await failed_call(process, journal, "call_1", counts=True)
    await failed_call(process, journal, "call_2", counts=False)
    await failed_call(process, journal, "call_3", counts=False)
    await journal.begin(CallBegun("call_4", Caller("alice", Door.HTTP), "chat", None, None))
    one, other = await tracked(database), Tracked(database, SystemClock(), "1.0.0")
    await one.recovery.run()
    assert [group.seen for group in await one.counted()] == [1]
    await dead.close()
    assert await Journal(database, SystemClock()).sweep() == 1
    await asyncio.gather(one.recovery.run(), other.recovery.run())
    await one.recovery.run()
    throttled, lost = await one.counted()
    assert (throttled.seen, throttled.code, lost.seen, lost.code) == (3, "provider_throttled", 1, "call_lost")
    counted = await database.read(lambda c: c.scalar(select(func.count()).where(calls.c.error_counted == 1)))
    assert counted == 4


async def test_a_call_of_our_own_that_died_with_its_process_stays_our_own_doing(
    database: Database, database_settings: config.Database, tmp_path: Path
) -> None:
    dead = await Database.open(database_settings, tmp_path)
    await tracked(dead)
    investigator = Caller("exai:investigator", Door.INSIDE)
    await Journal(dead, SystemClock()).begin(CallBegun("call_1", investigator, "chat", None, None))
    await dead.close()
    one = await tracked(database)
    assert await Journal(database, SystemClock()).sweep() == 1
    await one.recovery.run()
    (lost,) = await one.counted()
    assert (lost.code, lost.own_doing) == ("call_lost", 1)


async def test_the_table_that_was_planned_before_can_be_read(database: Database) -> None:
    process = await tracked(database)
    process.fail("x")
    await process.counted()
    await process.groups.decide(
        1, lambda each: resolve(each, at=process_clock()), version=None, actor="bob", note="restarted"
    )
    rows = await numbers(
        database,
        "SELECT id, length(error_hash), error_type, resolved, resolution_notes, occurrence_count, fix_recommendation "
        "FROM error_investigations",
    )
    assert rows == [(1, 64, "RuntimeError", 1, "restarted", 1, None)]


KILLED = """
import asyncio, os, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from exai import config
from exai.callers import Caller, Door
from exai.storage.database import Database
from exai.storage.error_tracking import counting
from exai.runtime.clock import SystemClock
from exai.storage.calls.journal import Journal
from support.tracked_faults import tracked
from error_tracking.test_tracker import failed_call

async def main():
    database = await Database.open(config.Database(url={url!r}), Path({folder!r}))
    process = await tracked(database)
    journal = Journal(database, SystemClock())
    transact = database._backend.transact
    commits = 0
    async def dies(work):
        nonlocal commits
        def one(connection):
            nonlocal commits
            result = work(connection)
            commits += 1
            if commits == {at}:
                os.kill(os.getpid(), 9)
            return result
        return await transact(one)
    database._writer._transact = dies
    for number in range(4):
        await failed_call(process, journal, f"call_{{number}}", counts=True)
    os.kill(os.getpid(), 9)

asyncio.run(main())
"""


@pytest.mark.parametrize("at", [2, 3, 99])
async def test_after_a_kill_at_any_commit_the_counts_equal_the_journal(
    at: int, database_settings: config.Database, tmp_path: Path
) -> None:
    assert database_settings.url is not None
    program = KILLED.format(
        tests=str(Path(__file__).parents[1]),
        url=database_settings.url.get_secret_value(),
        folder=str(tmp_path),
        at=at,
    )
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", program)
    assert await child.wait() == -signal.SIGKILL
    database = await Database.open(database_settings, tmp_path, config.Fleet(beat_s=0.1, lease_s=1))
    process = await tracked(database)
    failed = await database.read(lambda c: c.scalar(select(func.count()).select_from(calls)))

    async def seen() -> int:
        await Journal(database, SystemClock()).sweep()
        await process.recovery.run()
        return sum(group.seen for group in await process.counted())

    async def has_counted_all() -> bool:
        return await seen() == failed

    await wait_until(has_counted_all, what="the dead process' calls are counted")
    assert await seen() == failed
    await database.close()


async def test_groups_are_in_the_order_of_what_their_failed_calls_cost(database: Database) -> None:
    process, journal = await tracked(database), Journal(database, SystemClock())
    hashes = []
    for kind in (KeyError, ValueError, TypeError, OSError):
        hashes.append(process.fail("x", kind))
        await process.tracker.flush()
    costs = ((0, 0.25), (1, 0.5), (1, 0.1), (2, None), (0, 0.000_001))
    for number, (group, usd) in enumerate(costs):
        await journal.begin(CallBegun(f"call_{number}", Caller("alice", Door.HTTP), "chat", None, None))
        end = CallEnd(
            f"call_{number}", "failed", "x", None, None, None, None, usd, {}, error_hash=hashes[group]
        )
        journal.end_soon(end)
    await commit_queued(database)
    listed = await process.groups.listed(state=None, most=10, order="cost")
    assert [group.number for group in listed] == [2, 1, 4, 3]
    micro = await process.groups.costs([group.group_id for group in listed])
    assert [micro.get(group.group_id, 0) for group in listed] == [600_000, 250_001, 0, 0]
    page = await process.groups.listed(state=None, most=10, order="cost", after=(250_001, 1))
    assert [group.number for group in page] == [4, 3]


async def test_groups_are_read_in_pages_and_turns_newest_first(database: Database) -> None:
    process = await tracked(database)
    for kind in (KeyError, IndexError, ValueError):
        process.fail("broke", kind)
    groups = await process.counted()
    await process.groups.decide(groups[0].number, archive, version=None, actor="ann", note="enough")
    for order in ("last", "seen"):
        found: list[int] = []
        after = None
        while page := await process.groups.listed(state=None, most=2, order=order, after=after):
            found += [group.number for group in page]
            after = (page[-1].last_seen if order == "last" else page[-1].seen, page[-1].number)
        assert sorted(found) == [1, 2, 3], order
    turns = await process.groups.latest_turns(2)
    assert [(turn.number, turn.kind) for turn in turns] == [(1, "archived"), (3, "first_seen")]
    assert turns[0].note == "enough"
