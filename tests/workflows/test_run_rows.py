"""Rows of runs: changed by their owner, at their revision, on both databases."""

from datetime import timedelta

import msgspec
import pytest

from exai.runtime.clock import ManualClock
from exai.storage.database import Database
from exai.storage.workflows.evidence import EvidenceRow, EvidenceRows
from exai.storage.workflows.runs import Run, Step, WorkflowTables

CLOCK = ManualClock()
RUN = Run(
    workflow_id="wf_1",
    owner="anna",
    conversation_id="conv_1",
    tool="think",
    version=1,
    form="guided",
    state="working",
    stage="",
    digest="d",
    process="p",
    answer=None,
    revision=1,
    created_at=CLOCK.utc(),
    updated_at=CLOCK.utc(),
)
STEP = Step("answer", "request", "begun", "q", 1, "call_1", CLOCK.utc())


def evidence(number: int, path: str = "a.py") -> EvidenceRow:
    return EvidenceRow(
        number=number,
        stage="collect",
        source="named_paths",
        path=path,
        first=1,
        last=2,
        total=9,
        rev="",
        sha256="0" * 64,
        tokens=5,
        why="it is named",
        left_out=None if number < 3 else "no room",
        text="x\n\x00y\n" if number < 3 else "",
    )


@pytest.fixture
def tables(database: Database) -> WorkflowTables:
    return WorkflowTables(database, CLOCK)


async def test_of_two_changes_at_one_revision_the_first_is_made(tables: WorkflowTables) -> None:
    await tables.begin(RUN)
    first = await tables.change(RUN, [STEP], stage="answer")
    assert first is not None
    ended = msgspec.structs.replace(STEP, state="ended", output="{}", usd=0.5, ended_at=CLOCK.utc())
    assert await tables.change(RUN, [ended], state="done") is None
    assert await tables.steps(RUN) == [STEP]
    assert await tables.change(first, [ended]) is not None
    assert await tables.steps(RUN) == [ended]


async def test_a_run_is_its_owners_alone(tables: WorkflowTables) -> None:
    await tables.begin(RUN)
    assert await tables.latest("anna", "d") == RUN
    assert await tables.of_conversation("anna", "conv_1", "think") == RUN
    assert await tables.latest("ben", "d") is None
    assert await tables.of_conversation("ben", "conv_1", "think") is None
    assert await tables.of_conversation("anna", "conv_1", "debug") is None
    assert await tables.change(msgspec.structs.replace(RUN, owner="ben"), state="done") is None
    assert await tables.latest("anna", "d") == RUN


async def test_the_latest_run_of_what_is_asked_for_is_found(tables: WorkflowTables) -> None:
    later = CLOCK.utc() + timedelta(seconds=1)
    await tables.begin(RUN)
    await tables.begin(msgspec.structs.replace(RUN, workflow_id="wf_2", created_at=later))
    found = await tables.latest("anna", "d")
    assert found is not None
    assert found.workflow_id == "wf_2"


async def test_evidence_goes_with_its_runs_revision_and_takes_the_place_of_what_followed(
    tables: WorkflowTables,
) -> None:
    await tables.begin(RUN)
    rows = tuple(evidence(number) for number in (1, 2, 3))
    first = await tables.change(RUN, [STEP], EvidenceRows(0, rows), stage="collect")
    assert first is not None
    kept = await tables.evidence(RUN)
    assert [row.number for row in kept] == [1, 2, 3]
    assert kept[2] == rows[2]
    assert "\x00" not in kept[0].text
    assert await tables.change(RUN, (), EvidenceRows(0, ()), state="done") is None
    assert len(await tables.evidence(RUN)) == 3
    assert await tables.change(first, (), EvidenceRows(1, (evidence(2, "b.py"),))) is not None
    assert [(row.number, row.path) for row in await tables.evidence(RUN)] == [(1, "a.py"), (2, "b.py")]
    assert await tables.evidence(msgspec.structs.replace(RUN, owner="ben")) == []


async def test_runs_go_when_nobody_worked_at_them_for_long(tables: WorkflowTables) -> None:
    await tables.begin(msgspec.structs.replace(RUN, updated_at=CLOCK.utc() - timedelta(days=8)))
    await tables.change(
        RUN,
        [STEP],
        EvidenceRows(0, (evidence(1),)),
        updated_at=CLOCK.utc() - timedelta(days=8),
        stage="answer",
    )
    await tables.begin(msgspec.structs.replace(RUN, workflow_id="wf_2"))
    assert await tables.prune(0) == 0
    assert await tables.prune(7) == 1
    assert await tables.steps(RUN) == []
    assert await tables.evidence(RUN) == []
    found = await tables.latest("anna", "d")
    assert found is not None
    assert found.workflow_id == "wf_2"
