"""The database: schema at the start, group commit, failures that hurt only their own caller."""

import asyncio
import os
import shutil
import sqlite3
import stat
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from exai import config
from exai.errors import StartFault, StoreFailed
from exai.storage import migrate
from exai.storage.database import Database, migrate_database
from exai.storage.database_file import FILE_NAME
from exai.storage.schema import metadata
from exai.storage.write_operations import LockGroup, row_by_row, together
from support.postgresql_server import PostgresqlServer
from support.waiting import wait_until


async def opened(settings: config.Database, tmp_path: Path) -> Database:
    return await Database.open(settings, tmp_path)


def run(statement: str) -> Any:
    """An operation that runs one statement, whatever its parameters."""

    @row_by_row(LockGroup.CALLS)
    def operation(connection: Connection, parameters: dict[str, Any]) -> None:
        connection.execute(text(statement), parameters)

    return operation


def count(connection: Connection) -> int:
    return int(connection.scalar(text("SELECT count(*) FROM notes")) or 0)


async def with_notes(database: Database) -> None:
    await database.write(run("CREATE TABLE notes (note INTEGER PRIMARY KEY)"), {})


INSERT = run("INSERT INTO notes VALUES (:note)")
INSERT_NOTHING = run("DELETE FROM calls")


async def test_an_empty_database_is_set_up_and_the_migrations_make_the_tables_of_the_code(
    empty_database_settings: config.Database, tmp_path: Path
) -> None:
    database = await opened(empty_database_settings, tmp_path)

    def differences(connection: Connection) -> Any:
        return compare_metadata(MigrationContext.configure(connection), metadata)

    assert await database.read(migrate.current) == migrate.head()
    assert await database.read(differences) == []
    await database.close()


def test_the_files_of_the_migrations_begin_with_their_versions_and_follow_one_another() -> None:
    script = ScriptDirectory(str(migrate.MIGRATIONS))
    versions = [revision.revision for revision in script.walk_revisions()]
    assert versions == sorted(migrate._known(), reverse=True)
    assert script.get_heads() == [migrate.head()]


async def test_a_database_at_head_is_opened_without_alembic(tmp_path: Path) -> None:
    settings = config.Database.model_validate({"url": f"sqlite:///{tmp_path / 'exai.sqlite'}"})
    database = await opened(settings, tmp_path)
    await database.close()
    script = (
        "import asyncio, sys; from pathlib import Path; from exai import config; "
        "from exai.storage.database import Database\n"
        "async def main():\n"
        "    settings = config.Database.model_validate({'url': sys.argv[1]})\n"
        "    await (await Database.open(settings, Path(sys.argv[2]))).close()\n"
        "asyncio.run(main()); print('alembic' in sys.modules)"
    )
    url = f"sqlite:///{tmp_path / 'exai.sqlite'}"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, url, str(tmp_path), stdout=asyncio.subprocess.PIPE
    )
    said, _ = await process.communicate()
    assert said.strip() == b"False"


@pytest.mark.parametrize(("version", "words"), [("0000", "newer"), ("99999", "newer")])
async def test_a_schema_that_is_not_known_is_refused(
    database_settings: config.Database, tmp_path: Path, version: str, words: str
) -> None:
    database = await opened(database_settings, tmp_path)
    await database.write(run(f"UPDATE alembic_version SET version_num = '{version}'"), {})
    await database.close()
    with pytest.raises(StartFault, match=words):
        await opened(database_settings, tmp_path)
    with pytest.raises(StartFault, match=words):
        await migrate_database(database_settings, tmp_path)


NEXT_MIGRATION = """
import sqlalchemy as sa
from alembic import op

revision = "9999"
down_revision = {after!r}


def upgrade():
    op.add_column("calls", sa.Column("later", sa.Text))
"""


async def test_a_schema_that_is_behind_is_refused_with_the_command_to_run(
    database_settings: config.Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = migrate.head()
    database = await opened(database_settings, tmp_path)
    await database.close()
    newer = tmp_path / "migrations"
    shutil.copytree(Path(migrate.__file__).parent / "migrations", newer)
    (newer / "versions" / "9999_next.py").write_text(NEXT_MIGRATION.format(after=before))
    monkeypatch.setattr(migrate, "MIGRATIONS", newer)
    migrate._known.cache_clear()
    try:
        with pytest.raises(StartFault, match="exai migrate"):
            await opened(database_settings, tmp_path)
        assert await migrate_database(database_settings, tmp_path) == (before, "9999")
        database = await opened(database_settings, tmp_path)
        assert (
            await database.read(lambda connection: connection.execute(text("SELECT later FROM calls")).all())
            == []
        )
        await database.close()
    finally:
        monkeypatch.undo()
        migrate._known.cache_clear()
    with pytest.raises(StartFault, match="newer"):
        await opened(database_settings, tmp_path)


async def test_tables_of_other_origin_are_not_touched(
    database_settings: config.Database, tmp_path: Path
) -> None:
    database = await opened(database_settings, tmp_path)
    await database.write(run("DROP TABLE alembic_version"), {})
    await database.close()
    with pytest.raises(StartFault, match="other origin"):
        await opened(database_settings, tmp_path)


async def test_migrating_an_empty_database_and_one_at_head(
    empty_database_settings: config.Database, tmp_path: Path
) -> None:
    assert await migrate_database(empty_database_settings, tmp_path) == (None, migrate.head())
    assert await migrate_database(empty_database_settings, tmp_path) == (migrate.head(), migrate.head())


async def test_many_open_an_empty_database_at_once(
    empty_database_settings: config.Database, tmp_path: Path
) -> None:
    databases = await asyncio.gather(*(opened(empty_database_settings, tmp_path) for _ in range(4)))
    for database in databases:
        await database.close()


async def test_an_empty_file_that_another_process_writes_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    sleep = time.sleep

    def noted(seconds: float) -> None:
        pauses.append(seconds)
        sleep(seconds)

    monkeypatch.setattr(time, "sleep", noted)
    other = sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
        opening = asyncio.ensure_future(opened(config.Database(), tmp_path))
        await wait_until(lambda: len(pauses) >= 3, what="the file is refused three times")
        assert not opening.done()
        other.execute("ROLLBACK")
        await (await opening).close()
    finally:
        other.close()


async def test_writes_that_arrive_together_share_a_commit(
    database_settings: config.Database, tmp_path: Path
) -> None:
    database = await opened(database_settings, tmp_path)
    await with_notes(database)
    batches: list[int] = []

    @together(LockGroup.CALLS)
    def insert(connection: Connection, many: list[int]) -> list[int]:
        batches.append(len(many))
        INSERT.run(connection, [{"note": note} for note in many])
        return [note * 2 for note in many]

    results = await asyncio.gather(*(database.write(insert, note) for note in range(300)))
    assert results == [note * 2 for note in range(300)]
    assert await database.read(count) == 300
    assert len(batches) < 10
    await database.close()


async def test_a_bad_write_hurts_its_own_caller_alone(
    database_settings: config.Database, tmp_path: Path
) -> None:
    database = await opened(database_settings, tmp_path)
    await with_notes(database)
    outcomes = await asyncio.gather(
        *(database.write(INSERT, {"note": note}) for note in [1, 2, 2, 3, 1, 4]), return_exceptions=True
    )
    assert [type(outcome) for outcome in outcomes] == [
        type(None),
        type(None),
        StoreFailed,
        type(None),
        StoreFailed,
        type(None),
    ]
    assert "notes" not in str(outcomes[2])
    assert await database.read(count) == 4
    await database.close()


async def test_closing_commits_what_is_queued(database_settings: config.Database, tmp_path: Path) -> None:
    database = await opened(database_settings, tmp_path)
    await with_notes(database)
    for note in range(50):
        database.write_soon(INSERT, {"note": note})
    await database.close()
    database = await opened(database_settings, tmp_path)
    assert await database.read(count) == 50
    await database.close()


async def test_a_caller_that_leaves_does_not_take_its_write_back(
    database_settings: config.Database, tmp_path: Path
) -> None:
    database = await opened(database_settings, tmp_path)
    await with_notes(database)
    writing = asyncio.get_running_loop().create_task(database.write(INSERT, {"note": 1}))
    await asyncio.sleep(0)
    writing.cancel()
    await database.write(INSERT, {"note": 2})
    assert await database.read(count) == 2
    await database.close()


async def test_an_outage_is_reported_and_survived(postgresql: PostgresqlServer, tmp_path: Path) -> None:
    settings = config.Database.model_validate({"url": postgresql.create_database("outage")})
    database = await opened(settings, tmp_path)
    await with_notes(database)
    postgresql.stop()
    try:
        with pytest.raises(StoreFailed, match="Try again"):
            await database.write(INSERT, {"note": 1})
        with pytest.raises(StoreFailed):
            await database.read(count)
    finally:
        postgresql.start()
    await database.write(INSERT, {"note": 2})
    assert await database.read(count) == 1
    await database.close()


async def test_the_data_folder_belongs_to_its_user_alone(tmp_path: Path) -> None:
    database = await Database.open(config.Database(), tmp_path / "deep" / "data")
    await database.close()
    assert stat.S_IMODE((tmp_path / "deep" / "data").stat().st_mode) == 0o700
    assert (tmp_path / "deep" / "data" / "exai.sqlite").exists()


def modes_in(folder: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.glob("exai.sqlite*")}


async def test_the_file_belongs_to_its_user_alone_wherever_it_is(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir(mode=0o755)
    database = await Database.open(config.Database(), tmp_path / "open")
    await database.write(INSERT_NOTHING, {})
    modes = modes_in(tmp_path / "open")
    assert set(modes) >= {"exai.sqlite", "exai.sqlite-wal"}
    assert set(modes.values()) == {0o600}
    await database.close()


@pytest.mark.parametrize("folder", ["{tmp_path}/file/data", "/proc"])
async def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path, folder: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StartFault, match="data_dir"):
        await Database.open(config.Database(), Path(folder.format(tmp_path=tmp_path)))


async def test_a_file_that_is_no_database_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "exai.sqlite").write_text("this is not a database, it is a letter " * 100)
    with pytest.raises(StartFault, match="not a database"):
        await Database.open(config.Database(), tmp_path)


@pytest.mark.parametrize(
    "url",
    [
        "not a url",
        "mysql://user:canary@localhost/x",
        f"postgresql://user:canary@127.0.0.1:{1}/x",
    ],
)
async def test_a_url_that_leads_nowhere_is_one_sentence_without_its_password(
    url: str, tmp_path: Path
) -> None:
    with pytest.raises(StartFault, match=r"database\.url") as caught:
        await Database.open(config.Database.model_validate({"url": url}), tmp_path)
    assert "canary" not in str(caught.value)
    assert os.linesep not in str(caught.value)
