"""A store of files that is killed at any step loses nothing that was acknowledged, and keeps nothing that is not."""

import random
import shutil
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from exai import config
from exai.storage.database import Database
from support.forked_runs import ForkedRuns, forked_runs
from support.s3_server import S3Server
from support.store_audit import audit

PROCESS = Path(__file__).parents[2] / "support" / "shelf_process.py"
AT_ONCE = 16
KILLED = -9


@pytest.fixture
async def processes() -> AsyncIterator[ForkedRuns]:
    async with forked_runs(PROCESS) as runs:
        yield runs


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
            if faults := await audit(tmp_path / str(step)):
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
            if faults := await audit(tmp_path / str(step), s3.endpoint):
                wrong[step] = faults
    assert wrong == {}
    assert set(codes) <= {KILLED, 0}
    assert codes.count(KILLED) > 30


@pytest.mark.timeout(300)
async def test_drawn_operations_killed_at_drawn_steps(processes: ForkedRuns, tmp_path: Path) -> None:
    """A share of what `scripts/bench files-kill` runs."""
    await (await Database.open(config.Database(), tmp_path / "empty")).close()
    wrong = {}
    steps = [random.Random(seed).randrange(1, 300) for seed in range(AT_ONCE)]
    for seed, step in enumerate(steps):
        shutil.copytree(tmp_path / "empty", tmp_path / f"drawn-{seed}")
        (code,) = await processes.run(
            {"data_dir": str(tmp_path / f"drawn-{seed}"), "kill_at": step, "seed": seed}
        )
        assert code in {KILLED, 0}
        if faults := await audit(tmp_path / f"drawn-{seed}"):
            wrong[seed] = faults
    assert wrong == {}
