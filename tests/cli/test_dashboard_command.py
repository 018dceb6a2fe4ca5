"""`exai dashboard`: an address for a browser, with a ticket that the database knows."""

import asyncio
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from exai import config
from exai.auth.scopes import DASHBOARD, ERRORS, OPERATE
from exai.auth.tickets import Tickets
from exai.callers import Caller
from exai.cli import build_app
from exai.cli.commands import dashboard as command
from exai.errors import StartFault
from exai.runtime.clock import SystemClock
from exai.storage.database import Database
from exai.storage.identity.tickets import TicketTable
from support.daemons import free_port


def dashboard(*arguments: str) -> Result:
    return CliRunner().invoke(build_app(), ["dashboard", *arguments])


@pytest.fixture
def _running(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the address, a daemon answers there."""
    monkeypatch.setattr(command, "readiness", lambda *_: {"database": "ok"})


async def taken(data_dir: Path, ticket: str) -> Caller | None:
    database = await Database.open(config.Database(), data_dir)
    try:
        return await Tickets(TicketTable(database), SystemClock()).take(ticket)
    finally:
        await database.close()


@pytest.mark.usefixtures("_running")
def test_the_address_carries_a_ticket_of_three_scopes_and_no_administration(
    data_dir: Path,
) -> None:
    printed = dashboard("--subject", "ops").output
    address, _, ticket = printed.strip().partition("#ticket=")
    assert address == "http://127.0.0.1:8080/"
    caller = asyncio.run(taken(data_dir, ticket))
    assert caller is not None
    assert (caller.subject, caller.scopes) == ("ops", frozenset({DASHBOARD, ERRORS, OPERATE}))
    assert asyncio.run(taken(data_dir, ticket)) is None


@pytest.mark.usefixtures("_running")
def test_the_address_is_one_that_a_browser_can_open(data_dir: Path) -> None:
    required = ("--set", "auth.mode=required", "--set", "server.operations_port=9000")
    for host, found in (
        ("0.0.0.0", "127.0.0.1"),
        ("::", "[::1]"),
        ("::1", "[::1]"),
        ("10.0.0.7", "10.0.0.7"),
    ):
        printed = dashboard(*required, "--set", f"server.host={host}").output
        assert printed.startswith(f"http://{found}:9000/#ticket=ext_"), host
    assert dashboard("--address", "https://exai.example/").output.startswith(
        "https://exai.example/#ticket=ext_"
    )


def test_a_port_that_only_the_daemon_knows_is_to_be_named(data_dir: Path) -> None:
    result = dashboard("--set", "server.operations_port=0")
    assert isinstance(result.exception, StartFault)
    assert "--address" in str(result.exception)


def test_nothing_is_issued_where_no_daemon_answers(data_dir: Path) -> None:
    port = free_port()
    result = dashboard("--set", f"server.operations_port={port}")
    assert isinstance(result.exception, StartFault)
    assert f"No EXAI answers at http://127.0.0.1:{port}" in str(result.exception)
    assert not data_dir.exists()
