"""The database, SQLite or PostgreSQL: reads, group-committed writes, a schema that is checked at the start.

Which transaction locks what, and in which order, is described at the top of `write_operations`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import structlog
from sqlalchemy import URL, Connection, extract, func, make_url, select
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from exai import config
from exai.errors import StartFault, StoreFailed
from exai.runtime import tasks
from exai.runtime.disk_reserve import DiskReserve
from exai.runtime.os_errors import reason_of
from exai.runtime.private_files import make_private_folder
from exai.runtime.samples import Sample
from exai.runtime.start.later import LaterModule
from exai.storage import migrate
from exai.storage.database_file import FILE_NAME
from exai.storage.dialects import statement_limit, write_nothing
from exai.storage.fault_log import FaultLog
from exai.storage.faults import FAULTS, DatabaseBusy, Unreachable, Verdict, store_failed, verdict_on
from exai.storage.fleet.beating import BeatingRuns
from exai.storage.fleet.runs import FileRuns, Runs, new_run_id
from exai.storage.group_writer import GroupWriter
from exai.storage.sqlite import SqliteBackend
from exai.storage.write_operations import WriteOperation

if TYPE_CHECKING:
    from exai.storage import postgresql
else:
    postgresql = LaterModule("exai.storage.postgresql")

__all__ = ["Database", "Schema", "inspect_schema", "migrate_database", "sqlite_file"]

P = TypeVar("P")
R = TypeVar("R")
T = TypeVar("T")

_log = structlog.get_logger(__name__)

VIEW_S = 2.0


class Backend(Protocol):
    """A kind of database."""

    kind: str

    async def read(self, work: Callable[[Connection], T]) -> T: ...

    async def view(self, work: Callable[[Connection], T]) -> T: ...

    async def transact(self, work: Callable[[Connection], T]) -> T: ...

    async def close(self) -> None: ...


class Database:
    """A database and the writer of this process. Belongs to one event loop."""

    def __init__(
        self,
        backend: Backend,
        runs: Runs,
        run_id: str,
        commit_interval_s: float,
        reserve: DiskReserve | None = None,
    ) -> None:
        self._backend = backend
        self._runs = runs
        self.run_id = run_id
        """This process' time on the database; its journal rows carry it."""
        self._writer = GroupWriter(backend.transact, commit_interval_s, reserve)
        self._faults = FaultLog("reads")
        self._trial: asyncio.Task[bool] | None = None
        """The write of `check`, which several may wait for."""

    @classmethod
    async def open(
        cls, settings: config.Database, data_dir: Path, fleet: config.Fleet | None = None
    ) -> "Database":
        """Connect, see that the schema is the one the code needs, and set up an empty database.

        Args:
            fleet: how this process beats on PostgreSQL; without one as by default.

        Raises:
            StartFault: unreachable, unwritable, or of another schema; the sentence says what fixes it.
        """
        backend, runs = _backend(settings, data_dir, fleet or config.Fleet())
        try:
            with _start_faults(data_dir, backend.kind):
                prepare = partial(migrate.check_or_create, upgrades=settings.auto_migrate)
                await backend.transact(prepare)
                run_id = new_run_id()
                await runs.begin(run_id)
        except BaseException:
            await backend.close()
            raise
        place = _place(settings, data_dir)
        reserve = DiskReserve(place.with_name(f"{place.name}-reserve")) if isinstance(place, Path) else None
        if reserve is not None:
            await asyncio.to_thread(reserve.keep)
        return cls(backend, runs, run_id, settings.commit_interval_ms / 1000, reserve)

    @property
    def kind(self) -> str:
        """`sqlite` or `postgresql`."""
        return self._backend.kind

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run `work` on a connection that sees everything committed so far.

        Raises:
            DatabaseBusy: other reads had every connection for too long.
            StoreFailed: the database is out of reach.
        """
        return await self._looked_up(self._backend.read(work))

    async def view(self, work: Callable[[Connection], T]) -> T:
        """Run `work` for a page that somebody looks at: beside all other reads, each statement within `VIEW_S`.

        Raises:
            QueryTooSlow: a statement took longer, and was ended.
            DatabaseBusy: other reads had every connection for too long.
            StoreFailed: the database is out of reach.
        """

        def bounded(connection: Connection) -> T:
            with statement_limit(connection, VIEW_S):
                return work(connection)

        return await self._looked_up(self._backend.view(bounded))

    def write(self, operation: WriteOperation[P, R], parameters: P) -> Coroutine[Any, Any, R]:
        """Run a write in the next commit and return its result, once committed.

        Raises:
            StoreFailed: it was not kept.
        """
        return self._writer.write(operation, parameters)

    def write_soon(
        self,
        operation: WriteOperation[P, R],
        parameters: P,
        *,
        durable: bool = False,
        may_wait: bool = False,
    ) -> None:
        """Queue a write without waiting for its result; `close` commits it at the latest. Never raises.

        One that `durable` outlives an outage of the database: it is tried again, so its operation may run twice. One
        that `may_wait` begins no commit for a moment, but travels with the next.
        """
        self._writer.write_soon(operation, parameters, durable=durable, may_wait=may_wait)

    @property
    def pending_durable_writes(self) -> int:
        """How many of those wait for the database to come back."""
        return self._writer.pending_durable

    @property
    def dropped_writes(self) -> int:
        """How many of those were given up."""
        return self._writer.dropped

    def samples(self) -> list[Sample]:
        """Return the metrics of durable writes."""
        waiting = "Ends of calls and uploads whose write waits for the database."
        return [
            Sample("pending_durable_writes", waiting, self.pending_durable_writes),
            Sample("dropped_writes", "Of these, given up in the end.", self.dropped_writes, is_total=True),
            *self._faults.samples(),
            *self._writer.faults.samples(),
        ]

    async def check(self) -> None:
        """Check that the database answers and takes writes. A success of a moment ago is proof; else one is made.

        Reads that have every connection are no sign that it is away: what a write finds on its own one is.

        Raises:
            StoreFailed: it does not, or the latest write found it away a moment ago.
        """
        if not self._faults.worked_lately:
            with suppress(DatabaseBusy):
                await self.read(lambda connection: connection.execute(select(1)).scalar())
        writes = self._writer.faults
        if writes.is_away:
            raise StoreFailed("The database takes no writes.", retry_after_s=5.0)
        if writes.worked_lately:
            return
        if self._trial is None or self._trial.done():
            self._trial = tasks.spawn(self._try_to_write(), name="trial write")
        if not await asyncio.shield(self._trial):
            raise StoreFailed("The database takes no writes.", retry_after_s=5.0)

    async def _try_to_write(self) -> bool:
        try:
            await self._backend.transact(write_nothing)
        except FAULTS as error:
            self._writer.faults.failed(error)
            return False
        self._writer.faults.succeeded()
        return True

    async def is_over(self, run_id: str) -> bool:
        """Whether the process of another run has gone.

        Raises:
            StoreFailed: the database is out of reach.
        """
        return run_id != self.run_id and await self._looked_up(self._runs.is_over(run_id))

    async def show_alive(self) -> None:
        """Give the sign of life of this run now: a locked file that was lost, or a beat.

        Raises:
            StoreFailed: the database is out of reach.
        """
        await self._looked_up(self._runs.keep())

    @property
    def beats(self) -> BeatingRuns | None:
        """How this process shows on PostgreSQL that it lives; `None` on SQLite, where a locked file shows it."""
        return self._runs if isinstance(self._runs, BeatingRuns) else None

    async def _looked_up(self, asking: Awaitable[T]) -> T:
        try:
            result = await asking
        except FAULTS as error:
            if verdict_on(error) is Verdict.BUSY:
                self._faults.was_busy()
            else:
                self._faults.failed(error)
            raise store_failed(error) from error
        self._faults.succeeded()
        return result

    async def close(self) -> None:
        """Commit what is queued, say that this run is over, then close every connection."""
        await self._writer.close()
        if self._trial is not None:
            self._trial.cancel()
            await asyncio.wait([self._trial])
        with suppress(*FAULTS):
            await self._runs.end()
        await self._backend.close()


async def migrate_database(settings: config.Database, data_dir: Path) -> tuple[str | None, str]:
    """Bring a database to the schema that the code needs; the versions before and after.

    Raises:
        StartFault: unreachable, unwritable, or newer than this code.
    """
    backend, _ = _backend(settings, data_dir, config.Fleet())
    try:
        with _start_faults(data_dir, backend.kind):
            return await backend.transact(migrate.upgrade)
    finally:
        await backend.close()


@dataclass(frozen=True, slots=True)
class Schema:
    """Which schema a database has, and which one this code needs."""

    kind: str
    """`sqlite` or `postgresql`."""

    version: str | None
    """The schema it has; `None` for an empty one."""

    needed: str

    clock: float | None = None
    """What time it is there, in seconds since 1970; `None` on this machine."""


async def inspect_schema(settings: config.Database, data_dir: Path) -> Schema:
    """Read which schema a database has, and change nothing: no file and no table is created.

    Raises:
        StartFault: it cannot be reached or read.
    """
    place = _place(settings, data_dir)
    if isinstance(place, Path) and not place.exists():
        return Schema("sqlite", None, migrate.head())
    backend, _ = _backend(settings, data_dir, config.Fleet())
    try:
        with _start_faults(data_dir, backend.kind):
            version = await backend.read(migrate.current)
            clock = None if backend.kind == "sqlite" else await backend.read(_time_there)
            return Schema(backend.kind, version, migrate.head(), clock)
    finally:
        await backend.close()


def _time_there(connection: Connection) -> float:
    return float(connection.execute(select(extract("epoch", func.clock_timestamp()))).scalar_one())


def _backend(settings: config.Database, data_dir: Path, fleet: config.Fleet) -> tuple[Backend, Runs]:
    place = _place(settings, data_dir)
    if isinstance(place, Path):
        return _sqlite(place, "data_dir" if settings.url is None else "database.url")
    backend = postgresql.PostgresqlBackend(place.set(drivername="postgresql+asyncpg"))
    return backend, BeatingRuns(backend, fleet)


def sqlite_file(settings: config.Database, data_dir: Path) -> Path | None:
    """Return where the SQLite file of these settings is; `None` where they name a server.

    Raises:
        StartFault: `database.url` is not a URL of a database that EXAI knows.
    """
    place = _place(settings, data_dir)
    return place if isinstance(place, Path) else None


def _place(settings: config.Database, data_dir: Path) -> Path | URL:
    """SQLite's file, or the URL of PostgreSQL."""
    if settings.url is None:
        return data_dir / FILE_NAME
    try:
        url = make_url(settings.url.get_secret_value())
    except ArgumentError:
        raise StartFault(
            "`database.url` is not a database URL; write it as postgresql+asyncpg://user:password@host/name."
        ) from None
    if url.get_backend_name() == "sqlite" and url.database:
        return Path(url.database).absolute()
    if url.get_backend_name() == "postgresql":
        return url
    raise StartFault(
        f"`database.url` names {url.drivername}; EXAI keeps its data in SQLite or PostgreSQL "
        "(postgresql+asyncpg://user:password@host/name)."
    )


def _sqlite(file: Path, setting: str) -> tuple[Backend, Runs]:
    try:
        make_private_folder(file.parent)
        file.touch(mode=0o600)  # the folder may be one that others read
        with TemporaryFile(dir=file.parent):
            pass
    except OSError as error:
        raise StartFault(
            f"The data folder {file.parent} cannot be written ({_reason(error)}); "
            f"make it writable, or name another one with `{setting}`."
        ) from error
    return SqliteBackend(file), FileRuns(file.parent / "runs")


class _start_faults:  # noqa: N801 - reads as what it does where it is used
    """Turns what a database raises into a `StartFault`."""

    def __init__(self, data_dir: Path, kind: str) -> None:
        self._where = f"the SQLite file in {data_dir}" if kind == "sqlite" else "the server of `database.url`"

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, FAULTS) and not isinstance(error, StartFault):
            _log.debug("the database cannot be opened", exc_info=error)
            raise StartFault(f"EXAI cannot use {self._where}: {_reason(error)}.") from error


def _reason(error: BaseException) -> str:
    """Describe what went wrong, without the statement, its parameters or the URL."""
    if isinstance(error, Unreachable) and error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, SQLAlchemyError):
        error = getattr(error, "orig", None) or error
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, OSError) and error.strerror:
        return reason_of(error)
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    return text.rpartition(": ")[2][:200]
