"""What a beat on PostgreSQL finds besides who is over: how many daemons there are, and in which state."""

from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path

from exai import config
from exai.runtime.clock import SystemClock
from exai.storage.database import Database
from exai.storage.fleet.beating import BeatingRuns
from exai.storage.fleet.replicas import Replicas
from support.copies_storm import ShiftedClock
from support.migrated_databases import migrated_postgresql
from support.postgresql_server import PostgresqlServer
from support.waiting import wait_until

FLEET = config.Fleet(beat_s=0.1, lease_s=0.6)


async def test_daemons_are_counted_by_state(postgresql: PostgresqlServer, tmp_path: Path) -> None:
    url = migrated_postgresql(postgresql, "replica_counts")
    settings = config.Database.model_validate({"url": url})

    async def opened() -> tuple[Database, BeatingRuns]:
        database = await Database.open(settings, tmp_path, FLEET)
        scopes.push_async_callback(database.close)
        assert database.beats is not None
        return database, database.beats

    async def counted(serving: int, draining: int, over: int) -> None:
        wanted = {"serving": serving, "draining": draining, "over": over}

        def are_so_many() -> bool:
            return {sample.labels[0][1]: sample.value for sample in beats.replica_counts()} == wanted

        await wait_until(are_so_many, what=f"there are {wanted}")

    async with AsyncExitStack() as scopes:
        database, beats = await opened()
        other, others_beats = await opened()
        await opened()  # a command beats as well, and is no daemon
        for each in (database, other):
            await Replicas(each, SystemClock()).begin("1.2.3", "digest", "here")
        await counted(serving=2, draining=0, over=0)
        assert await Replicas(database, SystemClock()).drain(other.run_id[-8:], FLEET.lease_s)
        await counted(serving=1, draining=1, over=0)
        assert others_beats._beating is not None
        others_beats._beating.cancel()
        await counted(serving=1, draining=0, over=1)
        assert not await Replicas(database, SystemClock()).drain(other.run_id[-8:], FLEET.lease_s)


async def test_a_process_whose_clock_is_wrong_drains_by_no_other_time(
    postgresql: PostgresqlServer, tmp_path: Path
) -> None:
    settings = config.Database.model_validate({"url": migrated_postgresql(postgresql, "wrong_clock")})
    database = await Database.open(settings, tmp_path, FLEET)
    clock = ShiftedClock()
    clock.ahead = timedelta(hours=-2)
    wrong = Replicas(database, clock)
    await Replicas(database, SystemClock()).begin("1.2.3", "digest", "here")
    beats = database.beats
    assert beats is not None
    assert beats._beating is not None
    beats._beating.cancel()
    (before,) = await wrong.latest(1)
    wrong.drain_soon()

    async def is_draining() -> bool:
        return (await wrong.latest(1))[0].state == "draining"

    await wait_until(is_draining, what="its row says that it drains")
    assert (await wrong.latest(1))[0].beat_at == before.beat_at
    await database.close()
