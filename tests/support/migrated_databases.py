"""Databases as a first start leaves them, copied from one that was migrated once."""

import asyncio
import functools
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

from exai import config
from exai.storage.database import migrate_database
from exai.storage.database_file import FILE_NAME
from support.postgresql_server import PostgresqlServer

__all__ = ["migrated_postgresql", "migrated_sqlite"]

TEMPLATE = "migrated"


def migrated_sqlite(file: Path) -> str:
    """Write the file; its URL."""
    file.touch(mode=0o600)
    file.write_bytes(_sqlite_file())
    return f"sqlite:///{file}"


def migrated_postgresql(server: PostgresqlServer, name: str) -> str:
    """Make a database on the server; its URL."""
    _make_template(server)
    return server.create_database(name, template=TEMPLATE)


@functools.cache
def _sqlite_file() -> bytes:
    with TemporaryDirectory(prefix="exai-migrated-") as folder:
        _migrate(config.Database(), Path(folder))
        return (Path(folder) / FILE_NAME).read_bytes()


@functools.cache
def _make_template(server: PostgresqlServer) -> None:
    _migrate(config.Database.model_validate({"url": server.create_database(TEMPLATE)}), Path())


def _migrate(settings: config.Database, data_dir: Path) -> None:
    with ThreadPoolExecutor(1) as thread:  # which has no event loop yet
        thread.submit(asyncio.run, migrate_database(settings, data_dir)).result()
