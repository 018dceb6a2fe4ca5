"""What a failed call is told of its group: what this process and others counted, and what people decided."""

import asyncio

import msgspec
import pytest

from exai import config
from exai.dispatch.failures import failure
from exai.error_tracking.faults import FaultSource
from exai.error_tracking.known_groups import ErrorGroupsChanged, KnownGroups, follow_groups
from exai.error_tracking.states import archive
from exai.errors import ProviderThrottled
from exai.runtime.clock import SystemClock
from exai.storage.database import Database
from exai.storage.error_tracking.following import FollowedGroup, GroupChanges
from exai.storage.error_tracking.investigations import Finished, InvestigationTables
from support.tracked_faults import Tracked, opened, tracked


def throttled(process: Tracked) -> str:
    return process.notices.notice(
        ProviderThrottled("too many", retry_after_s=1), FaultSource.CALL, provider="glm", model="glm-5.3"
    )


async def test_a_group_is_known_as_every_process_and_decision_left_it(
    database: Database, database_settings: config.Database
) -> None:
    here, known, wake = await tracked(database), KnownGroups(), asyncio.Event()
    following = follow_groups(known, GroupChanges(database), SystemClock(), here.bus, wake)
    hash_ = throttled(here)
    assert known.find(hash_) is None, "nothing is counted yet"
    (group,) = await here.counted()
    assert wake.is_set(), "a group was opened"
    await following.run()
    found = known.find(hash_)
    assert found is not None
    assert (found.group, found.seen, found.state) == (f"E-{group.number}", 1, "open")
    assert found.cause is not None
    assert "\n" not in found.cause
    throttled(here)
    assert known.find(hash_) == msgspec.structs.replace(found, seen=2), "counted here, and not read yet"
    async with opened(database_settings) as other:
        throttled(other)
        await other.tracker.flush()
        await here.tracker.flush()
        await other.groups.decide(
            group.number,
            lambda row: archive(row, until=None, more=None, hourly=None),
            version=None,
            actor="ann",
        )
    await following.run()
    found = known.find(hash_)
    assert found is not None
    assert (found.seen, found.state) == (3, "archived")
    told = [event.numbers for event in here.events if isinstance(event, ErrorGroupsChanged)]
    assert told == [(group.number,)], "the first reading tells nobody: nothing had changed"
    await following.run()
    assert len([event for event in here.events if isinstance(event, ErrorGroupsChanged)]) == 1


async def test_the_cause_is_that_of_a_report_whose_citations_hold(database: Database) -> None:
    here, known = await tracked(database), KnownGroups()
    following = follow_groups(known, GroupChanges(database), SystemClock(), here.bus, asyncio.Event())
    hash_ = throttled(here)
    (group,) = await here.counted()
    await following.run()
    investigations = InvestigationTables(database, SystemClock())
    for level, cause in (("possible", "a guess"), ("likely", "pool of 5,\n\x1b[2J held by `retry`")):
        asked = await investigations.ask(group.group_id, "asked", "ann")
        assert asked is not None
        await investigations.begin(asked.investigation_id)
        report = msgspec.json.encode({"level": level, "cause": cause}).decode()
        ended = Finished(investigation_id=asked.investigation_id, state="done", level=level, report=report)
        assert await investigations.finish(ended)
        await following.run()
        found = known.find(hash_)
        assert found is not None
        assert (found.cause_by == "outside") == (level == "likely")
    assert found is not None
    assert found.cause == "pool of 5, [2J held by `retry`"
    facts = failure(ProviderThrottled("x", retry_after_s=1), "call_1", group=found).meta
    assert facts is not None
    assert facts["exai/error"]["cause_by"] == "outside"


@pytest.mark.sqlite
async def test_a_merged_group_is_known_under_the_one_that_is_left(database: Database) -> None:
    here, known = await tracked(database), KnownGroups()
    following = follow_groups(known, GroupChanges(database), SystemClock(), here.bus, asyncio.Event())
    hashes = [here.fail("one", KeyError), here.fail("two", ValueError)]
    first, second = await here.counted()
    await following.run()
    await here.groups.merge(first.number, [second.number], actor="ann")
    await following.run()
    assert {known.find(each).group for each in hashes} == {f"E-{first.number}"}  # type: ignore[union-attr]
    (told,) = [event.numbers for event in here.events if isinstance(event, ErrorGroupsChanged)]
    assert set(told) == {first.number, second.number}


def test_what_other_programs_report_is_told_to_no_call() -> None:
    known = KnownGroups()
    known.update([FollowedGroup(project, "abc", project, "open", 1, 5, None) for project in (1, 2)])
    assert known.find("abc") is not None
    known = KnownGroups()
    known.update([FollowedGroup(2, "abc", 1, "open", 1, 5, None)])
    assert known.find("abc") is None


def test_what_was_seen_last_is_held() -> None:
    known = KnownGroups()
    known.update([FollowedGroup(1, f"{n}", n, "open", 1, 1, None) for n in range(10_001)])
    assert known.find("0") is not None
    assert known.find("10000") is None
