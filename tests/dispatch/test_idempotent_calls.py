"""IdempotentCalls: one run for however many ask, kept results, doubt after a crash, keys that become free."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, select

from exai import config
from exai.auth.scopes import MODELS
from exai.callers import Caller, Door
from exai.consulting.context import CallContext
from exai.dispatch.dispatcher import Dispatcher
from exai.dispatch.idempotent_calls import META_KEY, IdempotentCallId, IdempotentCalls, digest_of
from exai.errors import ProviderRefused, ProviderUnreachable, StoreFailed
from exai.events.bus import EventBus
from exai.events.events import CallRecalled, Event
from exai.messages import Message, Role
from exai.providers.base import Prompt
from exai.runtime.clock import ManualClock, SystemClock
from exai.storage.calls.idempotent_calls import IdempotentCallTable
from exai.storage.calls.journal import Journal
from exai.storage.database import Database
from exai.storage.schema import calls, idempotent_calls
from exai.tools.base import Arguments, Tool, ToolAnswer
from exai.tools.registry import Registry
from support.scripted import MODEL, ScriptedProvider, ScriptedRoster, asking

CALLER = Caller.local(Door.WEBSOCKET)


class Words(Arguments, frozen=True):
    word: str = "hello"


async def ask(arguments: Words, context: CallContext) -> ToolAnswer:
    prompt = Prompt(model=MODEL, messages=(Message(Role.USER, arguments.word),))
    if context.streams:
        context.progress.text("Well: ")
    listen = (lambda _, text: context.progress.text(text)) if context.streams else None
    completion = await context.ask(prompt, listen)
    return ToolAnswer(completion.text, {"said": completion.text})


class Services:
    """A dispatcher as one process has it; several may share a database."""

    def __init__(self, database: Database, provider: ScriptedProvider, **limits: int) -> None:
        self.database = database
        self.provider = provider
        self.events: list[Event] = []
        bus = EventBus()
        bus.watch(self.events.append)
        clock = SystemClock()
        self.table = IdempotentCallTable(database, clock)
        self.idempotent_calls = IdempotentCalls(
            self.table, config.Idempotency.model_validate(limits), clock=clock, publish=bus.publish
        )
        tool = Tool("ask", "Ask", "Asks.", Words, ask, {"type": "object"}, asks_provider=True, scope=MODELS)
        self.dispatcher = Dispatcher(
            registry=Registry([tool]),
            asking=asking(ScriptedRoster(provider), bus=bus, clock=clock),
            journal=Journal(database, clock),
            idempotent_calls=self.idempotent_calls,
            call_timeout_s=20.0,
        )

    async def call(self, key: str, word: str = "hello", caller: Caller = CALLER, **more: Any) -> ToolAnswer:
        return await self.dispatcher.call("ask", {"word": word, **more}, caller=caller, idempotency_key=key)

    def start(self, key: str, word: str = "hello") -> asyncio.Task[ToolAnswer]:
        return asyncio.get_running_loop().create_task(self.call(key, word))

    @property
    def recalled(self) -> list[str]:
        return [event.how for event in self.events if isinstance(event, CallRecalled)]

    async def rows(self) -> list[dict[str, Any]]:
        return await self.database.read(_idempotent_call_rows)


def _idempotent_call_rows(connection: Connection) -> list[dict[str, Any]]:
    return [dict(row) for row in connection.execute(select(idempotent_calls)).mappings()]


@pytest.fixture
async def database(database_settings: config.Database, tmp_path: Path) -> AsyncIterator[Database]:
    database = await Database.open(database_settings, tmp_path)
    yield database
    await database.close()


class Gate:
    """A provider's step that waits until it is let through."""

    def __init__(self, text: str = "the answer") -> None:
        self.open = asyncio.Event()
        self.cancelled = asyncio.Event()
        self._text = text

    async def __call__(self, _: Prompt) -> str:
        try:
            await self.open.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return self._text


def facts(answer: ToolAnswer) -> dict[str, Any]:
    assert answer.is_error
    assert answer.meta is not None
    return dict(answer.meta["exai/error"])


def how(answer: ToolAnswer) -> str | None:
    return (answer.meta or {}).get(META_KEY, {}).get("recalled")


async def test_the_same_key_gets_the_stored_result_and_the_provider_is_asked_once(database: Database) -> None:
    house = Services(database, ScriptedProvider("the answer"))
    first = await house.call("key")
    again = await house.call("key")
    assert (first.text, how(first)) == ("the answer", None)
    assert (again.text, again.structured, how(again)) == ("the answer", {"said": "the answer"}, "stored")
    assert len(house.provider.asked) == 1
    assert house.recalled == ["stored"]
    (row,) = await house.rows()
    assert again.meta is not None
    assert (row["call_id"], row["tool"]) == (again.meta[META_KEY]["call_id"], "ask")
    assert row["ended_at"] >= row["began_at"]


async def test_a_stored_result_says_what_the_first_one_said_whatever_its_letters(database: Database) -> None:
    house = Services(database, ScriptedProvider('尸\0 "quoted"\n\U0001f426'))
    first = await house.call("key")
    assert (await house.call("key")).text == first.text


async def test_the_result_is_there_for_another_process_after_this_one(
    database_settings: config.Database, tmp_path: Path
) -> None:
    for expected in (None, "stored"):
        database = await Database.open(database_settings, tmp_path)
        house = Services(database, ScriptedProvider("the answer"))
        answer = await house.call("key")
        assert (answer.text, how(answer)) == ("the answer", expected)
        assert len(house.provider.asked) == (1 if expected is None else 0)
        await house.idempotent_calls.close()
        await database.close()


async def test_other_arguments_under_a_key_are_an_error_while_it_runs_and_afterwards(
    database: Database,
) -> None:
    gate = Gate()
    house = Services(database, ScriptedProvider(gate))
    running = house.start("key", "one")
    await house.provider.asked_now.wait()
    refused = facts(await house.call("key", "other"))
    assert (refused["code"], refused["retryable"]) == ("idempotency_key_reused", False)
    gate.open.set()
    assert not (await running).is_error
    assert facts(await house.call("key", "other"))["code"] == "idempotency_key_reused"
    assert house.recalled == ["reused", "reused"]
    assert len(house.provider.asked) == 1


async def test_another_subject_has_keys_of_its_own(database: Database) -> None:
    house = Services(database, ScriptedProvider("for one", "for the other"))
    one = await house.call("key", caller=Caller("alice", Door.HTTP, scopes=frozenset({MODELS})))
    other = await house.call("key", caller=Caller("bob", Door.HTTP, scopes=frozenset({MODELS})))
    assert (one.text, other.text, how(other)) == ("for one", "for the other", None)


async def test_a_second_asker_joins_and_hears_what_was_said_before(database: Database) -> None:
    gate = Gate("many words")
    house = Services(database, ScriptedProvider(gate))
    heard: dict[str, list[str]] = {"first": [], "second": []}

    def follow(name: str) -> Awaitable[ToolAnswer]:
        async def send(_: float, message: str, meta: dict[str, Any]) -> None:
            if meta["exai/kind"] == "text":
                heard[name].append(message)

        return house.dispatcher.call(
            "ask", {"word": "x"}, caller=CALLER, idempotency_key="key", send_progress=send
        )

    first = asyncio.ensure_future(follow("first"))
    await house.provider.asked_now.wait()
    second = asyncio.ensure_future(follow("second"))
    await asyncio.sleep(0)
    gate.open.set()
    answers = await asyncio.gather(first, second)
    assert [how(answer) for answer in answers] == [None, "joined"]
    assert ["".join(words) for words in heard.values()] == ["Well: many words"] * 2
    assert len(house.provider.asked) == 1


async def test_one_that_leaves_does_not_take_the_other_with_it(database: Database) -> None:
    gate = Gate()
    house = Services(database, ScriptedProvider(gate))
    one = house.start("key")
    await house.provider.asked_now.wait()
    other = house.start("key")
    await asyncio.sleep(0)
    one.cancel()
    with pytest.raises(asyncio.CancelledError):
        await one
    assert not gate.cancelled.is_set()
    gate.open.set()
    assert (await other).text == "the answer"
    assert len(house.provider.asked) == 1


async def test_the_last_one_that_leaves_takes_the_work_with_it_and_the_key_is_free(
    database: Database,
) -> None:
    gate = Gate()
    house = Services(database, ScriptedProvider(gate, "anew"))
    both = [house.start("key"), house.start("key")]
    await house.provider.asked_now.wait()
    for task in both:
        task.cancel()
    await asyncio.wait(both)
    async with asyncio.timeout(10):
        await gate.cancelled.wait()
        # Asked for while the first one still ends: it waits for that, and begins anew.
        assert (await house.call("key", "other words")).text == "anew"
    assert len(house.provider.asked) == 2


@pytest.mark.parametrize(
    ("failure", "kept"), [(ProviderRefused("no such thing"), True), (ProviderUnreachable("gone"), False)]
)
async def test_a_definite_failure_is_kept_and_a_passing_one_frees_the_key(
    database: Database, failure: Exception, kept: bool
) -> None:
    house = Services(database, ScriptedProvider(failure, "well now"))
    assert (await house.call("key")).is_error
    again = await house.call("key")
    assert (how(again), again.is_error) == (("stored", True) if kept else (None, False))
    assert len(house.provider.asked) == (1 if kept else 2)


async def test_what_was_refused_before_it_began_leaves_its_key_free(database: Database) -> None:
    house = Services(database, ScriptedProvider("the answer"))
    assert facts(await house.call("key", nonsense=1))["code"] == "bad_arguments"
    assert (await house.call("key")).text == "the answer"


async def test_a_result_above_the_bound_is_given_once_and_then_said_to_be_lost(database: Database) -> None:
    house = Services(database, ScriptedProvider("鷺" * 100), max_result_bytes=350)
    assert not (await house.call("key")).is_error
    lost = facts(await house.call("key"))
    assert (lost["code"], lost["retryable"]) == ("result_lost", False)
    assert len(house.provider.asked) == 1


async def test_a_row_whose_process_died_is_in_doubt_and_never_run_again(
    database: Database, database_settings: config.Database, tmp_path: Path
) -> None:
    other = await Database.open(database_settings, tmp_path)
    table = IdempotentCallTable(other, SystemClock())
    digest = digest_of("ask", {"word": "hello"})
    assert await table.begin(IdempotentCallId("local", "key"), digest=digest, tool="ask", call_id="call_1")
    house = Services(database, ScriptedProvider())
    while_it_lives = facts(await house.call("key"))
    assert (while_it_lives["code"], while_it_lives["retryable"]) == ("running_elsewhere", True)
    assert while_it_lives["retry_after_s"] > 0
    await other.close()
    for _ in range(2):
        doubt = facts(await house.call("key"))
        assert (doubt["code"], doubt["retryable"]) == ("in_doubt", False)
        assert "call_1" in doubt["message"]
    assert facts(await house.call("key", "other"))["code"] == "idempotency_key_reused"
    assert house.recalled == ["elsewhere", "in_doubt", "in_doubt", "reused"]
    assert house.provider.asked == []


async def test_two_processes_never_run_one_operation_both(
    database: Database, database_settings: config.Database, tmp_path: Path
) -> None:
    other = await Database.open(database_settings, tmp_path)
    gates = [Gate("one"), Gate("other")]
    houses = [
        Services(each, ScriptedProvider(*([gate] * 20)))
        for each, gate in zip((database, other), gates, strict=True)
    ]
    for gate in gates:
        gate.open.set()
    for number in range(20):
        answers = await asyncio.gather(*(house.call(f"key {number}") for house in houses))
        made = [answer for answer in answers if not answer.is_error and how(answer) is None]
        assert len(made) == 1
        assert {facts(answer)["code"] for answer in answers if answer.is_error} <= {"running_elsewhere"}
    assert sum(len(house.provider.asked) for house in houses) == 20
    for house in houses:
        await house.idempotent_calls.close()
    await other.close()


async def test_the_row_and_the_journals_row_are_on_disk_before_the_provider_is_asked(
    database: Database,
) -> None:
    seen: list[Any] = []

    async def look(_: Prompt) -> str:
        seen.extend(await database.read(lambda connection: connection.scalars(select(calls.c.call_id)).all()))
        seen.extend(row["call_id"] for row in await database.read(_idempotent_call_rows))
        return "looked"

    house = Services(database, ScriptedProvider(look))
    await house.call("key")
    assert len(seen) == 2
    assert len(set(seen)) == 1


async def test_without_a_key_nothing_is_looked_up_or_kept(database: Database) -> None:
    house = Services(database, ScriptedProvider("one", "two"))
    for expected in ("one", "two"):
        answer = await house.dispatcher.call("ask", {"word": "x"}, caller=CALLER)
        assert (answer.text, answer.meta) == (expected, None)
    assert await house.rows() == []


class FailingTable(IdempotentCallTable):
    """Refuses to write while it is told to."""

    fails = False

    async def end(self, operation: IdempotentCallId, *, call_id: str, result: str | None) -> None:
        if self.fails:
            raise StoreFailed("gone")
        await super().end(operation, call_id=call_id, result=result)

    async def free(self, operation: IdempotentCallId, *, call_id: str) -> None:
        if self.fails:
            raise StoreFailed("gone")
        await super().free(operation, call_id=call_id)


@pytest.mark.parametrize("failure", [None, ProviderUnreachable("gone")])
async def test_an_end_that_the_database_does_not_take_is_written_once_it_does(
    database: Database, failure: Exception | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exai.dispatch.idempotent_calls.FIRST_RETRY_S", 0.01)
    house = Services(database, ScriptedProvider(failure or "the answer", "anew"))
    table = FailingTable(database, SystemClock())
    monkeypatch.setattr(house.idempotent_calls, "_table", table)
    table.fails = True
    first = await house.call("key")
    meanwhile = await house.call("key")
    if failure is None:
        assert (first.text, meanwhile.text, how(meanwhile)) == ("the answer", "the answer", "joined")
    else:
        assert facts(meanwhile)["code"] == "store_failed"
    table.fails = False
    async with asyncio.timeout(10):
        while house.idempotent_calls.running:  # noqa: ASYNC110 - the retry's own pace
            await asyncio.sleep(0.005)
    after = await house.call("key")
    assert after.text == ("the answer" if failure is None else "anew")
    assert how(after) == ("stored" if failure is None else None)


async def test_old_rows_are_dropped_but_not_those_that_may_still_run(
    database: Database, database_settings: config.Database
) -> None:
    clock = ManualClock()
    table = IdempotentCallTable(database, clock)
    for key in ("ended", "open"):
        await table.begin(IdempotentCallId("local", key), digest="d", tool="ask", call_id=key)
    await table.end(IdempotentCallId("local", "ended"), call_id="ended", result="{}")
    assert await table.prune(1) == 0
    clock.advance(3600 + 1)
    assert await table.prune(1) == 1
    assert await table.find(IdempotentCallId("local", "open")) is not None
    clock.advance(86_400)
    assert await table.prune(1) == 1
    assert await database.read(_idempotent_call_rows) == []


class Storm:
    """A provider's steps and a crowd of callers, with what must hold at every moment."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.made = 0
        self.answers: dict[str, set[str]] = {}
        self._running: set[str] = set()

    async def step(self, prompt: Prompt) -> str:
        word = prompt.messages[-1].text
        assert word not in self._running, "two runs of one operation"
        assert word not in self.answers, "run again although its answer was given"
        self._running.add(word)
        self.made += 1
        text = f"{word} by run {self.made}"
        try:
            for _ in range(self.random.randrange(4)):
                await asyncio.sleep(0)
            await asyncio.sleep(self.random.random() / 200)
        finally:
            self._running.discard(word)
        return text

    def note(self, task: asyncio.Task[ToolAnswer]) -> None:
        if not task.cancelled():
            answer = task.result()
            assert not answer.is_error, answer
            self.answers.setdefault(answer.text.partition(" by ")[0], set()).add(answer.text)


@pytest.mark.parametrize("seed", range(3))
async def test_any_order_of_joins_and_cancels_keeps_the_promises(database: Database, seed: int) -> None:
    """A key is run by one task at a time, its answer is one, and nobody is cancelled who did not ask for it."""
    storm = Storm(seed)
    house = Services(database, ScriptedProvider(*([storm.step] * 2_000)))
    left: set[asyncio.Task[ToolAnswer]] = set()
    tasks: list[asyncio.Task[ToolAnswer]] = []
    for _ in range(300):
        key = f"key {storm.random.randrange(30)}"
        tasks.append(house.start(key, key))
        tasks[-1].add_done_callback(storm.note)
        for _ in range(storm.random.randrange(3)):
            await asyncio.sleep(0)
        victim = storm.random.choice(tasks)
        if storm.random.random() < 0.4 and victim.cancel():
            left.add(victim)
        if storm.random.random() < 0.1:
            await asyncio.sleep(0.002)
    async with asyncio.timeout(60):
        await asyncio.wait(tasks)
        while house.idempotent_calls.running:  # noqa: ASYNC110 - cancelled ones free their keys
            await asyncio.sleep(0.005)
    assert {task for task in tasks if task.cancelled()} <= left
    assert all(not task.result().is_error for task in tasks if not task.cancelled())
    assert storm.answers
    assert all(len(texts) == 1 for texts in storm.answers.values())
    rows = await house.rows()
    assert {row["idempotency_key"] for row in rows} >= set(storm.answers)
    assert all(row["ended_at"] is not None for row in rows)


def test_the_digest_is_of_what_is_asked_and_not_of_how_it_is_spelt() -> None:
    same: Callable[..., str] = digest_of
    assert same("chat", {"a": 1, "b": [2]}) == same("chat", {"b": [2], "a": 1})
    assert same("chat", None) == same("chat", {})
    assert len({same("chat", {"a": 1}), same("chat", {"a": "1"}), same("ask", {"a": 1})}) == 3
    for odd in ("\ud800", 2**70, -(2**70)):
        assert same("chat", {"a": odd, "b": 1}) == same("chat", {"b": 1, "a": odd})
