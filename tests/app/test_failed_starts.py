"""Starts that fail before there is a database: what they leave, and that the next start counts it once."""

import sqlite3
from pathlib import Path

import pytest

from exai.app.faults.failed_starts import FOLDER, MOST_FILES, FailedStarts
from exai.config import Settings
from exai.errors import StartFault
from exai.runtime.clock import SystemClock
from exai.storage.database import Database
from exai.storage.error_tracking.projects import ProjectTables
from support.daemon_in_process import StartInProcess
from support.tracked_faults import tracked

CLOCK = SystemClock()
SENTENCE = "The database is not there: `database.url` names no server, token=hunter2hunter2"


def fail(settings: Settings) -> None:
    with pytest.raises(StartFault), FailedStarts(settings).kept(CLOCK):
        raise StartFault(SENTENCE)


def left(data_dir: Path) -> list[Path]:
    return sorted((data_dir / FOLDER).iterdir())


async def test_it_is_counted_once_even_if_the_file_stays(database: Database, tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data")
    fail(settings)
    (file,) = left(settings.data_dir)
    content = file.read_bytes()
    assert file.stat().st_mode & 0o777 == 0o600
    assert b"hunter2" not in content
    process = await tracked(database)
    for _ in range(2):  # the second time a process died before it had removed the file
        await FailedStarts(settings).count(process.bus, process.tracker, ProjectTables(database, CLOCK))
        assert left(settings.data_dir) == []
        file.write_bytes(content)
    (group,) = await process.counted()
    assert (group.seen, group.code, group.fixable_by) == (1, "cannot_start", "operator")
    assert group.title.startswith("cannot_start: The database is not there")


async def test_what_cannot_be_kept_or_read_costs_nothing_else(database: Database, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    fail(Settings(data_dir=tmp_path / "file" / "data"))
    settings = Settings(data_dir=tmp_path / "data")
    for _ in range(MOST_FILES + 5):
        fail(settings)
    assert len(left(settings.data_dir)) == MOST_FILES
    left(settings.data_dir)[0].write_bytes(b"{half")
    process = await tracked(database)
    await FailedStarts(settings).count(process.bus, process.tracker, ProjectTables(database, CLOCK))
    (group,) = await process.counted()
    assert group.seen == MOST_FILES - 1
    assert left(settings.data_dir) == [], "what is broken would take the place of later ones for good"


@pytest.mark.virtual_time
async def test_a_daemon_counts_what_the_start_before_left(
    start_in_process: StartInProcess, tmp_path: Path
) -> None:
    data_dir = tmp_path / "data"
    with pytest.raises(StartFault, match=r"schema|database"):
        async with start_in_process(EXAI_DATABASE__URL="postgresql://127.0.0.1:1/none"):
            pass
    assert len(left(data_dir)) == 1
    async with start_in_process():
        assert left(data_dir) == []
    with sqlite3.connect(data_dir / "exai.sqlite") as rows:
        assert rows.execute("SELECT code, seen FROM error_groups").fetchall() == [("cannot_start", 1)]
