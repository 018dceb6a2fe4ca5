"""Daemon, provider and store are killed and restored in turn under load: nothing that was acknowledged is lost or
doubled, and everything works again by itself."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest

import exai
from exai.client import InDoubt, Session, Unreachable
from support.daemons import Daemon, daemon, free_port
from support.postgresql_server import PostgresqlServer, postgresql_server
from support.waiting import wait_until

EMULATOR = (sys.executable, "-c", "from exai_emulator.cli import main; main()")
CLIENTS = 6
PERSONA = '{"kind":"auto","delay_per_token_ms":4}'
PHASE_S = 60
"""Bound of each wait for the load to get on."""


@dataclass
class Ledger:
    """What one client asked, and what it was told."""

    client: int
    conversation: str | None = None
    asked: int = 0
    acknowledged: list[str] = field(default_factory=list)
    """Questions that were answered, in order."""
    refused: list[dict[str, Any]] = field(default_factory=list)
    """Facts of calls that failed with a definite answer: nothing of them was kept."""
    in_doubt: list[str] = field(default_factory=list)

    def next_question(self) -> str:
        self.asked += 1
        return f"client {self.client} question {self.asked}"


class Processes:
    """The three processes, each of which can be taken away and brought back."""

    def __init__(self, folder: Path, store: PostgresqlServer) -> None:
        self._folder = folder
        self.store = store
        self._port, self._operations_port = free_port(), free_port()
        self._emulator: asyncio.subprocess.Process | None = None
        self._emulator_ports: dict[str, int] = {}
        self._keys: dict[str, Any] = {}
        self._daemon: Daemon | None = None
        self._daemon_scope = AsyncExitStack()
        self.url = f"ws://127.0.0.1:{self._port}/mcp"

    async def start_emulator(self) -> None:
        ports = [f"--{name}-port={port}" for name, port in self._emulator_ports.items()]
        self._emulator = await asyncio.create_subprocess_exec(
            *EMULATOR, "--json", f"--persona={PERSONA}", *ports, stdout=asyncio.subprocess.PIPE
        )
        assert self._emulator.stdout is not None
        async with asyncio.timeout(30):
            self._keys = json.loads(await self._emulator.stdout.readline())
        for name in ("glm", "kimi"):
            self._emulator_ports[name] = int(self._keys[name].split(":")[2].split("/")[0])

    async def hold_a_call(self) -> None:
        """Let Kimi leave the next call without an answer, and wait until there is one."""
        control = f"{self._keys['control']}/_ctl"
        order = {"provider": "kimi", "fault": {"before_headers_ms": 600_000}}
        async with aiohttp.ClientSession() as client:
            async with client.post(f"{control}/faults", json=order) as response:
                assert response.status == 200, await response.text()

            async def has_struck() -> bool:
                async with client.get(f"{control}/stats") as response:
                    return bool((await response.json())["providers"]["kimi"]["faults_struck"])

            await wait_until(has_struck, what="Kimi holds a call")

    async def kill_emulator(self) -> None:
        assert self._emulator is not None
        if self._emulator.returncode is None:
            self._emulator.kill()
            await self._emulator.wait()

    async def start_daemon(self) -> None:
        environ = {
            "GLM_API_KEY": self._keys["glm_key"],
            "KIMI_API_KEY": self._keys["kimi_key"],
            "EXAI_PROVIDERS__GLM__BASE_URL": self._keys["glm"],
            "EXAI_PROVIDERS__KIMI__BASE_URL": self._keys["kimi"],
            "EXAI_DATABASE__URL": self.store.url(),
            "EXAI_SERVER__PORT": str(self._port),
            "EXAI_SERVER__OPERATIONS_PORT": str(self._operations_port),
            "EXAI_SERVER__ERRORS_PORT": "0",
            "EXAI_BREAKER__OPEN_S": "1",
            "EXAI_CONVERSATIONS__MAX_EXCHANGES": "100000",
        }
        self._daemon = await self._daemon_scope.enter_async_context(
            daemon(data_dir=self._folder, environ=environ)
        )

    async def kill_daemon(self) -> None:
        assert self._daemon is not None
        self._daemon.kill()
        await self._daemon.ended()
        await self._daemon_scope.aclose()

    async def stop_daemon(self) -> int:
        assert self._daemon is not None
        self._daemon.process.send_signal(signal.SIGTERM)
        code = await self._daemon.ended()
        await self._daemon_scope.aclose()
        return code

    async def readiness(self) -> dict[str, str]:
        """What `/readyz` says of each part."""
        async with (
            aiohttp.ClientSession() as client,
            client.get(f"http://127.0.0.1:{self._operations_port}/readyz") as response,
        ):
            checks: dict[str, str] = (await response.json())["checks"]
        return checks

    async def is_ready(self) -> None:
        """Wait until `/readyz` says that every part is well."""

        async def is_reported() -> bool:
            return set((await self.readiness()).values()) == {"ok"}

        await wait_until(is_reported, what="/readyz says that all is well")

    async def reports_no_database(self) -> None:
        """Wait until `/readyz` says that the database is away."""

        async def is_reported() -> bool:
            return (await self.readiness())["database"] != "ok"

        await wait_until(is_reported, what="/readyz says that the database is away")

    async def close(self) -> None:
        await self._daemon_scope.aclose()
        await self.kill_emulator()


@asynccontextmanager
async def _three_processes(folder: Path) -> AsyncIterator[Processes]:
    async with AsyncExitStack() as scopes:
        store = await asyncio.to_thread(scopes.enter_context, postgresql_server())
        processes = Processes(folder / "data", store)
        scopes.push_async_callback(processes.close)
        await processes.start_emulator()
        await processes.start_daemon()
        yield processes


async def _ask(session: Session, ledger: Ledger) -> None:
    """One more question of a client's conversation; every outcome but those below fails the test."""
    question = ledger.next_question()
    arguments = {"prompt": question, "model": "kimi-k3" if ledger.client % 2 else "glm-5.3"}
    if ledger.conversation is not None:
        arguments["continuation_id"] = ledger.conversation
    try:
        answer = await session.call("chat", arguments)
    except InDoubt:
        ledger.in_doubt.append(question)
        return
    except Unreachable:
        ledger.refused.append({"code": "unreachable", "retryable": True})
        return
    if answer.is_error:
        facts = answer.meta["exai/error"]
        if facts["code"] == "result_lost":  # its exchange was kept, its answer not
            ledger.in_doubt.append(question)
        else:
            ledger.refused.append(facts)
        return
    assert answer.structured is not None
    assert answer.structured["answer"].endswith(f"] {question}"), "somebody else's answer"
    ledger.conversation = answer.structured.get("continuation_id", ledger.conversation)
    if any("kept" in note for note in answer.structured.get("notes", ())):
        ledger.in_doubt.append(question)  # the answer says that the database did not confirm it
    else:
        ledger.acknowledged.append(question)


class Load:
    """Clients that ask one question after the other, whatever happens."""

    def __init__(self, url: str) -> None:
        self.ledgers = [Ledger(number) for number in range(CLIENTS)]
        self.ended = asyncio.Event()
        self._url = url

    async def run(self) -> None:
        """Ask until the end is set."""
        async with asyncio.TaskGroup() as group:
            for ledger in self.ledgers:
                group.create_task(self._client(ledger))

    async def _client(self, ledger: Ledger) -> None:
        async with exai.connect(self._url, patience_s=60) as session:
            while not self.ended.is_set():
                before = len(ledger.acknowledged)
                await _ask(session, ledger)
                if len(ledger.acknowledged) == before:
                    await asyncio.sleep(0.1)  # as anybody would before asking again

    def total(self, what: str) -> int:
        return sum(len(getattr(ledger, what)) for ledger in self.ledgers)

    async def more_than(self, before: int, what: str) -> None:
        await wait_until(lambda: self.total(what) > before, within=PHASE_S, what=f"more are {what}")

    async def gets_on(self) -> None:
        """Every client has got further answers, whatever happened before."""
        marks = [len(ledger.acknowledged) + 3 for ledger in self.ledgers]

        def answers() -> list[int]:
            return [len(ledger.acknowledged) for ledger in self.ledgers]

        await wait_until(
            lambda: all(number >= mark for number, mark in zip(answers(), marks, strict=True)),
            within=PHASE_S,
            what=lambda: f"{marks} answers; there are {answers()}",
        )


@pytest.mark.timeout(300)
async def test_whatever_is_killed_comes_back_and_nothing_acknowledged_is_lost_or_doubled(
    tmp_path: Path,
) -> None:
    async with _three_processes(tmp_path) as processes:
        load = Load(processes.url)
        async with asyncio.TaskGroup() as group:
            group.create_task(load.run())
            await load.gets_on()

            await processes.hold_a_call()
            await processes.kill_daemon()
            await processes.start_daemon()
            await load.gets_on()

            refused = load.total("refused")
            await processes.kill_emulator()
            await load.more_than(refused, "refused")
            await processes.start_emulator()
            await load.gets_on()

            refused = load.total("refused")
            await asyncio.to_thread(processes.store.stop)
            await load.more_than(refused, "refused")
            await processes.reports_no_database()
            await asyncio.to_thread(processes.store.start)
            await load.gets_on()

            acknowledged = load.total("acknowledged")
            with processes.store.frozen():
                await asyncio.sleep(1)
            await load.more_than(acknowledged, "acknowledged")
            await load.gets_on()
            await processes.is_ready()

            await processes.kill_daemon()
            await processes.kill_emulator()
            await asyncio.to_thread(processes.store.stop)
            await asyncio.to_thread(processes.store.start)
            await processes.start_emulator()
            await processes.start_daemon()
            await load.gets_on()

            load.ended.set()
        await _wait_for_ends(processes.store)
        assert await processes.stop_daemon() == 0

        assert {facts["retryable"] for ledger in load.ledgers for facts in ledger.refused} == {True}
        await _check_store(processes.store, load.ledgers)


async def _wait_for_ends(store: PostgresqlServer) -> None:
    """Until calls of the process that was killed beside a restart of PostgreSQL are marked lost too."""
    connection = await asyncpg.connect(store.url().replace("+asyncpg", ""))

    async def all_ended() -> bool:
        return not await connection.fetch("SELECT call_id FROM calls WHERE outcome IS NULL LIMIT 1")

    await wait_until(all_ended, within=PHASE_S, what="every call has an end")
    await connection.close()


async def _check_store(store: PostgresqlServer, ledgers: list[Ledger]) -> None:
    connection = await asyncpg.connect(store.url().replace("+asyncpg", ""))
    try:
        for ledger in ledgers:
            kept = [
                row["question"]
                for row in await connection.fetch(
                    "SELECT question FROM exchanges WHERE conversation_id = $1 ORDER BY number",
                    ledger.conversation,
                )
            ]
            assert [question for question in kept if question not in ledger.in_doubt] == ledger.acknowledged
            assert len(set(kept)) == len(kept)
        questions = await connection.fetch("SELECT question FROM exchanges")
        assert len({row["question"] for row in questions}) == len(questions)
        outcomes = {row["outcome"] for row in await connection.fetch("SELECT DISTINCT outcome FROM calls")}
        assert None not in outcomes
        assert "lost" in outcomes, "a call was under way when the daemon was killed"
    finally:
        await connection.close()
