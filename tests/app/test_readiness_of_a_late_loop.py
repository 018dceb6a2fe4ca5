"""What a daemon says of itself while its loop is late: what it knows, and not that it was late."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from exai import config
from exai.app.duties import readiness_duties
from exai.app.readiness import ReadinessChecks
from exai.dashboard.readiness import Readiness, State, readiness_of
from exai.errors import ProviderUnreachable
from exai.events.bus import EventBus
from exai.events.events import ProviderCallEnded
from exai.monitoring.loop_lag import LoopLag
from exai.providers.base import Reached
from exai.routing.breaker import Breakers
from exai.routing.reachability import Reachability
from exai.runtime.periodic import Scheduler
from exai.storage.database import Database
from support.virtual_time import LoopClock, hold_at

pytestmark = pytest.mark.virtual_time


class Away:
    """A provider that does not answer."""

    configured = True

    def __init__(self, *models: str) -> None:
        self.models = dict.fromkeys(models)

    async def reach(self, *, within_s: float) -> Reached:
        await asyncio.sleep(within_s)
        raise ProviderUnreachable("It did not answer in time. Try again later.")


class Asked:
    """The checks of a daemon with a database, and with providers that answer calls alone."""

    def __init__(self, database: Database) -> None:
        clock, bus = LoopClock(), EventBus()
        self._publish = bus.publish
        providers: dict[str, Any] = {"glm": Away("glm-5.3"), "kimi": Away("kimi-k3")}
        breakers = Breakers(config.Breaker(), clock, bus.publish)
        self.reachability = Reachability(providers, breakers, clock)
        self.reachability.watch(bus)
        services: Any = SimpleNamespace(
            configured_providers=list(providers),
            storage=SimpleNamespace(database=database),
            monitoring=SimpleNamespace(loop_lag=LoopLag(clock)),
        )
        self._checks = ReadinessChecks(services, self.reachability)

    def answered(self, *models: str) -> None:
        for model in models:
            self._publish(ProviderCallEnded(model.partition("-")[0], model, "ok", 1.0))

    async def readiness(self) -> Readiness:
        return await readiness_of(self._checks.all)


@pytest.fixture
async def asked(tmp_path: Path) -> AsyncIterator[Asked]:
    database = await Database.open(config.Database(), tmp_path)
    there = Asked(database)
    async with Scheduler(LoopClock()).running(*readiness_duties(there.reachability)):
        yield there
    await database.close()


@pytest.mark.parametrize("held_at", [0.0, 0.7, 1.4])
async def test_a_loop_that_is_late_makes_nothing_unready_while_a_provider_answers_calls(
    asked: Asked, held_at: float
) -> None:
    asked.answered("glm-5.3", "kimi-k3")
    for _ in range(5):
        await asyncio.sleep(6.0)  # nothing that was seen is proof any more
        hold_at(held_at, 2.5)
        asyncio.get_running_loop().call_later(0.6, asked.answered, "glm-5.3")
        readiness = await asked.readiness()
        assert readiness.verdicts["database"] == "ok"
        assert readiness.state is not State.UNREADY


async def test_not_ready_within_ten_seconds_when_none_can_answer_and_nobody_calls(asked: Asked) -> None:
    asked.answered("glm-5.3", "kimi-k3")
    for _ in range(10):
        readiness = await asked.readiness()
        await asyncio.sleep(1.0)
    assert readiness.state is State.UNREADY
