"""Reports of a project: taken once, and again where there was no room."""

import pytest

from exai.error_tracking.faults import Fault, FaultSource
from exai.error_tracking.ingestion.intake import ReportIntake, sha256_of
from exai.errors import StoreFailed
from exai.runtime.clock import SystemClock
from exai.storage.database import Database
from exai.storage.error_tracking.projects import Intake, ProjectTables


def reported(project: int, event_id: str) -> Fault:
    return Fault(
        occurrence_id=f"occ_{event_id}",
        at=1.0,
        source=FaultSource.OUTSIDE,
        project=project,
        message="no basket",
        event_id=event_id,
    )


async def test_what_found_no_room_may_be_sent_again(database: Database) -> None:
    """It is told so, and what had room is not counted twice."""
    room, taken, lost = 1, [], 0

    def notice(fault: Fault) -> None:
        nonlocal room, lost
        if room:
            room -= 1
            taken.append(fault.occurrence_id)
        else:
            lost += 1

    async def settled() -> None:
        raise StoreFailed("The database is away.")

    tables, clock = ProjectTables(database, SystemClock()), SystemClock()
    project = await tables.create("shop", "private", sha256_of("key"))
    assert project is not None
    intake = ReportIntake(tables, clock, notice=notice, settled=settled, lost=lambda: lost)
    both = [reported(project.project_id, each) for each in ("a", "b")]
    first, second = Intake(), Intake()
    with pytest.raises(StoreFailed, match="no room"):
        await intake.take(project, both, first)
    assert (first.events, first.lost) == (1, 1)
    room = 5
    await intake.take(project, both, second)
    assert (second.events, second.repeated, taken) == (1, 1, ["occ_a", "occ_b"])
