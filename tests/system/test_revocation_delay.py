"""How soon an open socket ends after its token did: by revocation in another process, and by its own date."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from exai.app.duties import CREDENTIALS_S, REVOCATIONS_S
from exai.auth.authority import Authority
from exai.auth.scopes import MODELS
from exai.runtime.periodic import JITTER
from support.daemon_in_process import DaemonInProcess, StartInProcess
from support.guarded_daemon import authority_over, bearer
from support.session_socket import session_socket
from support.virtual_time import now

pytestmark = pytest.mark.virtual_time

PROMISED_S = 1.0


@asynccontextmanager
async def guarded(start: StartInProcess, data_dir: Path) -> AsyncIterator[tuple[DaemonInProcess, Authority]]:
    """A daemon that wants tokens, and the authority as another process has it."""
    async with (
        start(EXAI_AUTH__MODE="required") as daemon,
        authority_over(data_dir, daemon.clock) as authority,
    ):
        yield daemon, authority


async def closed(connection: Any) -> tuple[int, str, float]:
    """How and when the daemon closes."""
    with pytest.raises(ConnectionClosed) as closing:
        while True:
            await connection.recv()
    assert closing.value.rcvd is not None
    return closing.value.rcvd.code, closing.value.rcvd.reason, now()


async def test_what_another_process_revokes_ends_open_sockets_within_a_second(
    start_in_process: StartInProcess, tmp_path: Path
) -> None:
    delays: list[float] = []
    async with guarded(start_in_process, tmp_path / "data") as (daemon, authority):
        for moment in range(20):
            await asyncio.sleep(1 + moment * 0.03)
            issued = await authority.create("alice", "to be revoked", [MODELS])
            headers = bearer(issued.access_token)
            async with (
                session_socket(daemon.mcp_ws, headers) as session,
                connect(
                    daemon.mcp_ws, subprotocols=[Subprotocol("mcp")], additional_headers=headers
                ) as plain,
            ):
                await session.open()
                revoked_at = now()
                await authority.revoke(issued.token_id)
                for connection in (session.connection, plain):
                    code, reason, at = await closed(connection)
                    assert (code, reason) == (4401, "revoked")
                    delays.append(at - revoked_at)
    assert max(delays) <= PROMISED_S
    assert max(delays) <= (1 + JITTER) * REVOCATIONS_S + 0.001, "it is asked for that often"


async def test_a_socket_ends_when_its_token_expires(start_in_process: StartInProcess, tmp_path: Path) -> None:
    async with guarded(start_in_process, tmp_path / "data") as (daemon, authority):
        began = now()
        issued = await authority.create("alice", "short", [MODELS], timedelta(seconds=60))
        async with connect(
            daemon.mcp_ws,
            subprotocols=[Subprotocol("mcp")],
            additional_headers=bearer(issued.access_token),
        ) as plain:
            code, reason, at = await closed(plain)
    assert (code, reason) == (4401, "expired")
    assert 59 <= at - began <= 61 + (1 + JITTER) * CREDENTIALS_S, "tokens are dated in whole seconds"
