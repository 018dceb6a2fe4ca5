"""Cut connections: how fast a session goes on after one, and whether anything is lost, doubled or out of order."""

import argparse
import asyncio
import json
import random
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.calls import ROOT, pin
from benchmarks.figures import keep, show
from benchmarks.raw_sessions import connect_raw, daemon
from exai.client.channel import Channel
from exai.client.tokens import client_tokens
from support.tcp_proxy import TcpProxy, tcp_proxy

AIMS = {"resume_p99_ms": 250.0, "lost": 0, "doubled": 0, "out_of_order": 0, "sessions_lost": 0}
CHANNELS = 8
MOST_UNANSWERED = 100
RESUMES = 1_000


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench resume", description=__doc__)
    parser.add_argument(
        "--messages", type=int, default=1_000_000, help="questions and answers (default 1,000,000)"
    )
    parser.add_argument("--cuts", type=int, default=10_000, help="connections to cut (default 10,000)")
    parser.add_argument("--seed", type=int, default=4, help="of the moments of the cuts (default 4)")
    parser.add_argument(
        "--json", type=Path, default=ROOT / "benchmarks/results/resume.json", help="where the result goes"
    )
    return parser.parse_args()


async def _resume_times(url: str) -> list[float]:
    """From `resume` on a fresh socket to the first message that was missed."""
    times = []
    session = await connect_raw(url)
    session.send({"t": "open", "credit": 100})
    opened = await session.receive()
    for number in range(1, RESUMES + 1):
        session.send(
            {"t": "m", "s": number, "a": number - 1, "m": {"jsonrpc": "2.0", "id": number, "method": "ping"}}
        )
        await session.message()  # heard, and forgotten again: the cut came first
        assert session.transport is not None
        session.transport.abort()
        session = await connect_raw(url)
        began = time.perf_counter()
        session.send(
            {
                "t": "resume",
                "session": opened["session"],
                "secret": opened["secret"],
                "last": number - 1,
                "credit": 100,
            }
        )
        assert (await session.receive())["t"] == "resumed"
        assert (await session.message())["s"] == number
        times.append(time.perf_counter() - began)
    return times


class _Asker:
    """Pings through one channel; the answers must be all, once, and in order."""

    def __init__(self, url: str, messages: int) -> None:
        self._messages = messages
        self.heard: list[int] = []
        self.sessions_lost = 0
        self._room = asyncio.Semaphore(MOST_UNANSWERED)
        self._all = asyncio.Event()
        self.channel = Channel(
            url,
            client_tokens(url, token=None, file=None),
            on_message=self._hear,
            on_lost=self._lost,
            on_up=self._up,
            on_down=lambda: None,
            on_refused=self._refused,
        )

    async def run(self) -> None:
        carrying = asyncio.get_running_loop().create_task(self.channel.run())
        for number in range(1, self._messages + 1):
            await self._room.acquire()
            await self.channel.send(f'{{"jsonrpc":"2.0","id":{number},"method":"ping"}}')
        await self._all.wait()
        carrying.cancel()
        await asyncio.wait([carrying])

    async def _hear(self, message: bytes) -> None:
        self.heard.append(json.loads(message)["id"])
        self._room.release()
        if len(self.heard) >= self._messages:
            self._all.set()

    async def _lost(self) -> None:
        self.sessions_lost += 1
        self._all.set()

    async def _refused(self, sentence: str) -> None:
        raise AssertionError(sentence)

    async def _up(self) -> None:
        """Nothing to do: the channel says again what is missing."""


async def _cut(proxy: TcpProxy, askers: list[_Asker], cuts: int, total: int, dice: random.Random) -> int:
    """Cut evenly over the messages, always more than one message after the cut before."""
    done = 0
    while done < cuts:
        due = (done + dice.random()) * total / cuts
        while (heard := sum(len(asker.heard) for asker in askers)) < due:  # noqa: ASYNC110 - seen from outside
            await asyncio.sleep(0.001)
        if heard >= total - MOST_UNANSWERED:
            break
        done += proxy.cut()
        await asyncio.sleep(0)
    return done


async def _storm(url: str, messages: int, cuts: int, seed: int) -> dict[str, float]:
    async with tcp_proxy(url) as (proxy, through):
        askers = [_Asker(through, messages // CHANNELS) for _ in range(CHANNELS)]
        began = time.perf_counter()
        cutting = asyncio.get_running_loop().create_task(
            _cut(proxy, askers, cuts, messages, random.Random(seed))
        )
        await asyncio.gather(*(asker.run() for asker in askers))
        elapsed = time.perf_counter() - began
        cutting.cancel()
        made = len(proxy.client_ports) - CHANNELS
    wanted = messages // CHANNELS
    return {
        "messages": wanted * CHANNELS,
        "cuts": made,
        "messages_per_s": round(wanted * CHANNELS / elapsed, 1),
        "lost": sum(len(set(range(1, wanted + 1)) - set(asker.heard)) for asker in askers),
        "doubled": sum(len(asker.heard) - len(set(asker.heard)) for asker in askers),
        "out_of_order": sum(
            sum(late < early for early, late in zip(asker.heard, asker.heard[1:], strict=False))
            for asker in askers
        ),
        "sessions_lost": sum(asker.sessions_lost for asker in askers),
    }


async def _measure(url: str, options: argparse.Namespace) -> dict[str, Any]:
    times = sorted(await _resume_times(url))
    storm = await _storm(url, options.messages, options.cuts, options.seed)
    return {
        "resume_p50_ms": round(times[len(times) // 2] * 1000, 2),
        "resume_p99_ms": round(times[int(len(times) * 0.99)] * 1000, 2),
        **storm,
    }


def main() -> None:
    options = _arguments()
    pin(1)
    with tempfile.TemporaryDirectory(prefix="exai-bench-") as folder, daemon(folder) as (_, addresses):
        result = asyncio.run(_measure(addresses["mcp_ws"], options))
    show(result, AIMS)
    keep(result, options.json)


if __name__ == "__main__":
    main()
