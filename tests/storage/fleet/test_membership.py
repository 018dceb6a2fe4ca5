"""Who is over, and who has a lease: one suite for locked files, beats on PostgreSQL, and rows in memory.

The rows in memory are those of the simulation, so that what it shows is shown of the real thing.
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Protocol

import asyncpg
import pytest
from benchmarks.simulated_fleet import FleetSimulation, MemoryBoard, MemoryReplica
from sqlalchemy import Connection

from exai import config
from exai.storage.database import Database
from exai.storage.fleet.heartbeat import Beat, Heartbeat
from exai.storage.fleet.leases import HOUSEKEEPER
from exai.storage.fleet.runs import FileRuns, new_run_id
from exai.storage.fleet.schema import replicas
from exai.storage.write_operations import LockGroup, row_by_row
from support.migrated_databases import migrated_postgresql
from support.postgresql_server import PostgresqlServer
from support.waiting import wait_until

FLEET = config.Fleet(beat_s=0.1, lease_s=0.6)


class Member(Protocol):
    """A process among others."""

    run_id: str

    async def is_over(self, run_id: str) -> bool: ...

    async def end(self) -> None: ...

    async def die(self) -> None:
        """End as by SIGKILL."""

    async def lose_its_sign(self) -> None:
        """Have its file or row taken away by an operator; returns when it had time to notice."""

    def keeps_house(self) -> bool: ...


class Members(Protocol):
    """Begins processes."""

    can_lease: bool

    async def begin(self) -> Member: ...


class FileMember:
    def __init__(self, folder: Path) -> None:
        self.run_id = new_run_id()
        self._file = folder / self.run_id
        self.runs = FileRuns(folder)

    async def is_over(self, run_id: str) -> bool:
        return await self.runs.is_over(run_id)

    async def end(self) -> None:
        await self.runs.end()

    async def die(self) -> None:
        held = self.runs._held
        assert held is not None
        held[1].close()

    async def lose_its_sign(self) -> None:
        self._file.unlink()
        await self.runs.keep()

    def keeps_house(self) -> bool:
        return True


class FileMembers:
    can_lease = False

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def begin(self) -> Member:
        member = FileMember(self._folder)
        await member.runs.begin(member.run_id)
        return member


class DatabaseMember:
    def __init__(self, database: Database) -> None:
        self.database = database
        self.run_id = database.run_id
        assert database.beats is not None
        self.beats = database.beats

    async def is_over(self, run_id: str) -> bool:
        return await self.database.is_over(run_id)

    async def end(self) -> None:
        await self.database.close()

    async def die(self) -> None:
        beating = self.beats._beating
        assert beating is not None
        beating.cancel()

    async def lose_its_sign(self) -> None:
        await self.database.write(_forget, self.run_id)
        await self.database.show_alive()

    def keeps_house(self) -> bool:
        return self.beats.leads(HOUSEKEEPER)


@row_by_row(LockGroup.ERRORS)
def _forget(connection: Connection, run_id: str) -> None:
    connection.execute(replicas.delete().where(replicas.c.run_id == run_id))


class DatabaseMembers:
    can_lease = True

    def __init__(self, url: str, folder: Path) -> None:
        self._settings = config.Database.model_validate({"url": url})
        self._folder = folder
        self.all: list[Database] = []

    async def begin(self) -> Member:
        database = await Database.open(self._settings, self._folder, FLEET)
        self.all.append(database)
        member = DatabaseMember(database)
        member.beats.compete()
        return member


class MemoryMember(MemoryReplica):
    """Beats in real time."""

    def __init__(self, board: MemoryBoard, run_id: str) -> None:
        super().__init__(board, run_id, FLEET.lease_s)
        self._beating = asyncio.create_task(self._beat_on())

    async def _beat_on(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._board.clock = 1_000_000.0 + loop.time()
            self.beat(loop.time())
            await asyncio.sleep(FLEET.beat_s)

    async def is_over(self, run_id: str) -> bool:  # type: ignore[override]
        return super().is_over(run_id)

    async def end(self) -> None:  # type: ignore[override]
        self._beating.cancel()
        super().end()

    async def die(self) -> None:
        self._beating.cancel()

    async def lose_its_sign(self) -> None:
        del self._board.rows[self.run_id]
        self.beat(asyncio.get_running_loop().time())

    def keeps_house(self) -> bool:
        return self.leads(asyncio.get_running_loop().time())


class MemoryMembers:
    can_lease = True

    def __init__(self) -> None:
        self._board = MemoryBoard()

    async def begin(self) -> Member:
        member = MemoryMember(self._board, new_run_id())
        await asyncio.sleep(0)
        return member


@pytest.fixture(params=["files", "postgresql", "memory"])
async def members(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Members]:
    if request.param == "files":
        yield FileMembers(tmp_path / "runs")
    elif request.param == "memory":
        yield MemoryMembers()
    else:
        server: PostgresqlServer = request.getfixturevalue("postgresql")
        name = f"members_{request.node.name.partition('[')[0][-40:]}"
        begun = DatabaseMembers(migrated_postgresql(server, name), tmp_path)
        yield begun
        for database in begun.all:
            await database.close()


async def test_who_lives_is_not_over_and_who_ended_is_at_once(members: Members) -> None:
    one, other = await members.begin(), await members.begin()
    assert not await other.is_over(one.run_id)
    assert await other.is_over(new_run_id())
    await one.end()
    assert await other.is_over(one.run_id)
    await other.end()


async def test_who_died_is_found_out(members: Members) -> None:
    dead, one, other = [await members.begin() for _ in range(3)]
    await dead.die()
    for observer in (one, other):

        async def knows(observer: Member = observer) -> bool:
            return await observer.is_over(dead.run_id)

        await wait_until(knows, what="it is known to be dead")
    assert not await one.is_over(other.run_id)
    assert not await other.is_over(one.run_id)
    await one.end()
    await other.end()


async def test_a_sign_of_life_that_was_taken_away_is_given_anew(members: Members) -> None:
    one, other = await members.begin(), await members.begin()
    await one.lose_its_sign()
    assert not await other.is_over(one.run_id)
    await one.end()
    await other.end()


async def test_one_keeps_house_and_another_takes_over(members: Members) -> None:
    if not members.can_lease:
        return
    all_ = [await members.begin() for _ in range(3)]

    def keepers() -> list[Member]:
        return [member for member in all_ if member.keeps_house()]

    await wait_until(lambda: len(keepers()) == 1, what="one keeps house")
    first = keepers()[0]
    await first.end()
    all_.remove(first)
    await wait_until(lambda: len(keepers()) == 1, what="another keeps house after an end in order")
    second = keepers()[0]
    await second.die()
    all_.remove(second)
    await wait_until(lambda: keepers() == all_, what="the last keeps house after a death")
    await all_[0].end()


async def test_a_lease_whose_row_a_frozen_process_has_locked_keeps_nobody_from_beating(
    postgresql: PostgresqlServer, tmp_path: Path
) -> None:
    url = migrated_postgresql(postgresql, "locked_lease")
    members = DatabaseMembers(url, tmp_path)
    keeper = await members.begin()
    await wait_until(keeper.keeps_house, what="one keeps house")
    await keeper.die()
    waiting = await members.begin()
    assert isinstance(waiting, DatabaseMember)
    operator = await asyncpg.connect(url.replace("+asyncpg", ""))
    async with operator.transaction():
        await operator.execute("SELECT * FROM leases FOR UPDATE")
        await wait_until(lambda: waiting.beats._heartbeat.is_sure, what="it beats through a lease")
        assert not waiting.keeps_house()
    await wait_until(waiting.keeps_house, what="the lock is free")
    await operator.close()
    for database in members.all:
        await database.close()


@pytest.fixture
def heartbeat() -> Heartbeat:
    """One that has beaten through a lease of ten seconds."""
    made = Heartbeat(10.0)
    for second in range(0, 12, 2):
        made.saw(100.0 + second, second, [Beat("other", "serving", 100.0)])
    return made


def test_who_is_over_is_told_once(heartbeat: Heartbeat) -> None:
    old = [Beat("other", "serving", 100.0)]
    assert heartbeat.saw(110.5, 10.5, old) == {"other"}
    assert heartbeat.saw(112.0, 12.0, old) == set()


@pytest.mark.parametrize(
    ("now", "here"),
    [(160.0, 12.0), (50.0, 12.0), (112.0, 60.0)],
    ids=["clock set forward", "clock set back", "stood still"],
)
def test_after_a_gap_nobody_is_over_for_a_lease(heartbeat: Heartbeat, now: float, here: float) -> None:
    old = [Beat("other", "serving", 100.0)]
    assert heartbeat.is_sure
    for second in range(0, 10, 2):
        assert heartbeat.saw(now + second, here + second, old) == set()
    heartbeat.saw(now + 10, here + 10, old)
    assert heartbeat.saw(now + 12, here + 12, old) or heartbeat.is_over(old[0], now + 12)


def test_no_schedule_calls_a_living_one_dead_or_lets_two_keep_house() -> None:
    for seed in range(10_000):
        FleetSimulation(seed).run()
