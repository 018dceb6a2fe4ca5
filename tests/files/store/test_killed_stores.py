"""A store of files that is killed at any step loses nothing that was acknowledged, and keeps nothing that is not."""

import shutil
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from sqlalchemy import select

from exai import config
from exai.storage.database import Database
from exai.storage.schema import blobs, file_references, file_uploads
from support.forked_runs import ForkedRuns, forked_runs
from support.s3_server import S3Server
from support.shelf_process import CONTENTS, acknowledged, open_shelf
from support.shelves import sha256_of

PROCESS = Path(__file__).parents[2] / "support" / "shelf_process.py"
AT_ONCE = 16
KILLED = -9


@pytest.fixture
async def processes() -> AsyncIterator[ForkedRuns]:
    async with forked_runs(PROCESS) as runs:
        yield runs


async def check(data_dir: Path, s3: str | None = None) -> list[str]:
    """Look after a store as the next process does, and compare its rows, its bytes and what was acknowledged."""
    database = await Database.open(config.Database(), data_dir)
    shelf, bucket = open_shelf(database, data_dir, s3)
    shelf.clock.advance(3600)
    await shelf.shelf.sweep()
    shelf.clock.advance(1)
    await shelf.shelf.collect()
    notes = list(acknowledged(data_dir))
    kept = {(owner, file_id): name for done, owner, file_id, name in notes if done == "put"}
    for done, owner, file_id, _ in notes:
        if done in {"removing", "removed"}:
            kept.pop((owner, file_id), None)
    removed = {(owner, file_id) for done, owner, file_id, _ in notes if done == "removed"}
    wrong = []
    listed: dict[tuple[str, str], str] = {}
    for owner in ("alice", "bob"):
        for row in await shelf.shelf.newest(owner, 100):
            listed[owner, row.file_id] = row.sha256
            if await shelf.read(owner, row.file_id) != CONTENTS[row.name]:
                wrong.append(f"diverged: {row.name}")
        if (await shelf.tables.usage(owner)).files != sum(key[0] == owner for key in listed):
            wrong.append(f"space of {owner} is reserved for nothing")
    wrong += [f"lost: {name}" for key, name in kept.items() if listed.get(key) != sha256_of(CONTENTS[name])]
    wrong += ["undead" for key in removed if key in listed]
    if (shelf.on_disk if bucket is None else bucket.kept) != set(listed.values()):
        wrong.append("contents without a file, or files without a content")
    if shelf.incoming:
        wrong.append("temporary files")
    states, uploads, references = await database.read(
        lambda connection: (
            set(connection.scalars(select(blobs.c.state)).all()),
            connection.execute(select(file_uploads)).all(),
            connection.execute(select(file_references)).all(),
        )
    )
    if states - {"live"} or uploads or len(references) != len(listed):
        wrong.append(f"rows: {states}, {len(uploads)} uploads, {len(references)} references")
    shelf.blobs.close()
    if bucket is not None:
        await bucket.close()
    await database.close()
    return wrong


async def run_killed_at(
    processes: ForkedRuns, tmp_path: Path, steps: Sequence[int], **order: str
) -> list[int]:
    orders = []
    for step in steps:
        folder = tmp_path / str(step)
        shutil.copytree(tmp_path / "empty", folder)
        orders.append({"data_dir": str(folder), "kill_at": step, **order})
    return list(await processes.run(*orders))


@pytest.mark.timeout(300)
async def test_killed_at_any_step_nothing_is_lost_undead_missing_or_left(
    processes: ForkedRuns, tmp_path: Path
) -> None:
    await (await Database.open(config.Database(), tmp_path / "empty")).close()
    first, wrong = 1, {}
    while True:
        steps = range(first, first + AT_ONCE)
        codes = await run_killed_at(processes, tmp_path, steps)
        for step, code in zip(steps, codes, strict=True):
            assert code in {KILLED, 0}
            if faults := await check(tmp_path / str(step)):
                wrong[step] = faults
        if 0 in codes:
            break
        first += AT_ONCE
    assert wrong == {}
    assert first > 5 * AT_ONCE, "each put, removal and deletion has steps at which it was killed"


@pytest.mark.timeout(300)
async def test_killed_at_steps_of_a_store_in_a_bucket(
    processes: ForkedRuns, tmp_path: Path, s3: S3Server
) -> None:
    await (await Database.open(config.Database(), tmp_path / "empty")).close()
    wrong, steps = {}, range(1, 140, 3)
    codes: list[int] = []
    for first in range(0, len(steps), AT_ONCE):
        some = steps[first : first + AT_ONCE]
        codes += await run_killed_at(processes, tmp_path, some, s3=s3.endpoint)
        for step in some:
            if faults := await check(tmp_path / str(step), s3.endpoint):
                wrong[step] = faults
    assert wrong == {}
    assert set(codes) <= {KILLED, 0}
    assert codes.count(KILLED) > 30
