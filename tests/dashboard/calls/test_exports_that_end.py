"""An export that cannot be finished is refused with a sentence, or broken off so that nobody takes it for all."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from exai.auth.authority import Authority
from exai.auth.scopes import DASHBOARD
from exai.dashboard.calls import routes
from exai.storage.dashboard.call_search import CallPage, CallSearch
from exai.storage.faults import QueryTooSlow
from support.daemon_in_process import DaemonInProcess, StartInProcess
from support.guarded_daemon import authority_over, bearer
from support.journal_rows import call_row, write_calls

pytestmark = pytest.mark.virtual_time

ROWS = 40
PAGE = 10
Guarded = tuple[DaemonInProcess, Authority]
FindPage = Callable[..., Any]


@pytest.fixture
async def guarded(
    start_in_process: StartInProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Guarded]:
    """A daemon that asks for tokens, with forty calls, and exports of ten a page."""
    monkeypatch.setattr(routes, "EXPORT_PAGE", PAGE)
    async with (
        start_in_process(EXAI_AUTH__MODE="required") as daemon,
        authority_over(tmp_path / "data", daemon.clock) as authority,
    ):
        now = datetime.fromtimestamp(daemon.clock.wall(), UTC)
        rows = [call_row(f"call_{number:03}", now - timedelta(minutes=number)) for number in range(ROWS)]
        await write_calls(daemon.services.storage.database, rows)
        yield daemon, authority


def before_page(monkeypatch: pytest.MonkeyPatch, number: int, act: Callable[[], Any]) -> None:
    """Have something happen before so many pages were found."""
    find: FindPage = CallSearch.page
    found = 0

    async def page(self: CallSearch, *asked: Any) -> CallPage:
        nonlocal found
        found += 1
        if found == number:
            await act()
        told: CallPage = await find(self, *asked)
        return told

    monkeypatch.setattr(CallSearch, "page", page)


async def export(daemon: DaemonInProcess, token: str) -> tuple[int, str]:
    """The status of an export, and what came of it; one that was broken off is `incomplete`."""
    async with (
        aiohttp.ClientSession(daemon.operations, headers=bearer(token)) as http,
        http.get("/api/calls/export?format=jsonl") as answer,
    ):
        try:
            return answer.status, await answer.text()
        except aiohttp.ClientPayloadError:
            return answer.status, "incomplete"


async def too_slow() -> None:
    raise QueryTooSlow("It took too long. Narrow the range.")


async def test_an_export_whose_token_is_revoked_meanwhile_is_broken_off(
    guarded: Guarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon, authority = guarded
    issued = await authority.create("ann", "reads", [DASHBOARD])
    status, text = await export(daemon, issued.access_token)
    assert (status, len(text.splitlines())) == (200, ROWS)

    async def revoke() -> None:
        await authority.revoke(issued.token_id)
        await asyncio.sleep(2)  # until the daemon has followed

    before_page(monkeypatch, 2, revoke)
    assert await export(daemon, issued.access_token) == (200, "incomplete")
    assert (await export(daemon, issued.access_token))[0] == 401


async def test_a_statement_beyond_its_limit_refuses_an_export_or_breaks_it_off(
    guarded: Guarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon, authority = guarded
    token = (await authority.create("ann", "reads", [DASHBOARD])).access_token
    with monkeypatch.context() as first:
        before_page(first, 1, too_slow)
        status, text = await export(daemon, token)
        assert (status, "Narrow the range." in text) == (503, True)
    before_page(monkeypatch, 3, too_slow)
    assert await export(daemon, token) == (200, "incomplete")
