"""Programs that report by the SDKs of Sentry: grouped, counted as they count themselves, and nothing private kept."""

import asyncio
import sqlite3
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from exai import config
from exai.error_tracking.ingestion.intake import sha256_of
from exai.runtime.clock import SystemClock
from exai.storage.database import Database
from exai.storage.error_tracking.groups import GroupTables
from exai.storage.error_tracking.projects import ProjectTables
from support.daemons import Daemon, daemon
from support.nodes import Node

KEY = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
PYTHON_CLIENT = Path(__file__).parents[1] / "support" / "sentry_client.py"
TIMEOUT_S = 60
SETTINGS = {"GLM_API_KEY": "id.secret"}


async def run(*command: str, environ: dict[str, str] | None = None) -> None:
    """Run a program that reports, to its end."""
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=environ
    )
    async with asyncio.timeout(TIMEOUT_S):
        out, err = await process.communicate()
    assert out == b"sent\n", err.decode()


async def report(database: Database, running: Daemon, name: str, node: Node) -> int:
    """Make a project, and have one program report to it; its number."""
    made = await ProjectTables(database, SystemClock()).create(name, "private", sha256_of(KEY))
    assert made is not None
    dsn = f"{running.errors.replace('http://', f'http://{KEY}@')}/{made.project_id}"
    if name == "node":
        await run(str(node.binary), str(node.folder / "sentry_client.mjs"), dsn, environ=dict(node.environ()))
    else:
        await run(sys.executable, str(PYTHON_CLIENT), dsn, name)
    return made.project_id


@pytest.mark.parametrize("name", ["gzip", "br", "node"])
async def test_what_a_program_reports_is_what_it_sent(data_dir: Path, node: Node, name: str) -> None:
    async with daemon(data_dir=data_dir, environ=SETTINGS) as running:
        database = await Database.open(config.Database(), data_dir)
        try:
            number = await report(database, running, name, node)
            clock = SystemClock()
            groups = await GroupTables(database, clock).listed(state=None, most=10, project_id=number)
            uses = await ProjectTables(database, clock).listing(clock.utc() - timedelta(days=1))
        finally:
            await database.close()
    (intake,) = [use.intake for use in uses if use.project.project_id == number]
    assert sorted(group.seen for group in groups) == [1, 5]
    assert (intake.events, intake.lost, intake.broken) == (6, 3, 0), (
        "the SDK dropped three itself, and says so"
    )
    (raised,) = [group for group in groups if group.seen == 5]
    assert raised.kind == ("RangeError" if name == "node" else "LookupError")
    assert raised.first_release == "basket@2.0.0"
    with sqlite3.connect(data_dir / "exai.sqlite") as stored:
        whole = "\n".join(stored.iterdump())
    for private in ("canary-", "canary_local", "192.0.2.77"):
        assert private not in whole
    assert "pay_basket" in whole or "payBasket" in whole
