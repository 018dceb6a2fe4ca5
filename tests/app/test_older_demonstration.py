"""A demonstration on the data that an older version has left, which a start and any command bring to their schema."""

import asyncio
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from exai import config
from exai.cli import build_app
from exai.storage import migrate
from exai.storage.database import Database, inspect_schema
from exai.storage.database_file import FILE_NAME
from support.daemons import daemon


@pytest.fixture
async def older_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder whose ordinary and demonstration's databases lack the last migration."""
    data_dir = tmp_path / "data"
    older = tmp_path / "migrations"
    shutil.copytree(migrate.MIGRATIONS, older)
    max((older / "versions").glob("[0-9]*.py")).unlink()
    with monkeypatch.context() as before:
        before.setattr(migrate, "MIGRATIONS", older)
        migrate._known.cache_clear()
        for folder in (data_dir, data_dir / "demo"):
            await (await Database.open(config.Database(), folder)).close()
    migrate._known.cache_clear()
    return data_dir


async def test_it_is_migrated_by_its_start_and_the_ordinary_data_are_not(older_data: Path) -> None:
    async with daemon(data_dir=older_data, arguments=["--demo"]) as running:
        assert "is ready" in running.log
    head = migrate.head()
    assert (await inspect_schema(config.Database(), older_data / "demo")).version == head
    assert (await inspect_schema(config.Database(), older_data)).version != head


async def test_a_command_leaves_the_data_alone_that_a_daemon_of_another_version_works_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The daemon's schema is dated back, as a daemon of an older version has it."""
    data_dir = tmp_path / "data"
    monkeypatch.setenv("EXAI_DATA_DIR", str(data_dir))
    async with daemon(data_dir=data_dir, arguments=["--demo"]):
        with closing(sqlite3.connect(data_dir / "demo" / FILE_NAME)) as rows:
            rows.execute("UPDATE alembic_version SET version_num = '0038'")
            rows.commit()
        for command in (["errors", "list"], ["conversations", "list"]):
            refused = await asyncio.to_thread(CliRunner().invoke, build_app(), [*command, "--demo"])
            assert refused.exit_code != 0
            assert "has schema 0038" in str(refused.exception)
            assert "`exai stop --demo`" in str(refused.exception)
        assert (await inspect_schema(config.Database(), data_dir / "demo")).version == "0038"


def test_a_command_about_it_migrates_it_and_one_about_the_ordinary_data_says_how_to(
    older_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EXAI_DATA_DIR", str(older_data))
    of_demo = CliRunner().invoke(build_app(), ["conversations", "list", "--demo"])
    assert (of_demo.exit_code, of_demo.output) == (0, "There are none.\n")
    ordinary = CliRunner().invoke(build_app(), ["conversations", "list", "--no-demo"])
    assert ordinary.exit_code != 0
    assert "run `exai migrate`" in str(ordinary.exception)
