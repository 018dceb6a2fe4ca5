"""A resumable upload whose process is killed at any step goes on, becomes one file, and leaves nothing else."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import select

from exai import config
from exai.storage.database import Database
from exai.storage.schema import blobs, file_references, file_uploads
from support.forked_runs import ForkedRuns, forked_runs
from support.resumable_process import CONTENT, DONE
from support.shelves import OpenShelf, sha256_of

PROCESS = Path(__file__).parents[2] / "support" / "resumable_process.py"
AT_ONCE = 16
KILLED, NEVER = -9, 0
SECOND_KILL = 9
"""The step at which the process that goes on is killed too."""


@pytest.fixture
async def processes() -> AsyncIterator[ForkedRuns]:
    async with forked_runs(PROCESS) as runs:
        yield runs


async def check(data_dir: Path) -> list[str]:
    """Compare the rows, the bytes and what was answered, once uploads that nobody goes on with have expired."""
    database = await Database.open(config.Database(), data_dir)
    shelf = OpenShelf(database, data_dir / "files", grace_hours=0)
    wrong = []
    files = await shelf.shelf.newest("alice", 100)
    if [row.file_id for row in files] != [(data_dir / DONE).read_text()]:
        wrong.append(f"{len(files)} files")
    elif await shelf.read("alice", files[0].file_id) != CONTENT:
        wrong.append("diverged")
    for _ in range(3):
        shelf.clock.advance(25 * 3600)
        await shelf.uploads.sweep()
        await shelf.shelf.sweep()
        await shelf.shelf.collect()
    if (shelf.on_disk, shelf.parts, shelf.incoming) != ({sha256_of(CONTENT)}, [], []):
        wrong.append("bytes that belong to nothing")
    states, uploads, references = await database.read(
        lambda connection: (
            connection.scalars(select(blobs.c.state)).all(),
            connection.execute(select(file_uploads)).all(),
            connection.scalars(select(file_references.c.reason)).all(),
        )
    )
    if (states, uploads, references) != (["live"], [], ["file"]):
        wrong.append(f"rows: {states}, {len(uploads)} uploads, {references}")
    shelf.blobs.close()
    await database.close()
    return wrong


async def run_all(processes: ForkedRuns, folders: list[Path], kills: list[int]) -> list[int]:
    orders = [{"data_dir": str(folder), "kill_at": kill} for folder, kill in zip(folders, kills, strict=True)]
    return list(await processes.run(*orders))


@pytest.mark.timeout(300)
async def test_killed_at_any_step_an_upload_goes_on_and_leaves_one_file(
    processes: ForkedRuns, tmp_path: Path
) -> None:
    await (await Database.open(config.Database(), tmp_path / "empty")).close()
    first, wrong, codes = 1, {}, [KILLED]
    while 0 not in codes:
        steps = list(range(first, first + AT_ONCE))
        folders = [tmp_path / str(step) for step in steps]
        for folder in folders:
            shutil.copytree(tmp_path / "empty", folder)
        codes = await run_all(processes, folders, steps)
        assert set(codes) <= {KILLED, 0}
        assert set(await run_all(processes, folders, [SECOND_KILL] * AT_ONCE)) <= {KILLED, 0}
        assert set(await run_all(processes, folders, [NEVER] * AT_ONCE)) == {0}
        for step, folder in zip(steps, folders, strict=True):
            if faults := await check(folder):
                wrong[step] = faults
        first += AT_ONCE
    assert wrong == {}
    assert first > 2 * AT_ONCE, "it was killed at each of its steps"
