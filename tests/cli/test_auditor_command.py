"""`exai auditor`: exercises through a real socket, and what was observed is listed and judged."""

import asyncio
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from exai import config
from exai.cli import build_app
from exai.errors import StartFault
from exai.runtime.clock import SystemClock
from exai.storage.auditor.observations import Observations, Seen
from exai.storage.calls.budgets import BudgetGrants, Limit, Wanted
from exai.storage.database import Database
from support.daemons import StartDaemon


async def exai(*arguments: str) -> Result:
    return await asyncio.to_thread(lambda: CliRunner().invoke(build_app(), ["auditor", *arguments]))


async def test_exercises_find_what_was_planted(start_daemon: StartDaemon, data_dir: Path) -> None:
    async with start_daemon(EXAI_AUDITOR__MODE="controlled"):
        steady = await exai("exercise", "--phase", "1", "--speed", "600", "--json")
        planted = await exai("exercise", "--phase", "2", "--speed", "900", "--minutes", "45")
    outcome = json.loads(steady.stdout)
    assert (outcome["sent"], outcome["delivered"], outcome["folded"]) == (400, 400, 400)
    assert (outcome["dropped"], outcome["model_requests"], outcome["observed"]) == (0, 0, [])
    assert outcome["rate_per_min"] > 0
    assert "critical flapping of exercise/model-a: as planted" in planted.stdout
    assert "critical tokens of all: as planted" in planted.stdout
    assert "NOT" not in planted.stdout
    shown = json.loads((await exai("observations", "--exercises", "--json")).stdout)
    assert len([each for each in shown if each["subject"].startswith("exercise:")]) == 9
    assert "exercise:" not in (await exai("observations")).stdout


async def test_without_a_daemon_there_is_nothing_to_exercise(data_dir: Path) -> None:
    assert isinstance((await exai("exercise", "--phase", "1")).exception, StartFault)


@pytest.mark.usefixtures("data_dir")
async def test_an_auditor_that_is_off_is_not_exercised(start_daemon: StartDaemon) -> None:
    async with start_daemon(EXAI_AUDITOR__MODE="off"):
        refused = await exai("exercise", "--phase", "1", "--speed", "600")
    assert "auditor.mode" in str(refused.exception)


@pytest.fixture
async def observed(data_dir: Path) -> None:
    """The data folder of the commands has an observation, and a request that was granted."""
    database = await Database.open(config.Database(), data_dir)
    seen = Seen("obs_1", "loop", "all", "critical", "performance", {"lag ms": 5_200}, "Look at the log.", 0.0)
    await Observations(database, SystemClock()).see(seen)
    wanted = Wanted("auditor", "call_1", 0.02, (Limit(3_600.0, requests=1),))
    await BudgetGrants(database, SystemClock()).grant(wanted)
    await database.close()


@pytest.mark.usefixtures("observed")
async def test_an_observation_is_listed_judged_and_counted() -> None:
    assert "obs_1" in (await exai("observations", "--state", "open")).stdout
    whole = (await exai("observations", "obs_1", "--judge", "useful", "--acknowledge")).stdout
    assert "acknowledged" in whole
    assert "lag ms 5200" in whole
    assert "Look at the log." in whole
    told = json.loads((await exai("status", "--json")).stdout)
    assert told["mode"] == "watch"
    assert told["open"] == {"info": 0, "warning": 0, "critical": 1}
    assert told["judged"] == {"loop": {"useful": 1, "noise": 0}}
    assert (told["requests_in_the_last_hour"], told["usd_in_the_last_day"]) == (1, 0.02)
    text = (await exai("status")).stdout
    assert "1 critical, 0 warning, 0 info" in text
    assert "loop  1       0" in text


@pytest.mark.usefixtures("observed")
async def test_what_is_wrong_is_said() -> None:
    assert isinstance((await exai("observations", "obs_2")).exception, StartFault)
    assert (await exai("observations", "--judge", "noise")).exit_code == 2
