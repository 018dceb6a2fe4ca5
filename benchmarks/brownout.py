"""What a brown-out of one provider does to the other: latencies, requests sent in vain, and the way back.

Each provider is an emulator of its own that answers after a fixed time. Rounds alternate: the well
one's load alone, then the same with load on the ill one too, which either hangs (no byte ever comes) or
refuses for want of capacity. After each brown-out the ill one is asked on until it answers. Of the rounds
of a kind the one with the least p99 counts, because whatever else the machine does only ever makes it longer.
"""

import argparse
import asyncio
import json
import math
import os
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import uvloop
from websockets.asyncio.client import ClientConnection, connect

from benchmarks.calls import ROOT, first_line, pin, process
from benchmarks.figures import keep

AIMS = {"p99_ratio": 1.2, "amplification": 1.2, "recovery_s": 12.0}
"""The last: one interval of the breaker, its jitter, and the probe."""

ANSWER_MS = 200
WELL_PER_S = 40
ILL_PER_S = 50
MODELS = {"glm": "glm-5.3", "kimi": "kimi-k3"}
OVERLOADED = {"glm": "1305", "kimi": "overloaded"}
CONNECTIONS = 8


@dataclass
class Side:
    """The calls of one provider in one round."""

    latencies_ms: list[float] = field(default_factory=list)
    """Of those that were answered."""
    codes: Counter[str] = field(default_factory=Counter)

    @property
    def p99_ms(self) -> float:
        ordered = sorted(self.latencies_ms)
        return ordered[int(len(ordered) * 0.99)] if ordered else math.inf


def _calmest(rounds: list[Side]) -> Side:
    return min(rounds, key=lambda side: side.p99_ms)


@dataclass(frozen=True)
class BrownOut:
    """One provider's brown-out of one kind, over all its rounds."""

    ill: str
    kind: str
    well: str
    alone_p50_ms: float
    alone_p99_ms: float
    beside_p50_ms: float
    beside_p99_ms: float
    p99_ratio: float
    all_alone_p99_ms: list[float]
    all_beside_p99_ms: list[float]
    """Of every round, in turn."""
    well_failures: int
    ill_calls: int
    ill_requests: int
    """As the emulator counts them."""
    amplification: float
    ill_codes: dict[str, int]
    recovery_s: float
    """The longest of the rounds, from the end of the brown-out to the first answer."""


class Agent:
    """A connection with calls in flight, which may be given up."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._number = 0

    async def hello(self) -> None:
        client = {"name": "benchmark", "version": "1"}
        await self._request(
            "initialize", {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client}
        )
        await self._notify("notifications/initialized", {})

    async def listen(self) -> None:
        async for text in self._socket:
            message = json.loads(text)
            if (future := self._waiting.pop(message.get("id"), None)) is not None and not future.done():
                future.set_result(message)

    async def ask(self, model: str, side: Side) -> str:
        """One call; `ok` or the error's code."""
        began = time.perf_counter()
        answer = await self._request(
            "tools/call", {"name": "chat", "arguments": {"prompt": "Hello.", "model": model}}
        )
        result = answer["result"]
        code = str(result["_meta"]["exai/error"]["code"]) if result.get("isError") else "ok"
        side.codes[code] += 1
        if code == "ok":
            side.latencies_ms.append((time.perf_counter() - began) * 1000)
        return code

    async def _request(self, method: str, parameters: dict[str, Any]) -> dict[str, Any]:
        self._number += 1
        number = self._number
        future = self._waiting[number] = asyncio.get_running_loop().create_future()
        await self._socket.send(
            json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": parameters})
        )
        try:
            answer: dict[str, Any] = await future
        except asyncio.CancelledError:
            self._waiting.pop(number, None)
            await self._notify("notifications/cancelled", {"requestId": number})
            raise
        return answer

    async def _notify(self, method: str, parameters: dict[str, Any]) -> None:
        await self._socket.send(json.dumps({"jsonrpc": "2.0", "method": method, "params": parameters}))


@asynccontextmanager
async def _agents(address: str) -> AsyncIterator[list[Agent]]:
    async with AsyncExitStack() as scopes:
        agents, listeners = [], []
        for _ in range(CONNECTIONS):
            socket = await scopes.enter_async_context(
                connect(address, subprotocols=["mcp"], compression=None, max_size=None)  # type: ignore[list-item]
            )
            agent = Agent(socket)
            listeners.append(asyncio.get_running_loop().create_task(agent.listen(), name="listen"))
            await agent.hello()
            agents.append(agent)
        yield agents
        for listener in listeners:
            listener.cancel()
        await asyncio.wait(listeners)


class Emulated:
    """The control port of one provider's emulator."""

    def __init__(self, provider: str, control: str, http: aiohttp.ClientSession) -> None:
        self.provider = provider
        self._control = f"{control}/_ctl"
        self._http = http

    async def ails(self, kind: str) -> None:
        fault: dict[str, Any] = {"times": None}
        fault |= {"before_headers_ms": 3_600_000} if kind == "hangs" else {"error": OVERLOADED[self.provider]}
        await self._post("faults", {"provider": self.provider, "fault": fault})

    async def recovers(self) -> None:
        async with self._http.delete(f"{self._control}/faults") as response:
            response.raise_for_status()

    async def requests(self) -> int:
        """How many it has seen."""
        async with self._http.get(
            f"{self._control}/requests", params={"provider": self.provider, "limit": 0}
        ) as response:
            return int((await response.json())["count"])

    async def _post(self, what: str, order: dict[str, Any]) -> None:
        async with self._http.post(f"{self._control}/{what}", json=order) as response:
            response.raise_for_status()


class Ward:
    """Both providers behind one daemon, under load."""

    def __init__(
        self, well_agents: list[Agent], ill_agents: list[Agent], emulated: dict[str, Emulated], seconds: float
    ) -> None:
        self._well_agents = well_agents
        self._ill_agents = ill_agents
        self._emulated = emulated
        self._seconds = seconds

    async def load(self, agents: list[Agent], model: str, per_s: float, side: Side) -> None:
        """Calls at a steady rate, whatever becomes of those before; what is not over in the end is given up."""
        calls = []
        began = time.perf_counter()
        for number in range(int(self._seconds * per_s)):
            await asyncio.sleep(max(0.0, began + number / per_s - time.perf_counter()))
            agent = agents[number % len(agents)]
            calls.append(asyncio.get_running_loop().create_task(agent.ask(model, side), name="call"))
        _, late = await asyncio.wait(calls, timeout=2 * ANSWER_MS / 1000)
        for call in late:
            call.cancel()
        side.codes["given_up"] += len(late)
        if late:
            await asyncio.wait(late)

    async def brown_out(self, ill: str, kind: str, rounds: int) -> BrownOut:
        well = next(name for name in MODELS if name != ill)
        emulated = self._emulated[ill]
        alone, beside, suffering = [], [], Side()
        requests, recoveries = 0, []
        for _ in range(rounds):
            alone.append(Side())
            beside.append(Side())
            await self.load(self._well_agents, MODELS[well], WELL_PER_S, alone[-1])
            before = await emulated.requests()
            await emulated.ails(kind)
            await asyncio.gather(
                self.load(self._ill_agents, MODELS[ill], ILL_PER_S, suffering),
                self.load(self._well_agents, MODELS[well], WELL_PER_S, beside[-1]),
            )
            requests += await emulated.requests() - before
            await emulated.recovers()
            recoveries.append(await self._recovery_s(MODELS[ill]))
        calls = sum(suffering.codes.values())
        by_itself, besides = _calmest(alone), _calmest(beside)
        return BrownOut(
            ill=ill,
            kind=kind,
            well=well,
            alone_p50_ms=round(statistics.median(by_itself.latencies_ms), 2),
            alone_p99_ms=round(by_itself.p99_ms, 2),
            beside_p50_ms=round(statistics.median(besides.latencies_ms), 2),
            beside_p99_ms=round(besides.p99_ms, 2),
            p99_ratio=round(besides.p99_ms / by_itself.p99_ms, 3),
            all_alone_p99_ms=[round(side.p99_ms, 2) for side in alone],
            all_beside_p99_ms=[round(side.p99_ms, 2) for side in beside],
            well_failures=sum(sum(side.codes.values()) - side.codes["ok"] for side in beside),
            ill_calls=calls,
            ill_requests=requests,
            amplification=round(requests / calls, 3),
            ill_codes={code: count for code, count in suffering.codes.items() if count},
            recovery_s=round(max(recoveries), 2),
        )

    async def _recovery_s(self, model: str) -> float:
        began = time.perf_counter()
        while await self._ill_agents[0].ask(model, Side()) != "ok":  # noqa: ASYNC110 - as callers do
            await asyncio.sleep(1 / ILL_PER_S)
        return time.perf_counter() - began


def _missed(run: BrownOut) -> list[str]:
    missed = [name for name, aim in AIMS.items() if getattr(run, name) > aim]
    return missed + (["well_failures"] if run.well_failures else [])


def _show(run: BrownOut) -> None:
    print(
        f"{run.ill + ' ' + run.kind:<14} {run.well:<5} {run.alone_p50_ms:>8.1f} {run.alone_p99_ms:>8.1f} "
        f"{run.beside_p50_ms:>8.1f} {run.beside_p99_ms:>8.1f} {run.p99_ratio:>6.3f} {run.ill_calls:>6} "
        f"{run.ill_requests:>9} {run.amplification:>6.3f} {run.recovery_s:>9.2f}   "
        f"{'missed: ' + ', '.join(missed) if (missed := _missed(run)) else 'all reached'}",
        flush=True,
    )


async def _measure(address: str, controls: dict[str, str], seconds: float, rounds: int) -> list[BrownOut]:
    runs = []
    async with (
        aiohttp.ClientSession() as http,
        _agents(address) as well_agents,
        _agents(address) as ill_agents,
    ):
        emulated = {name: Emulated(name, control, http) for name, control in controls.items()}
        ward = Ward(well_agents, ill_agents, emulated, seconds)
        for ill in MODELS:
            for kind in ("hangs", "refuses"):
                runs.append(await ward.brown_out(ill, kind, rounds))
                _show(runs[-1])
    return runs


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench brownout", description=__doc__)
    parser.add_argument("--seconds", type=float, default=6.0, help="length of each round (default 6)")
    parser.add_argument(
        "--rounds", type=int, default=5, help="pairs of rounds for each brown-out (default 5)"
    )
    parser.add_argument(
        "--json", type=Path, default=ROOT / "benchmarks/results/brownout.json", help="where the result goes"
    )
    options = parser.parse_args()
    pin(1)
    binaries = Path(sys.executable).parent
    persona = json.dumps({"kind": "echo", "think_tokens": 0, "first_byte_delay_ms": ANSWER_MS})
    with ExitStack() as scopes:
        folder = scopes.enter_context(tempfile.TemporaryDirectory(prefix="exai-bench-"))
        environment = {
            **os.environ,
            "EXAI_DATA_DIR": folder,
            "EXAI_SERVER__PORT": "0",
            "EXAI_GUARDS__REPEATS": "0",
            "EXAI_SERVER__OPERATIONS_PORT": "0",
            "EXAI_SERVER__ERRORS_PORT": "0",
        }
        controls = {}
        for provider in MODELS:
            command = [str(binaries / "exai-emulator"), "--json", "--persona", persona]
            there = json.loads(first_line(scopes.enter_context(process(command, core=1))))
            environment[f"{provider.upper()}_API_KEY"] = there[f"{provider}_key"]
            environment[f"EXAI_PROVIDERS__{provider.upper()}__BASE_URL"] = there[provider]
            controls[provider] = there["control"]
        command = [str(binaries / "exai"), "serve", "--ready-json"]
        daemon = scopes.enter_context(process(command, core=0, env=environment))
        address = json.loads(first_line(daemon))["mcp_ws"]
        print(
            f"{'brown-out':<14} {'well':<5} {'alone p50':>9} {'p99 ms':>7} {'beside p50':>9} {'p99 ms':>6} "
            f"{'ratio':>6} {'calls':>6} {'requests':>9} {'ampl.':>6} {'back in s':>9}"
        )
        runs = uvloop.run(_measure(address, controls, options.seconds, options.rounds))
    result = {
        "answer_ms": ANSWER_MS,
        "well_calls_per_s": WELL_PER_S,
        "ill_calls_per_s": ILL_PER_S,
        "aims": AIMS,
        "runs": [{**asdict(run), "missed": _missed(run)} for run in runs],
    }
    keep(result, options.json)


if __name__ == "__main__":
    main()
