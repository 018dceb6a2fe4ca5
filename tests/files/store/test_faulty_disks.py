"""A disk that fails at any call: what was kept is read on, what failed is done once it is mended, nothing is left."""

import errno
import shutil
from pathlib import Path

import pytest

from exai import config
from exai.storage.database import Database
from support.faulty_store import run_on_faulty_disk

MORE_THAN_ALL = 10_000


async def run_at(tmp_path: Path, fails_at: int, code: int, *, lasting: bool) -> tuple[int, list[str]]:
    folder = tmp_path / f"{fails_at}-{code}-{lasting}"
    shutil.copytree(tmp_path / "empty", folder)
    database = await Database.open(config.Database(), folder)
    disk, wrong = await run_on_faulty_disk(database, folder / "files", fails_at, code, lasting=lasting)
    await database.close()
    shutil.rmtree(folder)
    return disk.calls, wrong


@pytest.mark.timeout(300)
@pytest.mark.parametrize("lasting", [False, True], ids=["once", "until mended"])
async def test_a_disk_that_fails_at_any_call_needs_no_restart(tmp_path: Path, *, lasting: bool) -> None:
    await (await Database.open(config.Database(), tmp_path / "empty")).close()
    calls, wrong = await run_at(tmp_path, MORE_THAN_ALL, errno.EIO, lasting=False)
    assert wrong == []
    assert calls > 60
    found: dict[tuple[int, int], list[str]] = {}
    for fails_at in range(1, calls + 1):
        code = (errno.ENOSPC, errno.EIO)[fails_at % 2]
        _, wrong = await run_at(tmp_path, fails_at, code, lasting=lasting)
        if wrong:
            found[fails_at, code] = wrong
    assert found == {}
