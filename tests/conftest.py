"""What every test may ask for."""

import asyncio
import gc
import itertools
import os
import time
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from exai import config
from exai.monitoring import logs
from exai.storage.database import Database
from exai_emulator import Emulator, EmulatorOptions, running
from support.browsers import BrowserProcess, browser_process
from support.compiled_statements import share_compiled_statements
from support.daemon_in_process import DaemonInProcess, StartInProcess, daemon_in_process
from support.daemons import KINGFISHER_CACHE, NO_KEYRING, Daemon, StartDaemon, daemon
from support.emulated import provider_environment
from support.migrated_databases import migrated_postgresql, migrated_sqlite
from support.open_doors import Doors, open_doors
from support.postgresql_server import PostgresqlServer, postgresql_server
from support.s3_server import S3Server, s3_server
from support.virtual_time import VirtualTimeLoop

pytest_plugins = ["support.desks"]

# A busy machine fails no property: neither an example nor its making has a time limit.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")
share_compiled_statements()

_numbers = itertools.count(1)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect without the garbage collector: tests live to the end, and it would look at each again and again."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_asyncio_loop_factories(
    config: pytest.Config,
    item: pytest.Item,
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The loop on which a test and its fixtures run."""
    if item.get_closest_marker("virtual_time") is not None:
        return {"virtual": VirtualTimeLoop}
    return {"real": asyncio.new_event_loop}


@pytest.fixture(autouse=True, scope="session")
def _log_as_the_daemon_does() -> None:
    logs.configure(config.Logging(level="error", format="json"))


@pytest.fixture(autouse=True, scope="session")
def _see_no_keyring_of_the_developer() -> None:
    os.environ.update(NO_KEYRING)


@pytest.fixture(autouse=True, scope="session")
def _compile_the_rules_of_secrets_once() -> None:
    os.environ.update(KINGFISHER_CACHE)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgresqlServer]:
    """A real PostgreSQL, one for the whole session."""
    with postgresql_server() as server:
        yield server


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    """A real S3, one for the whole session."""
    with s3_server() as server:
        yield server


@pytest.fixture(scope="session")
def browser() -> Iterator[BrowserProcess]:
    """A real browser, one for the whole session, started when a test first asks for it."""
    with browser_process() as started:
        yield started


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what needs a database on each kind, or on SQLite alone where any database will do."""
    if "database_kind" in metafunc.fixturenames:
        marks = metafunc.definition
        is_alone = marks.get_closest_marker("sqlite") or marks.get_closest_marker("virtual_time")
        kinds = ["sqlite"] if is_alone else ["sqlite", "postgresql"]
        metafunc.parametrize("database_kind", kinds, indirect=True)


@pytest.fixture
def database_kind(request: pytest.FixtureRequest) -> str:
    """`sqlite` or `postgresql`."""
    kind: str = request.param
    return kind


@pytest.fixture
def empty_database_settings(
    database_kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> config.Database:
    """A database without a table; the SQLite one, a file yet to be made, is in the test's `tmp_path`."""
    if database_kind == "sqlite":
        url = f"sqlite:///{tmp_path / 'exai.sqlite'}"
    else:
        server: PostgresqlServer = request.getfixturevalue("postgresql")
        url = server.create_database(f"test_{next(_numbers)}")
    return config.Database.model_validate({"url": url})


@pytest.fixture
def database_settings(database_kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> config.Database:
    """A database as its first start leaves it; the SQLite one is in the test's `tmp_path`."""
    if database_kind == "sqlite":
        url = migrated_sqlite(tmp_path / "exai.sqlite")
    else:
        url = migrated_postgresql(request.getfixturevalue("postgresql"), f"test_{next(_numbers)}")
    return config.Database.model_validate({"url": url})


@pytest.fixture
async def database(database_settings: config.Database, tmp_path: Path) -> AsyncIterator[Database]:
    """That database, opened."""
    # Beats are few, so that what a test writes into the row of a replica stays.
    opened = await Database.open(database_settings, tmp_path, config.Fleet(beat_s=60, lease_s=600))
    yield opened
    await opened.close()


@pytest.fixture
async def doors() -> AsyncIterator[Doors]:
    """The MCP port on real sockets, before a scripted engine."""
    async with open_doors() as opened:
        yield opened


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with running(EmulatorOptions()) as emulator:
        yield emulator


@pytest.fixture
def provider_environ(emulator: Emulator) -> dict[str, str]:
    """The environment of a daemon that asks the emulator for GLM and Kimi."""
    return provider_environment(emulator)


@pytest.fixture
def start_daemon(provider_environ: dict[str, str], tmp_path: Path) -> StartDaemon:
    """Starts a daemon on the test's data folder; several starts in turn share it."""

    @asynccontextmanager
    async def start(**environ: str) -> AsyncIterator[Daemon]:
        async with daemon(
            data_dir=tmp_path / "data", environ={**provider_environ, **environ}
        ) as running_daemon:
            yield running_daemon

    return start


@pytest.fixture
def start_in_process(provider_environ: dict[str, str], tmp_path: Path) -> StartInProcess:
    """Starts a daemon on the test's own event loop, for what takes virtual time."""

    def start(**environ: str) -> AbstractAsyncContextManager[DaemonInProcess]:
        return daemon_in_process(
            data_dir=tmp_path / "data", environ={**provider_environ, **environ}, wall=time.time()
        )

    return start
