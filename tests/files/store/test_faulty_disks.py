"""A disk that fails at any call: what was kept is read on, what failed is done once it is mended, nothing is left."""

import errno
import shutil
from pathlib import Path

import pytest

from exai import config
from exai.storage.database import Database
from support.faulty_store import RunOnDisk, run_on_faulty_disk, upload_to_faulty_disk

MORE_THAN_ALL = 10_000


async def run_at(
    tmp_path: Path, fails_at: int, code: int, *, lasting: bool, run: RunOnDisk = run_on_faulty_disk
) -> tuple[int, list[str]]:
    folder = tmp_path / f"{fails_at}-{code}-{lasting}"
    shutil.copytree(tmp_path / "empty", folder)
    database = await Database.open(config.Database(), folder)
    disk, wrong = await run(database, folder / "files", fails_at, code, lasting=lasting)
    await database.close()
    shutil.rmtree(folder)
    return disk.calls, wrong


async def every_fault(
    tmp_path: Path, run: RunOnDisk, least_calls: int, *, lasting: bool | None = None
) -> dict[tuple[int, int], list[str]]:
    """Let each call fail in turn, once or until it is mended, or now so, now so; what was wrong, by call and error."""
    await (await Database.open(config.Database(), tmp_path / "empty")).close()
    calls, wrong = await run_at(tmp_path, MORE_THAN_ALL, errno.EIO, lasting=False, run=run)
    assert wrong == []
    assert calls > least_calls
    found: dict[tuple[int, int], list[str]] = {}
    for fails_at in range(1, calls + 1):
        code = (errno.ENOSPC, errno.EIO)[fails_at % 2]
        lasts = bool(fails_at // 2 % 2) if lasting is None else lasting
        _, wrong = await run_at(tmp_path, fails_at, code, lasting=lasts, run=run)
        if wrong:
            found[fails_at, code] = wrong
    return found


@pytest.mark.timeout(300)
@pytest.mark.parametrize("lasting", [False, True], ids=["once", "until mended"])
async def test_a_disk_that_fails_at_any_call_needs_no_restart(tmp_path: Path, *, lasting: bool) -> None:
    assert await every_fault(tmp_path, run_on_faulty_disk, 60, lasting=lasting) == {}


@pytest.mark.timeout(300)
async def test_an_upload_goes_on_after_a_disk_failed_at_any_call(tmp_path: Path) -> None:
    assert await every_fault(tmp_path, upload_to_faulty_disk, 20) == {}
