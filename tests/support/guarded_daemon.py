"""A daemon that asks for tokens, and tokens of every fate for it."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import aiohttp

from exai import config
from exai.auth.authority import Authority
from exai.auth.scopes import FILES, SCOPES
from exai.config.demo import demo_data_dir
from exai.runtime.clock import Clock, ManualClock, SystemClock
from exai.storage.database import Database
from exai.storage.identity.tables import IdentityTables
from support.daemons import Daemon, daemon
from support.waiting import wait_until

__all__ = ["GuardedDaemon", "authority_over", "bearer", "guarded_daemon"]

LONG_AGO_S = 7_200.0


def bearer(token: str | None) -> dict[str, str]:
    """The headers of a request with this token."""
    return {} if token is None else {"Authorization": f"Bearer {token}"}


@dataclass
class GuardedDaemon:
    """The daemon, and the authority of its administrator in the test's process."""

    daemon: Daemon
    authority: Authority
    refused: Mapping[str, str | None]
    """Tokens that no door may take, by what is wrong with them."""
    data_dir: Path
    """The data folder of the settings."""

    @property
    def its_data(self) -> Path:
        """Where a demonstration keeps its data."""
        return demo_data_dir(self.data_dir)

    async def token(self, *scopes: str, subject: str = "alice", lifetime: timedelta | None = None) -> str:
        """An access token that allows just this."""
        return (await self.authority.create(subject, "test", scopes, lifetime)).access_token


@asynccontextmanager
async def guarded_daemon(data_dir: Path, **environ: str) -> AsyncIterator[GuardedDaemon]:
    """A demonstration with `auth.mode` `required`, which counts no refusals unless a test says so."""
    settings = {
        "EXAI_AUTH__MODE": "required",
        "EXAI_AUTH__FAILURES_PER_MINUTE": "1000000",
        **environ,
    }
    async with (
        daemon(data_dir=data_dir, arguments=("--demo",), environ=settings) as running,
        _tables(demo_data_dir(data_dir)) as tables,
    ):
        its_data = demo_data_dir(data_dir)
        authority = Authority(config.Auth(), tables, its_data, SystemClock())
        refused = await _refused(authority, tables, its_data)
        await _until_heard_of(running, refused["subject revoked"])
        yield GuardedDaemon(running, authority, refused, data_dir)


@asynccontextmanager
async def authority_over(data_dir: Path, clock: Clock) -> AsyncIterator[Authority]:
    """The authority of a daemon's administrator, which works on the database itself and dates by `clock`."""
    async with _tables(data_dir) as tables:
        yield Authority(config.Auth(), tables, data_dir, clock)


@asynccontextmanager
async def _tables(data_dir: Path) -> AsyncIterator[IdentityTables]:
    database = await Database.open(config.Database(), data_dir)
    try:
        yield IdentityTables(database)
    finally:
        await database.close()


async def _until_heard_of(running: Daemon, last_revoked: str | None) -> None:
    """What another process revokes is known to the daemon a moment later."""
    async with aiohttp.ClientSession() as http:

        async def is_refused() -> bool:
            async with http.put(running.mcp_http, headers=bearer(last_revoked)) as response:
                return response.status == 401

        await wait_until(is_refused, what="the daemon knows what was revoked")


async def _refused(authority: Authority, tables: IdentityTables, data_dir: Path) -> dict[str, str | None]:
    everything = [*SCOPES]
    past = ManualClock(wall=SystemClock().wall() - LONG_AGO_S)
    long_ago = Authority(config.Auth(), tables, data_dir, past)
    elsewhere = Authority(config.Auth(audience="another"), tables, data_dir, SystemClock())
    revoked = await authority.create("alice", "revoked", everything)
    revoked_key = await authority.create_key("alice", "revoked key", everything)
    for each in (revoked, revoked_key):
        await authority.revoke(each.token_id)
    ended = await long_ago.create("bygone", "ended with its subject", everything, timedelta(days=1))
    await authority.revoke_subject("bygone")
    renewable = await authority.create("alice", "renewable", everything)
    expired = await long_ago.create("alice", "expired", everything, timedelta(minutes=30))
    expired_key = await long_ago.create_key("alice", "expired key", everything, timedelta(minutes=30))
    foreign = await elsewhere.create("alice", "elsewhere", everything)
    key = (await authority.create_key("alice", "key", [FILES])).access_token
    return {
        "none": None,
        "empty": "",
        "no token": "nonsense",
        "no token of ours": "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbGljZSJ9.",
        "expired": expired.access_token,
        "expired key": expired_key.access_token,
        "other audience": foreign.access_token,
        "revoked": revoked.access_token,
        "revoked key": revoked_key.access_token,
        "subject revoked": ended.access_token,
        "refresh token": renewable.refresh_token,
        "altered": renewable.access_token[:-8] + "AAAAAAAA",
        "altered key": key[:-6] + "AAAAAA",
    }
