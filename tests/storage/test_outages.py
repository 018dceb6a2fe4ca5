"""A database that goes away and comes back: what is told apart by SQLSTATE, what insists, and what the log says."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, closing, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import asyncpg
import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import DatabaseError, OperationalError
from sqlalchemy.util import await_only
from structlog.typing import EventDict

from exai import config
from exai.callers import Caller, Door
from exai.errors import StartFault, StoreFailed
from exai.runtime.clock import SystemClock
from exai.storage import fault_log, group_writer, migrate, sqlite
from exai.storage import postgresql as postgresql_backend
from exai.storage.calls.idempotent_calls import IdempotentCallId, IdempotentCallTable
from exai.storage.calls.journal import CallBegun, CallEnd, Journal
from exai.storage.database import Database
from exai.storage.fault_log import REPEAT_S, FaultLog
from exai.storage.faults import DatabaseBusy, Verdict, verdict_on
from exai.storage.fleet.runs import new_run_id
from exai.storage.write_operations import LockGroup, row_by_row
from support.daemons import free_port
from support.postgresql_server import PostgresqlServer, postgresql_server
from support.refusing_postgresql import refusing_postgresql
from support.tcp_proxy import TcpProxy, tcp_proxy
from support.waiting import wait_until

ALICE = Caller(subject="alice", door=Door.HTTP)
OK = CallEnd("call", "ok", None, None, None, None, None, None, {})


@row_by_row(LockGroup.CALLS)
def run(connection: Connection, sql: str) -> None:
    connection.execute(text(sql))


@pytest.fixture(autouse=True)
def _look_for_the_database_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_writer, "RETRY_S", 0.05)


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> list[EventDict]:
    """Every line about the database, whatever the level of the process' log is."""
    lines: list[EventDict] = []

    def keep(event: str, **facts: Any) -> None:
        lines.append({"event": event, **facts})

    monkeypatch.setattr(fault_log, "_log", SimpleNamespace(error=keep, warning=keep, info=keep))
    return lines


class Remote:
    """PostgreSQL behind a proxy that can go away."""

    def __init__(self, database: Database, proxy: TcpProxy) -> None:
        self.database = database
        self.proxy = proxy
        self.journal = Journal(database, SystemClock())

    async def begin(self) -> None:
        await self.journal.begin(CallBegun("call", ALICE, "chat", None, None))

    async def outcomes(self) -> list[str | None]:
        rows = text("SELECT outcome FROM calls")
        return list(await self.database.read(lambda connection: connection.execute(rows).scalars().all()))

    async def until_it_has_ended(self) -> None:
        async def has_ended() -> bool:
            return await self.outcomes() == ["ok"]

        await wait_until(has_ended, what="the row has its end")


@asynccontextmanager
async def remote(server: PostgresqlServer, name: str, folder: Path) -> AsyncIterator[Remote]:
    async with AsyncExitStack() as scopes:
        proxy, url = await scopes.enter_async_context(tcp_proxy(server.create_database(name)))
        settings = config.Database.model_validate({"url": url})
        database = await Database.open(settings, folder)
        scopes.push_async_callback(database.close)
        yield Remote(database, proxy)


@pytest.mark.parametrize("sqlstate", ["57P03", "53300", "28P01", "3D000", "08P01"])
async def test_an_end_outlives_whatever_the_server_refuses_connections_with(
    postgresql: PostgresqlServer, tmp_path: Path, sqlstate: str
) -> None:
    async with remote(postgresql, f"refuses_{sqlstate.lower()}", tmp_path) as there:
        await there.begin()
        await there.proxy.stop()
        async with refusing_postgresql(there.proxy.port, sqlstate):
            there.journal.end_soon(OK)
            for _ in range(2):
                with pytest.raises(StoreFailed):
                    await there.database.write(run, "SELECT 1")
            assert there.database.pending_durable_writes == 1
        await there.proxy.start()
        await there.until_it_has_ended()
        assert there.database.dropped_writes == 0


@pytest.mark.parametrize("sqlstate", ["25006", "40001", "53100", "57014", "XX000"])
async def test_an_end_outlives_whatever_its_transaction_fails_with(
    postgresql: PostgresqlServer, tmp_path: Path, sqlstate: str
) -> None:
    async with remote(postgresql, f"fails_{sqlstate.lower()}", tmp_path) as there:
        await there.begin()
        await there.database.write(
            run,
            "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN RAISE EXCEPTION 'not now' USING ERRCODE = '{sqlstate}'; END $$",
        )
        await there.database.write(
            run, "CREATE TRIGGER fail BEFORE UPDATE ON calls FOR EACH ROW EXECUTE FUNCTION fail()"
        )
        there.journal.end_soon(OK)
        await wait_until(lambda: there.database.pending_durable_writes == 1, what="the end waits")
        await there.database.write(run, "DROP TRIGGER fail ON calls")
        await there.until_it_has_ended()
        assert there.database.dropped_writes == 0


async def test_an_end_that_the_database_refuses_by_itself_is_counted(
    postgresql: PostgresqlServer, tmp_path: Path
) -> None:
    async with remote(postgresql, "refused_end", tmp_path) as there:
        await there.begin()
        await there.database.write(
            run, "ALTER TABLE calls ADD CONSTRAINT never CHECK (outcome IS DISTINCT FROM 'ok')"
        )
        there.journal.end_soon(OK)
        await wait_until(lambda: there.database.dropped_writes == 1, what="the end was given up")
        assert there.database.pending_durable_writes == 0


@pytest.mark.parametrize("sqlstate", ["28P01", "3D000", "57P03", "53300"])
async def test_a_start_at_a_server_that_refuses_ends_in_a_sentence(tmp_path: Path, sqlstate: str) -> None:
    port = free_port()
    settings = config.Database.model_validate({"url": f"postgresql://u:pw@127.0.0.1:{port}/exai"})
    async with refusing_postgresql(port, sqlstate):
        with pytest.raises(StartFault, match="not now"):
            await Database.open(settings, tmp_path)


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (OperationalError("x", {}, sqlite3.OperationalError("database or disk is full")), Verdict.AWAY),
        (DatabaseError("x", {}, sqlite3.DatabaseError("database disk image is malformed")), Verdict.AWAY),
        (TimeoutError(), Verdict.AWAY),
        (KeyError("a bug"), Verdict.REFUSED),
    ],
)
def test_errors_without_a_sqlstate(error: Exception, verdict: Verdict) -> None:
    assert verdict_on(error) is verdict


GATE = 42
LATE_COMMIT = f"""
CREATE FUNCTION arrive_late() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  LOOP
    BEGIN
      PERFORM pg_advisory_xact_lock_shared({GATE});
      RETURN NULL;
    EXCEPTION WHEN query_canceled THEN NULL;
    END;
  END LOOP;
END $$
"""


@asynccontextmanager
async def commits_arrive_late(there: Remote, url: str, table: str) -> AsyncIterator[None]:
    """The scope in which a transaction that inserts into `table` is committed, though nobody hears of it."""
    await there.database.write(run, LATE_COMMIT)
    await there.database.write(
        run,
        f"CREATE CONSTRAINT TRIGGER arrive_late AFTER INSERT ON {table} DEFERRABLE INITIALLY DEFERRED "
        "FOR EACH ROW EXECUTE FUNCTION arrive_late()",
    )
    operator = await asyncpg.connect(url.replace("+asyncpg", ""))
    try:
        await operator.execute(f"SELECT pg_advisory_lock({GATE})")
        yield
    finally:
        await operator.close()


async def test_a_begin_that_is_committed_after_its_end_leaves_no_open_row(
    postgresql: PostgresqlServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgresql_backend, "COMMAND_TIMEOUT_S", 0.5)
    async with remote(postgresql, "late_begin", tmp_path) as there:
        async with commits_arrive_late(there, postgresql.url("late_begin"), "calls"):
            with pytest.raises(StoreFailed):
                await there.begin()
            there.journal.end_soon(OK)
            with suppress(StoreFailed):
                await there.database.write(run, "SELECT 1")
            assert await there.outcomes() == []
        await there.until_it_has_ended()


async def test_a_key_whose_begin_is_committed_late_is_free_once_it_was_freed(
    postgresql: PostgresqlServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgresql_backend, "COMMAND_TIMEOUT_S", 0.5)
    async with remote(postgresql, "late_key", tmp_path) as there:
        table = IdempotentCallTable(there.database, SystemClock())
        call = IdempotentCallId("alice", "key")
        row = {"digest": "digest", "tool": "chat", "call_id": "call"}

        async def is_freed() -> bool:
            try:
                await table.free(call, **row)
            except StoreFailed:
                return False
            return True

        async with commits_arrive_late(there, postgresql.url("late_key"), "idempotent_calls"):
            with pytest.raises(StoreFailed):
                await table.begin(call, **row)
            was_freed = await is_freed()
        if not was_freed:
            await wait_until(is_freed, what="the key is freed")
        rows = text("SELECT count(*) FROM idempotent_calls")
        arrived = text(f"SELECT pg_advisory_xact_lock({GATE})")
        await there.database.read(lambda connection: connection.execute(arrived).all())
        assert await there.database.read(lambda connection: connection.scalar(rows)) == 0


@asynccontextmanager
async def every_reader_held(there: Remote, url: str) -> AsyncIterator[None]:
    """The scope in which reads hold all connections that there are for reads."""
    operator = await asyncpg.connect(url.replace("+asyncpg", ""))
    await operator.execute(f"SELECT pg_advisory_lock({GATE})")
    arrived = text(f"SELECT pg_advisory_xact_lock_shared({GATE})")

    async def hold() -> None:
        await there.database.read(lambda connection: connection.execute(arrived).all())

    async def all_wait() -> bool:
        waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        return bool(await operator.fetchval(waiting) == postgresql_backend.READERS)

    try:
        async with asyncio.TaskGroup() as holding:
            for _ in range(postgresql_backend.READERS):
                holding.create_task(hold())
            await wait_until(all_wait, what="reads hold every connection")
            yield
            await operator.execute(f"SELECT pg_advisory_unlock({GATE})")
    finally:
        await operator.close()


async def test_a_storm_of_reads_is_no_outage_and_keeps_no_write_waiting(
    postgresql: PostgresqlServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, logged: list[EventDict]
) -> None:
    monkeypatch.setattr(postgresql_backend, "POOL_TIMEOUT_S", 0.2)
    monkeypatch.setattr(fault_log, "PROOF_S", 0.0)
    async with remote(postgresql, "storm", tmp_path) as there:
        database = there.database
        await there.begin()
        async with every_reader_held(there, postgresql.url("storm")):
            storm = await asyncio.gather(*(there.outcomes() for _ in range(80)), return_exceptions=True)
            assert {type(each) for each in storm} == {DatabaseBusy}
            fault = storm[0]
            assert isinstance(fault, DatabaseBusy)
            assert (fault.retryable, fault.retry_after_s) == (True, 5.0)
            await database.check()
            there.journal.end_soon(OK)
            await database.write(run, "SELECT 1")
            await database.show_alive()
            assert (database.pending_durable_writes, database.dropped_writes) == (0, 0)
            counted = {(each.name, each.labels): each.value for each in database.samples()}
            assert counted["database_busy", (("of", "reads"),)] == 81
            assert counted["database_failures", (("of", "reads"),)] == 0
            assert [line["event"] for line in logged] == ["every connection to the database is in use"]
        assert await there.outcomes() == ["ok"]


async def test_a_start_that_finds_the_database_empty_bears_that_another_one_sets_it_up_meanwhile(
    postgresql: PostgresqlServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = config.Database.model_validate({"url": postgresql.create_database("first_starts")})
    read, others = migrate.current, list[Database]()

    def current(connection: Connection) -> str | None:
        version = read(connection)
        if version is None:
            monkeypatch.setattr(migrate, "current", read)
            others.append(await_only(Database.open(settings, tmp_path)))
        return version

    monkeypatch.setattr(migrate, "current", current)
    database = await Database.open(settings, tmp_path)
    assert await database.read(read) == migrate.head()
    for each in (database, *others):
        await each.close()


async def test_after_a_restart_of_the_server_nobody_is_dead_who_was_there_before(tmp_path: Path) -> None:
    fleet = config.Fleet(beat_s=0.1, lease_s=1.0)
    with postgresql_server() as server:
        settings = config.Database.model_validate({"url": server.url()})
        one, other = [await Database.open(settings, tmp_path, fleet) for _ in range(2)]
        beats = other.beats
        assert beats is not None
        await wait_until(lambda: beats._heartbeat.is_sure, what="a missing beat means something")
        server.stop()
        await asyncio.sleep(2 * fleet.lease_s)
        server.start()

        async def is_sure_again() -> bool:
            with suppress(StoreFailed):
                assert not await other.is_over(one.run_id)
            return beats._heartbeat.is_sure

        await wait_until(is_sure_again, what="a missing beat means something once more")
        assert await other.is_over(new_run_id())
        await one.close()
        assert await other.is_over(one.run_id)
        await other.close()


async def test_a_lock_file_that_was_cleared_away_is_made_anew(tmp_path: Path) -> None:
    one, other = [await Database.open(config.Database(), tmp_path) for _ in range(2)]
    (tmp_path / "runs" / one.run_id).unlink()
    await one.show_alive()
    assert not await other.is_over(one.run_id)
    await one.close()
    assert await other.is_over(one.run_id)
    await other.close()


async def is_well(database: Database) -> bool:
    try:
        await database.check()
    except StoreFailed:
        return False
    return True


async def test_a_server_that_turns_read_only_takes_no_writes(
    postgresql: PostgresqlServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fault_log, "PROOF_S", 0.0)
    monkeypatch.setattr(fault_log, "REMEMBERED_S", 0.05)
    async with remote(postgresql, "read_only", tmp_path) as there:
        assert await is_well(there.database)
        operator = await asyncpg.connect(postgresql.url().replace("+asyncpg", ""))
        for value, works in (("on", False), ("off", True)):
            await operator.execute(f"ALTER DATABASE read_only SET default_transaction_read_only = {value}")
            there.proxy.cut()

            async def shows(expected: bool = works) -> bool:
                return await is_well(there.database) is expected

            await wait_until(shows, what=f"read-only is {value}")
        await operator.close()


async def test_a_full_or_locked_file_takes_no_writes_though_it_can_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT_MS", 50)
    monkeypatch.setattr(fault_log, "PROOF_S", 0.0)
    monkeypatch.setattr(fault_log, "REMEMBERED_S", 0.05)
    database = await Database.open(config.Database(), tmp_path)
    assert await is_well(database)
    with closing(sqlite3.connect(tmp_path / sqlite.FILE_NAME, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert not await is_well(database)
        other.execute("ROLLBACK")
    await wait_until(lambda: is_well(database), what="the file is free")
    monkeypatch.setattr(fault_log, "REMEMBERED_S", 600.0)
    await database.write(run, "PRAGMA max_page_count = 1")
    with pytest.raises(StoreFailed):
        await database.write(run, "CREATE TABLE large AS SELECT zeroblob(9999999) AS zeros")
    assert not await is_well(database)
    await database.write(run, "PRAGMA max_page_count = 1000000")
    assert await is_well(database)
    await database.close()


async def test_a_trial_write_changes_the_file_and_no_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fault_log, "PROOF_S", 0.0)
    database = await Database.open(config.Database(), tmp_path)
    with closing(sqlite3.connect(tmp_path / sqlite.FILE_NAME)) as other:
        versions = []
        for _ in range(2):
            await asyncio.gather(*(database.check() for _ in range(3)))
            versions += other.execute("PRAGMA data_version").fetchone()
    assert versions[1] != versions[0]
    await database.close()


def told(logged: list[EventDict], event: str) -> list[EventDict]:
    return [line for line in logged if line["event"] == event]


async def test_an_outage_is_logged_when_it_begins_and_when_it_is_over(
    postgresql: PostgresqlServer, tmp_path: Path, logged: list[EventDict]
) -> None:
    async with remote(postgresql, "log_of_an_outage", tmp_path) as there:
        await there.proxy.stop()
        for _ in range(20):
            results = await asyncio.gather(
                *(there.database.write(run, "SELECT 1") for _ in range(5)),
                there.database.check(),
                return_exceptions=True,
            )
            assert [type(result) for result in results] == [StoreFailed] * 6
        failed = told(logged, "the database failed")
        kinds = [(line["of"], line["kind"]) for line in failed]
        assert len(kinds) == len(set(kinds))
        await there.proxy.start()
        await there.database.write(run, "SELECT 1")
        await there.database.check()
        over = told(logged, "the database works again")
        assert [line["of"] for line in over] == ["writes", "reads"]
        assert sum(line["writes_lost"] for line in (*failed, *over)) == 100


async def test_what_is_given_up_in_an_outage_is_one_number_at_its_end(
    postgresql: PostgresqlServer,
    tmp_path: Path,
    logged: list[EventDict],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(group_writer, "MOST_PENDING", 1)
    async with remote(postgresql, "given_up", tmp_path) as there:
        await there.begin()
        await there.proxy.stop()
        for _ in range(10):
            there.journal.end_soon(OK)
            with suppress(StoreFailed):
                await there.database.write(run, "SELECT 1")
        await wait_until(lambda: there.database.dropped_writes == 9, what="all but one are lost")
        assert len(logged) <= 2
        await there.proxy.start()
        await there.until_it_has_ended()
        assert sum(line["durable_writes_given_up"] for line in logged if line["of"] == "writes") == 9


@pytest.mark.virtual_time
async def test_a_long_outage_is_counted_once_a_minute_and_one_that_flaps_no_oftener(
    logged: list[EventDict],
) -> None:
    faults = FaultLog("writes")
    for second in range(300):
        faults.failed(ConnectionRefusedError(), writes_lost=1)
        if second > 150:
            faults.succeeded()
        await asyncio.sleep(1.0)
    failed = told(logged, "the database failed")
    assert len(failed) == 300 / REPEAT_S
    assert [line["exc_info"] is None for line in failed] == [False, True, True, False, False]
    assert len(told(logged, "the database works again")) == 3
    assert faults.total == 300
