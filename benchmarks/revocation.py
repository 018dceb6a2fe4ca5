"""How soon an open socket ends after its token was revoked by another process: one token each, one after the other."""

import argparse
import asyncio
import statistics
import tempfile
import time
from pathlib import Path

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from benchmarks.calls import ROOT, pin
from benchmarks.figures import keep, show
from benchmarks.raw_sessions import daemon
from exai import config
from exai.auth.authority import Authority
from exai.runtime.clock import SystemClock
from exai.storage.database import Database
from exai.storage.identity.tables import IdentityTables

AIMS = {"slowest_s": 1.0, "left_open": 0}
OVER = 4401


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench revocation", description=__doc__)
    parser.add_argument("--sockets", type=int, default=200, help="open sockets, a token each (default 200)")
    parser.add_argument(
        "--json", type=Path, default=ROOT / "benchmarks/results/revocation.json", help="where the result goes"
    )
    return parser.parse_args()


async def _ended_after(socket: ClientConnection, began: float) -> float | None:
    """Seconds until the daemon closed the socket for its token; `None` where it did not."""
    try:
        async with asyncio.timeout(10):
            await socket.recv()
    except ConnectionClosed as closed:
        if closed.rcvd is not None and closed.rcvd.code == OVER:
            return time.perf_counter() - began
    except TimeoutError:
        pass
    return None


async def _measure(url: str, folder: Path, sockets: int) -> dict[str, float]:
    database = await Database.open(config.Database(), folder)
    authority = Authority(config.Auth(), IdentityTables(database), folder, SystemClock())
    took: list[float | None] = []
    try:
        issued = [await authority.create("alice", f"socket {number}") for number in range(sockets)]
        opened = [
            await connect(
                url,
                subprotocols=[Subprotocol("mcp")],
                additional_headers={"Authorization": f"Bearer {each.access_token}"},
            )
            for each in issued
        ]
        for each, socket in zip(issued, opened, strict=True):
            began = time.perf_counter()
            await authority.revoke(each.token_id)
            took.append(await _ended_after(socket, began))
    finally:
        await database.close()
    ended = [each for each in took if each is not None]
    return {
        "sockets": sockets,
        "median_s": round(statistics.median(ended), 3),
        "slowest_s": round(max(ended), 3),
        "left_open": sockets - len(ended),
    }


def main() -> None:
    options = _arguments()
    pin(1)
    with (
        tempfile.TemporaryDirectory(prefix="exai-bench-") as folder,
        daemon(folder, EXAI_AUTH__MODE="required", EXAI_WEBSOCKET__MAX_PER_CALLER="10000") as (_, addresses),
    ):
        result = asyncio.run(_measure(addresses["mcp_ws"], Path(folder), options.sockets))
    show(result, AIMS)
    keep(result, options.json)


if __name__ == "__main__":
    main()
