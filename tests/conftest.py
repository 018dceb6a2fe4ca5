"""What every test may ask for."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from exai import config, logs
from postgresql_server import PostgresqlServer, postgresql_server

_numbers = itertools.count(1)


@pytest.fixture(autouse=True, scope="session")
def _log_as_the_daemon_does() -> None:
    logs.configure(config.Logging(level="error", format="json"))


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgresqlServer]:
    """A real PostgreSQL, one for the whole session."""
    with postgresql_server() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def database_settings(request: pytest.FixtureRequest, tmp_path: Path) -> config.Database:
    """A fresh, empty database of each kind; the SQLite one is in the test's `tmp_path`."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'exai.sqlite'}"
    else:
        server: PostgresqlServer = request.getfixturevalue("postgresql")
        url = server.create_database(f"test_{next(_numbers)}")
    return config.Database.model_validate({"url": url})
