"""A storm of calls of every answering tool: clients that cancel, vanish and wait, time-outs, providers that fail."""

import asyncio
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, func, select

from exai.app.services import Services
from exai.routing.breaker import State
from exai.storage.calls.schema import guarded_calls
from exai.storage.schema import calls, idempotent_calls, workflow_steps, workflows
from exai_emulator import Emulator, Fault, Persona, ReplyRule, RequestLog
from support.daemon_in_process import DaemonInProcess
from support.every_tool import AskedTool, answering_tools
from support.mcp_websocket import McpSocket, mcp_socket
from support.queued_writes import commit_queued
from support.waiting import wait_until

__all__ = ["LIMITS", "MARKS", "STORM_ENVIRON", "Remains", "Storm", "left_behind", "tasks_by_name"]

LIMITS = {"global": 6, "provider": 4, "model": 3}
RESERVED_USD = 0.0987654321
"""Of each call until it ends; no call costs just that."""
STORM_ENVIRON = {
    "EXAI_ADMISSION__GLOBAL_LIMIT": str(LIMITS["global"]),
    "EXAI_ADMISSION__CALLER_LIMIT": str(LIMITS["global"]),
    "EXAI_ADMISSION__PROVIDER_LIMIT": str(LIMITS["provider"]),
    "EXAI_ADMISSION__MODEL_LIMIT": str(LIMITS["model"]),
    "EXAI_ADMISSION__MAX_WAIT_S": "20",
    "EXAI_TIMEOUTS__CALL_S": "30",
    "EXAI_TIMEOUTS__IDLE_S": "15",
    "EXAI_TIMEOUTS__IDLE_MAX_EFFORT_S": "15",
    "EXAI_BREAKER__OPEN_S": "5",
    "EXAI_GUARDS__CALLS_PER_HOUR": "1000000",
    "EXAI_GUARDS__CALL_USD": str(RESERVED_USD),
    "EXAI_LOGGING__LEVEL": "error",
}
"""Limits that the calls of a few clients reach, time-outs that slow answers do, and a guard that refuses nobody."""

MARKS: Mapping[str, tuple[ReplyRule, ...]] = {
    "plain": (),
    "slow": (ReplyRule(r"\[slow\]", Persona("long", tokens=3, delay_per_token_ms=700)),),
    "endless": (ReplyRule(r"\[endless\]", Persona("long", tokens=90, delay_per_token_ms=4_000)),),
    "silent": (ReplyRule(r"\[silent\]", fault=Fault(cut="stall", after_frames=2)),),
    "reset": (ReplyRule(r"\[reset\]", fault=Fault(cut="reset", at="before_headers"), times=1),),
    "half": (ReplyRule(r"\[half\]", fault=Fault(cut="reset", after_frames=5)),),
    "kimi is busy": (ReplyRule(r"\[kimi is busy\]", fault=Fault(error="overloaded"), provider="kimi"),),
    "glm is busy": (ReplyRule(r"\[glm is busy\]", fault=Fault(error="1305"), provider="glm"),),
    "failed once": (ReplyRule(r"\[failed once\]", fault=Fault(status=500, body="{}"), times=1),),
}
"""What becomes of the requests whose question has the mark, those to an expert among them."""

WEIGHTS = (6, 3, 1, 1, 2, 1, 1, 1, 2)
RARELY = frozenset({"analyze", "review", "write"})
"""Tools that read a whole workspace, in a process of their own."""


@dataclass
class Remains:
    """What a storm left, and how its calls ended."""

    ends: Counter[str] = field(default_factory=Counter)
    tools: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    """What should not be there, as sentences."""


class Storm:
    """Calls of every tool, drawn by a seed."""

    def __init__(
        self, daemon: DaemonInProcess, emulator: Emulator, files: Sequence[Path], folder: Path, seed: int
    ) -> None:
        self._daemon = daemon
        self._emulator = emulator
        self._files = files
        self._folder = folder
        self._dice = random.Random(seed)
        self._tools: list[AskedTool] = []
        self._number = 0
        self.remains = Remains()

    async def run(self, count: int, *, clients: int = 5) -> Remains:
        """Make at least so many calls, from so many clients at once, and look at what is left when all have ended."""
        for rules in MARKS.values():
            for rule in rules:
                self._emulator.script.reply(rule)
        async with mcp_socket(self._daemon.mcp_ws) as client:
            self._tools = await answering_tools(client)
        before = tasks_by_name()
        async with asyncio.TaskGroup() as group:
            for number in range(clients):
                group.create_task(self._clients(count), name=f"client {number}")
        self.remains.faults += await left_behind(self._daemon.services, self._emulator.log, before)
        return self.remains

    async def _clients(self, count: int) -> None:
        """One client after another, until enough calls were made."""
        while self._number < count:
            async with mcp_socket(self._daemon.mcp_ws) as client:
                await self._one_client(client)

    async def _one_client(self, client: McpSocket) -> None:
        dice = self._dice
        begun = []
        for _ in range(dice.randrange(1, 5)):
            name, arguments = self._draw()
            self.remains.tools[name] += 1
            key = f"key {dice.randrange(self._number)}" if dice.random() < 0.1 else None
            begun.append(await client.begin_tool(name, arguments, key=key))
        fate = dice.random()
        if fate < 0.5:
            answers = await asyncio.gather(*(answer for _, answer in begun))
            self.remains.ends.update(_end(answer) for answer in answers)
            return
        await asyncio.sleep(dice.choice((0.0, 0.001, 0.3, 1.0, 5.0)) * dice.random())
        self.remains.ends["cancelled" if fate < 0.75 else "vanished"] += len(begun)
        if fate < 0.75:
            for number, _ in begun:
                await client.cancel(number)
        else:
            client.socket.transport.abort()

    def _draw(self) -> tuple[str, dict[str, Any]]:
        dice = self._dice
        self._number += 1
        weights = [1 if tool.name in RARELY else 8 for tool in self._tools]
        (tool,) = dice.choices(self._tools, weights)
        (mark,) = dice.choices(tuple(MARKS), WEIGHTS)
        question = f"[{mark}] Shall we do number {self._number if dice.random() < 0.8 else 0}?"
        files = tuple(self._files) if dice.random() < 0.3 else ()
        return tool.name, tool.arguments(question, files=files, folder=self._folder)


async def left_behind(services: Services, log: RequestLog, before: Counter[str]) -> list[str]:
    """Wait for the end of what runs beside the tasks of `before`; return what does not end, and what was exceeded."""
    left: list[str] = []

    def nothing_runs() -> bool:
        left[:] = [*_held(services), *_of_emulator(log.in_flight), *_new_tasks(before)]
        return not left

    found: list[str] = []
    try:
        await wait_until(nothing_runs, what=lambda: "; ".join(left))
    except (TimeoutError, AssertionError):
        found += left
    found += _exceeded(services)
    for provider in ("glm", "kimi"):
        if log.high_water_of(provider) > LIMITS["provider"]:
            found.append(f"{provider} had {log.high_water_of(provider)} requests at once")
    await commit_queued(services.storage.database)
    return [*found, *await _rows(services)]


def _end(answer: Mapping[str, Any]) -> str:
    result = answer["result"]
    return str(result["_meta"]["exai/error"]["code"]) if result["isError"] else "ok"


def tasks_by_name() -> Counter[str]:
    """The tasks of this loop by name, those without one by what they run; not those of idle connections."""
    running = (
        str(task.get_coro()) if task.get_name().startswith("Task-") else task.get_name()
        for task in asyncio.all_tasks()
    )
    return Counter(what.partition(" at 0x")[0] for what in running if "RequestHandler.start" not in what)


def _new_tasks(before: Counter[str]) -> list[str]:
    return [f"{count} tasks {name!r}" for name, count in (tasks_by_name() - before).items()]


def _of_emulator(in_flight: int) -> list[str]:
    return [f"{in_flight} requests at the emulator"] if in_flight else []


def _held(services: Services) -> list[str]:
    """Permits, bytes, probes and calls that somebody has."""
    admission = services.asking.admission
    gates = {"all calls": admission.total, **_gates(services)}
    left = [f"{gate.in_use} permits of {name}" for name, gate in gates.items() if gate.in_use]
    counts = {
        "calls waiting": admission.waiting,
        "callers": admission.callers,
        "bytes held": admission.bytes_in_flight.total,
        "calls running": services.dispatcher.running,
        "connections": sum(each.connections for each in services.monitoring.open_connections),
        "probes": sum(breaker.state is State.HALF_OPEN for breaker in services.asking.breakers),
    }
    return left + [f"{count} {what}" for what, count in counts.items() if count]


def _gates(services: Services) -> dict[str, Any]:
    admission = services.asking.admission
    models = {f"{provider} {model}": gate for (provider, model), gate in admission.by_model.items()}
    return {**models, **admission.by_provider}


def _exceeded(services: Services) -> list[str]:
    gates = {"all calls": services.asking.admission.total, **_gates(services)}
    return [
        f"{name} had {gate.most_in_use} permits out"
        for name, gate in gates.items()
        if gate.most_in_use > gate.limit
    ]


async def _rows(services: Services) -> list[str]:
    """Rows of calls and runs that say that somebody works at them, when nobody does."""
    open_calls = select(func.count()).select_from(calls).where(calls.c.outcome.is_(None))
    open_keys = (
        select(func.count()).select_from(idempotent_calls).where(idempotent_calls.c.ended_at.is_(None))
    )
    working = select(func.count()).select_from(workflows).where(workflows.c.state == "working")
    unsettled = select(func.count()).where(guarded_calls.c.usd == RESERVED_USD)
    unmarked = (
        select(func.count())
        .select_from(workflow_steps.join(workflows, workflows.c.workflow_id == workflow_steps.c.workflow_id))
        .where(workflow_steps.c.state == "begun", workflows.c.state.not_in(("interrupted", "failed")))
    )
    queries: dict[str, Any] = {
        "calls without an end": open_calls,
        "idempotency keys without an end": open_keys,
        "runs that nobody works at, and whose rows say working": working,
        "reservations that are not settled": unsettled,
        "steps without an end in runs that are not interrupted": unmarked,
    }
    guarded = select(func.count()).select_from(guarded_calls)

    def counted(connection: Connection) -> tuple[dict[str, int], int]:
        counts = {what: connection.execute(query).scalar_one() for what, query in queries.items()}
        return counts, connection.execute(guarded).scalar_one()

    counts, calls_guarded = await services.storage.database.read(counted)
    left = [f"{count} {what}" for what, count in counts.items() if count]
    return left if calls_guarded else [*left, "no call was guarded"]
