"""Idempotency keys on a running daemon: over every door, across restarts, and with the process killed at each step."""

import asyncio
import itertools
import json
import sqlite3
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest
from sqlalchemy import func, select

import exai
from exai import config
from exai.client import Answer, InDoubt, Session
from exai.runtime.clock import ManualClock
from exai.storage.calls.idempotent_calls import IdempotentCallId, IdempotentCallTable
from exai.storage.database import Database
from exai.storage.schema import calls, conversations, exchanges, idempotent_calls
from exai_emulator import Emulator, Fault, Persona
from support.daemons import EXAI, StartDaemon, clean_environ, free_port
from support.mcp_websocket import McpSocket, mcp_socket
from support.tcp_proxy import tcp_proxy
from support.waiting import wait_until

KEY = "exai/idempotency-key"
QUESTION = {"prompt": "What is a heron?", "model": "glm-5.3"}
ENVELOPE = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}


class Store:
    """The daemon's database, as the test reads and blocks it."""

    def __init__(self, settings: config.Database, folder: Path) -> None:
        assert settings.url is not None
        self.url = settings.url.get_secret_value()
        self._settings = settings
        self._folder = folder

    async def counts(self) -> dict[str, int]:
        """Calls begun, exchanges, idempotent calls, and those of them that ended."""
        database = await Database.open(self._settings, self._folder)
        try:
            return await database.read(
                lambda connection: {
                    name: connection.scalar(select(func.count()).select_from(table).where(*conditions)) or 0
                    for name, table, conditions in (
                        ("calls", calls, ()),
                        ("exchanges", exchanges, ()),
                        ("idempotent_calls", idempotent_calls, ()),
                        ("ended", idempotent_calls, (idempotent_calls.c.ended_at.is_not(None),)),
                    )
                }
            )
        finally:
            await database.close()

    async def conversation(self) -> str:
        """The only one's id."""
        database = await Database.open(self._settings, self._folder)
        try:
            ids = await database.read(
                lambda connection: connection.scalars(select(conversations.c.conversation_id)).all()
            )
        finally:
            await database.close()
        (only,) = ids
        return str(only)

    async def until(self, name: str, count: int = 1) -> None:
        async def is_there() -> bool:
            return (await self.counts())[name] >= count

        await wait_until(is_there, what=f"the daemon has written {count} of {name}")

    @asynccontextmanager
    async def locked(self, table: str) -> AsyncIterator[None]:
        """The scope in which nothing is written: to `table` on PostgreSQL, to the file on SQLite."""
        if self.url.startswith("sqlite"):
            connection = sqlite3.connect(self.url.removeprefix("sqlite:///"), isolation_level=None)
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield
            finally:
                connection.close()
            return
        server = await asyncpg.connect(self.url.replace("+asyncpg", ""))
        try:
            async with server.transaction():
                await server.execute(f"LOCK TABLE {table} IN EXCLUSIVE MODE")
                yield
        finally:
            await server.close()

    @asynccontextmanager
    async def takes_no_ends(self) -> AsyncIterator[None]:
        """The scope in which no operation's end is kept, though all else is."""
        if not self.url.startswith("sqlite"):
            async with self.locked("idempotent_calls"):
                yield
            return
        self._script(
            "CREATE TRIGGER full BEFORE UPDATE ON idempotent_calls BEGIN SELECT RAISE(ABORT, 'full'); END"
        )
        yield
        self._script("DROP TRIGGER full")

    def _script(self, script: str) -> None:
        connection = sqlite3.connect(self.url.removeprefix("sqlite:///"), timeout=30)
        connection.executescript(script)
        connection.close()


Point = AbstractAsyncContextManager[Callable[[], Awaitable[None]]]
"""Entered before a call is made; waits until the call has come so far, and is left once the daemon is dead."""


class Scene:
    """A client behind a proxy, and a daemon that is killed and started again on its port."""

    def __init__(self, start: StartDaemon, emulator: Emulator, store: Store) -> None:
        self._start = start
        self._operations = ""
        self.emulator = emulator
        self.store = store

    async def play(self, point: Point, *, hold: str | None = None, **further: str) -> Answer:
        """Ask, kill the daemon at the point, start it again; the answer.

        Raises:
            InDoubt: that is the answer.
        """
        environ = {"EXAI_SERVER__PORT": str(free_port()), "EXAI_DATABASE__URL": self.store.url, **further}
        async with AsyncExitStack() as scopes:
            async with self._start(**environ) as daemon:
                self._operations = daemon.operations
                proxy, url = await scopes.enter_async_context(tcp_proxy(daemon.mcp_ws))
                session = await scopes.enter_async_context(exai.connect(url, patience_s=60))
                await session.tools()
                proxy.holds = hold
                async with point as reached:
                    call = asyncio.ensure_future(session.call("chat", QUESTION))
                    await reached()
                    daemon.kill()
                    await daemon.ended()
            proxy.cut()
            proxy.holds = None
            self.emulator.faults.clear()
            async with self._start(**environ), asyncio.timeout(60):
                return await call

    @property
    def requests(self) -> int:
        return len(self.emulator.log.of("glm"))

    async def running(self) -> None:
        """Wait until the daemon has begun the call."""

        async def is_running() -> bool:
            async with (
                aiohttp.ClientSession() as client,
                client.get(f"{self._operations}/metrics") as response,
            ):
                return "exai_calls_running 1.0" in await response.text()

        await wait_until(is_running, what="the daemon runs the call")

    async def asked(self) -> None:
        """Wait until the provider has been asked."""
        await self.emulator.log.wait_for(lambda record: record.outcome == "open")

    async def answered(self) -> None:
        """Wait until the provider has sent its answer."""
        await self.emulator.log.wait_for(lambda record: record.outcome != "open")


@pytest.fixture
def scene(
    start_daemon: StartDaemon, emulator: Emulator, database_settings: config.Database, tmp_path: Path
) -> Scene:
    return Scene(start_daemon, emulator, Store(database_settings, tmp_path))


@asynccontextmanager
async def point(wait: Callable[[], Awaitable[None]]) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """A point that needs no preparation."""
    yield wait


def recalled(answer: Answer) -> str | None:
    how: str | None = answer.meta.get("exai/idempotent-call", {}).get("recalled")
    return how


async def test_a_result_that_was_committed_but_not_read_arrives_after_a_kill(scene: Scene) -> None:
    answer = await scene.play(point(lambda: scene.store.until("ended")), hold="answers")
    assert recalled(answer) == "stored"
    assert answer.structured is not None
    assert answer.structured["answer"] == "[emulated glm-5.3] What is a heron?"
    assert scene.requests == 1
    assert await scene.store.counts() == {"calls": 1, "exchanges": 1, "idempotent_calls": 1, "ended": 1}


async def test_a_call_that_the_daemon_never_saw_is_made_once_after_the_kill(scene: Scene) -> None:
    async def at_once() -> None:
        assert scene.requests == 0

    answer = await scene.play(point(at_once), hold="questions")
    assert (recalled(answer), answer.is_error) == (None, False)
    assert scene.requests == 1


async def test_a_call_whose_row_was_not_committed_is_made_once_after_the_kill(scene: Scene) -> None:
    @asynccontextmanager
    async def before_its_row() -> AsyncIterator[Callable[[], Awaitable[None]]]:
        async with scene.store.locked("idempotent_calls"):
            yield scene.running

    answer = await scene.play(before_its_row())
    assert (recalled(answer), answer.is_error) == (None, False)
    assert scene.requests == 1


async def test_a_call_whose_row_was_committed_is_in_doubt_even_if_nothing_reached_the_provider(
    scene: Scene,
) -> None:
    async with tcp_proxy(scene.emulator.addresses.glm) as (network, glm):
        network.holds = "questions"
        with pytest.raises(InDoubt, match="not repeated"):
            await scene.play(
                point(lambda: scene.store.until("idempotent_calls")), EXAI_PROVIDERS__GLM__BASE_URL=glm
            )
    assert scene.requests == 0
    assert await scene.store.counts() == {"calls": 1, "exchanges": 0, "idempotent_calls": 1, "ended": 0}


async def test_a_call_that_was_at_the_provider_is_in_doubt_and_not_repeated(scene: Scene) -> None:
    scene.emulator.faults.add("glm", Fault(before_first_byte_ms=60_000))
    with pytest.raises(InDoubt, match="not repeated"):
        await scene.play(point(scene.asked))
    assert scene.requests == 1
    assert await scene.store.counts() == {"calls": 1, "exchanges": 0, "idempotent_calls": 1, "ended": 0}


async def test_a_call_whose_exchange_was_not_committed_is_in_doubt_and_not_repeated(scene: Scene) -> None:
    @asynccontextmanager
    async def before_its_exchange() -> AsyncIterator[Callable[[], Awaitable[None]]]:
        async with AsyncExitStack() as scopes:

            async def reached() -> None:
                await scene.asked()
                await scopes.enter_async_context(scene.store.locked("exchanges"))
                await scene.answered()

            yield reached

    scene.emulator.faults.add("glm", Fault(before_first_byte_ms=1_000))
    with pytest.raises(InDoubt, match="not repeated"):
        await scene.play(before_its_exchange())
    assert scene.requests == 1
    assert await scene.store.counts() == {"calls": 1, "exchanges": 0, "idempotent_calls": 1, "ended": 0}


async def test_a_call_whose_result_was_not_committed_is_known_by_its_exchange_and_not_repeated(
    scene: Scene,
) -> None:
    @asynccontextmanager
    async def before_its_result() -> AsyncIterator[Callable[[], Awaitable[None]]]:
        async with AsyncExitStack() as scopes:

            async def reached() -> None:
                await scene.asked()
                await scopes.enter_async_context(scene.store.takes_no_ends())
                await scene.store.until("exchanges")

            yield reached

    scene.emulator.faults.add("glm", Fault(before_first_byte_ms=1_000))
    answer = await scene.play(before_its_result(), hold="answers")
    assert answer.meta["exai/error"]["code"] == "result_lost"
    assert await scene.store.conversation() in answer.text
    assert scene.requests == 1
    assert await scene.store.counts() == {"calls": 1, "exchanges": 1, "idempotent_calls": 1, "ended": 0}


async def by_socket(client: McpSocket, arguments: dict[str, Any], key: Any, **meta: Any) -> dict[str, Any]:
    params = {"name": "chat", "arguments": arguments, "_meta": {KEY: key, **meta}}
    return await client.request("tools/call", params)


async def http_messages(
    address: str, arguments: dict[str, Any], **meta: Any
) -> AsyncIterator[dict[str, Any]]:
    """What a POST is answered with, as it comes."""
    params = {"name": "chat", "arguments": arguments, "_meta": {**meta, **ENVELOPE}}
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    headers = {
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": "2026-07-28",
        "Mcp-Method": "tools/call",
        "Mcp-Name": "chat",
    }
    async with (
        aiohttp.ClientSession(read_bufsize=2**20) as client,
        client.post(address, json=message, headers=headers) as response,
    ):
        async for line in response.content:
            if (text := line.decode().strip().removeprefix("data: ")).startswith("{"):
                yield json.loads(text)


async def by_http(address: str, arguments: dict[str, Any], key: str) -> dict[str, Any]:
    return [message async for message in http_messages(address, arguments, **{KEY: key})][-1]


async def by_stdio(data_dir: Path, environ: dict[str, str], key: str) -> dict[str, Any]:
    """One call of an engine of its own on the same data."""
    params = {"name": "chat", "arguments": QUESTION, "_meta": {KEY: key, **ENVELOPE}}
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    process = await asyncio.create_subprocess_exec(
        *EXAI,
        "stdio",
        env=clean_environ(data_dir, environ),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(message).encode() + b"\n")
    await process.stdin.drain()
    async with asyncio.timeout(60):
        answer: dict[str, Any] = json.loads(await process.stdout.readline())
        process.stdin.close()
        await process.wait()
    return answer


def how(answer: dict[str, Any]) -> str | None:
    recalled: str | None = answer["result"].get("_meta", {}).get("exai/idempotent-call", {}).get("recalled")
    return recalled


async def test_every_door_knows_the_key_also_after_a_restart(
    start_daemon: StartDaemon, emulator: Emulator, provider_environ: dict[str, str], tmp_path: Path
) -> None:
    async with start_daemon() as daemon, mcp_socket(daemon.mcp_ws) as client:
        first = await by_socket(client, QUESTION, "one key")
        answers = [
            await by_socket(client, QUESTION, "one key"),
            await by_socket(client, QUESTION, "one key", **ENVELOPE),
            await by_http(daemon.mcp_http, QUESTION, "one key"),
        ]
        other = await by_http(daemon.mcp_http, {**QUESTION, "prompt": "Another."}, "one key")
        assert other["result"]["_meta"]["exai/error"]["code"] == "idempotency_key_reused"
        for nonsense in ("", 7, "x" * 129, "Schlüssel", "two\nlines"):
            refused = await by_socket(client, QUESTION, nonsense)
            assert refused["error"]["code"] == -32602
            assert KEY in refused["error"]["message"]
    async with start_daemon() as daemon:
        answers.append(await by_http(daemon.mcp_http, QUESTION, "one key"))
        async with aiohttp.ClientSession() as http, http.get(f"{daemon.operations}/metrics") as page:
            assert 'exai_idempotent_calls_recalled_total{how="stored"} 1.0' in await page.text()
    answers.append(await by_stdio(tmp_path / "data", provider_environ, "one key"))
    assert how(first) is None
    assert [how(answer) for answer in answers] == ["stored"] * 5
    assert {answer["result"]["content"][0]["text"] for answer in answers} == {
        first["result"]["content"][0]["text"]
    }
    assert len(emulator.log.of("glm")) == 1


async def test_a_call_joins_over_another_door_and_outlives_the_one_that_began_it(
    start_daemon: StartDaemon, emulator: Emulator
) -> None:
    emulator.persona = Persona(kind="long", tokens=100, delay_per_token_ms=20)
    heard: list[str] = []
    joined: dict[str, Any] = {}
    async with start_daemon() as daemon, mcp_socket(daemon.mcp_ws) as client:
        begun = asyncio.ensure_future(by_socket(client, QUESTION, "one key", progressToken="t"))
        await emulator.log.wait_for(lambda record: record.outcome == "open")
        messages = http_messages(daemon.mcp_http, QUESTION, **{KEY: "one key", "progressToken": "u"})
        async for message in messages:
            if "method" not in message:
                joined = message
            elif message["params"]["_meta"]["exai/kind"] == "text":
                heard.append(message["params"]["_meta"]["exai/delta"])
                if not begun.cancelled():
                    await client.socket.close()
                    begun.cancel()
    assert how(joined) == "joined"
    assert "".join(heard) == joined["result"]["structuredContent"]["answer"]
    assert [record.outcome for record in emulator.log.of("glm")] == ["complete"]


async def test_two_daemons_on_one_database_never_run_one_operation_both(
    start_daemon: StartDaemon, emulator: Emulator, database_settings: config.Database
) -> None:
    assert database_settings.url is not None
    environ = {"EXAI_DATABASE__URL": database_settings.url.get_secret_value()}
    emulator.faults.add("glm", Fault(before_first_byte_ms=1_500))
    async with (
        start_daemon(**environ) as one,
        start_daemon(**environ) as other,
        mcp_socket(one.mcp_ws) as client,
        mcp_socket(other.mcp_ws) as second,
    ):
        begun = asyncio.ensure_future(by_socket(client, QUESTION, "one key"))
        await emulator.log.wait_for(lambda record: record.outcome == "open")
        facts = (await by_socket(second, QUESTION, "one key"))["result"]["_meta"]["exai/error"]
        assert (facts["code"], facts["retryable"]) == ("running_elsewhere", True)
        assert how(await begun) is None
        assert how(await by_socket(second, QUESTION, "one key")) == "stored"
    assert len(emulator.log.of("glm")) == 1


async def test_what_is_kept_is_bounded_in_size_and_age_as_configured(
    start_daemon: StartDaemon, emulator: Emulator, database_settings: config.Database, tmp_path: Path
) -> None:
    store = Store(database_settings, tmp_path)
    database = await Database.open(database_settings, tmp_path)
    table = IdempotentCallTable(database, ManualClock(time.time() - 2 * 3600 - 60))
    for key in ("old", "older"):
        await table.begin(IdempotentCallId("local", key), digest="d", tool="chat", call_id="call_old")
        await table.end(IdempotentCallId("local", key), call_id="call_old", result="{}")
    await database.close()
    environ = {
        "EXAI_DATABASE__URL": store.url,
        "EXAI_IDEMPOTENCY__KEEP_HOURS": "2",
        "EXAI_IDEMPOTENCY__MAX_RESULT_BYTES": "100",
    }
    async with start_daemon(**environ) as daemon, mcp_socket(daemon.mcp_ws) as client:

        async def is_pruned() -> bool:
            return not (await store.counts())["idempotent_calls"]

        await wait_until(is_pruned, what="the old row is deleted")
        assert not (await by_socket(client, QUESTION, "one key"))["result"]["isError"]
        again = await by_socket(client, QUESTION, "one key")
    assert again["result"]["_meta"]["exai/error"]["code"] == "result_lost"
    assert len(emulator.log.of("glm")) == 1


async def test_no_key_is_run_twice_and_no_call_is_lost_over_kills_under_load(
    start_daemon: StartDaemon, emulator: Emulator
) -> None:
    emulator.persona = Persona(kind="auto", delay_per_token_ms=4)
    environ = {"EXAI_SERVER__PORT": str(free_port())}
    url = f"ws://127.0.0.1:{environ['EXAI_SERVER__PORT']}/mcp"
    ended = asyncio.Event()
    answered: list[str] = []
    doubtful: list[str] = []
    done: list[str] = []
    """Of which only the exchange was kept."""

    async def more_answers(number: int) -> None:
        enough = len(answered) + number
        await wait_until(lambda: len(answered) >= enough, within=60, what=f"{number} more answers")

    async def client(number: int, session: Session) -> None:
        for question in (f"client {number} question {n}" for n in itertools.count()):
            if ended.is_set():
                return
            try:
                answer = await session.call("chat", {"prompt": question, "model": "kimi-k3"})
            except InDoubt:
                doubtful.append(question)
                continue
            if answer.is_error:
                assert answer.meta["exai/error"]["code"] == "result_lost", answer.text
                done.append(question)
                continue
            assert answer.structured is not None
            assert answer.structured["answer"].endswith(f"] {question}")
            answered.append(question)

    async with (
        asyncio.timeout(240),
        exai.connect(url, patience_s=60) as session,
        asyncio.TaskGroup() as group,
    ):
        clients = [group.create_task(client(number, session)) for number in range(16)]
        for _ in range(4):
            async with start_daemon(**environ) as daemon:
                await more_answers(40)
                daemon.kill()
                await daemon.ended()
        async with start_daemon(**environ):
            ended.set()
            await asyncio.wait(clients)
    prompts = Counter(record.body["messages"][-1]["content"] for record in emulator.log.of("kimi"))
    assert set(prompts.values()) == {1}
    assert len(set(answered)) == len(answered)
    assert {*answered, *done} <= set(prompts)
    assert set(prompts) - {*answered, *done} <= set(doubtful)
    assert doubtful, "no call was under way when the daemon was killed"
