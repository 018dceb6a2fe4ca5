"""Idempotent calls: one run for however many ask, kept results, doubt after a crash, keys that become free."""

import asyncio
import random
import re
from collections.abc import Awaitable, Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, select

from exai import config
from exai.auth.scopes import MODELS
from exai.callers import Caller, Door
from exai.consulting.context import CallContext, Interrupted
from exai.consulting.results import ToolReturn
from exai.dispatch import idempotent_calls as theory
from exai.dispatch.idempotent_calls import IdempotentCallId, digest_of
from exai.dispatch.idempotent_run import LONGEST_RETRY_S, TRANSITIONS, Stage
from exai.dispatch.kept_results import META_KEY
from exai.errors import ProviderRefused, ProviderUnreachable, StoreFailed
from exai.events.events import CallRecalled
from exai.providers.base import DeltaKind, Prompt
from exai.runtime.clock import ManualClock, SystemClock
from exai.storage.calls.idempotent_calls import IdempotentCallTable
from exai.storage.database import Database
from exai.storage.schema import calls, idempotent_calls
from exai.tools.base import ToolAnswer
from support.scripted import ScriptedProvider
from support.services import Said, Services, Words, ask, error_facts
from support.virtual_time import LoopClock
from support.waiting import wait_until


async def idempotent_call_rows(database: Database) -> list[dict[str, Any]]:
    return await database.read(_idempotent_call_rows)


def _idempotent_call_rows(connection: Connection) -> list[dict[str, Any]]:
    return [dict(row) for row in connection.execute(select(idempotent_calls)).mappings()]


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


def recalled(services: Services) -> list[str]:
    return [event.how for event in services.events_of(CallRecalled)]


def how(answer: ToolAnswer) -> str | None:
    how: str | None = (answer.meta or {}).get(META_KEY, {}).get("recalled")
    return how


async def test_the_same_key_gets_the_stored_result_and_the_provider_is_asked_once(database: Database) -> None:
    services = Services(database, ScriptedProvider("the answer"))
    first = await services.call(key="key")
    again = await services.call(key="key")
    assert (first.text, how(first)) == ("the answer", None)
    assert again.structured is not None
    assert (again.text, again.structured["said"], how(again)) == ("the answer", "the answer", "stored")
    assert len(services.provider.asked) == 1
    assert recalled(services) == ["stored"]
    (row,) = await idempotent_call_rows(database)
    assert again.meta is not None
    assert (row["call_id"], row["tool"]) == (again.meta[META_KEY]["call_id"], "ask")
    assert row["ended_at"] >= row["began_at"]


async def test_a_stored_result_is_equal_to_the_first_one_whatever_its_letters(database: Database) -> None:
    services = Services(database, ScriptedProvider('尸\0 "quoted"\n\U0001f426'))
    first = await services.call(key="key")
    assert (await services.call(key="key")).text == first.text


async def test_the_result_is_there_for_another_process_after_this_one(
    database_settings: config.Database, tmp_path: Path
) -> None:
    for expected in (None, "stored"):
        database = await Database.open(database_settings, tmp_path)
        services = Services(database, ScriptedProvider("the answer"))
        answer = await services.call(key="key")
        assert (answer.text, how(answer)) == ("the answer", expected)
        assert len(services.provider.asked) == (1 if expected is None else 0)
        await services.idempotent_calls.close()
        await database.close()


async def test_other_arguments_under_a_key_are_an_error_while_it_runs_and_afterwards(
    database: Database,
) -> None:
    gate = Gate()
    services = Services(database, ScriptedProvider(gate))
    running = services.start(key="key", word="one")
    await services.provider.asked_now.wait()
    refused = error_facts(await services.call(key="key", word="other"))
    assert (refused["code"], refused["retryable"]) == ("idempotency_key_reused", False)
    gate.open.set()
    assert not (await running).is_error
    assert error_facts(await services.call(key="key", word="other"))["code"] == "idempotency_key_reused"
    assert recalled(services) == ["reused", "reused"]
    assert len(services.provider.asked) == 1


async def test_another_subject_has_keys_of_its_own(database: Database) -> None:
    services = Services(database, ScriptedProvider("for one", "for the other"))
    one = await services.call(key="key", caller=Caller("alice", Door.HTTP, scopes=frozenset({MODELS})))
    other = await services.call(key="key", caller=Caller("bob", Door.HTTP, scopes=frozenset({MODELS})))
    assert (one.text, other.text, how(other)) == ("for one", "for the other", None)


async def test_a_second_caller_joins_and_gets_the_progress_from_the_beginning(database: Database) -> None:
    async def say_before_asking(arguments: Words, context: CallContext) -> ToolReturn[Said]:
        on_delta = context.progress.deltas_of("heron-1")
        assert on_delta is not None
        on_delta(DeltaKind.TEXT, "Well: ")
        return await ask(arguments, context)

    gate = Gate("many words")
    services = Services(database, ScriptedProvider(gate), say_before_asking)
    heard: dict[str, list[str]] = {"first": [], "second": []}

    def follow(name: str) -> Awaitable[ToolAnswer]:
        async def send(_: float, __: str, meta: dict[str, Any]) -> None:
            if meta["exai/kind"] == "text":
                heard[name].append(meta["exai/delta"])

        return services.call(key="key", word="x", send_progress=send)

    first = asyncio.ensure_future(follow("first"))
    await services.provider.asked_now.wait()
    second = asyncio.ensure_future(follow("second"))
    await asyncio.sleep(0)
    gate.open.set()
    answers = await asyncio.gather(first, second)
    assert [how(answer) for answer in answers] == [None, "joined"]
    assert ["".join(words) for words in heard.values()] == ["Well: many words"] * 2
    assert len(services.provider.asked) == 1


async def test_a_caller_that_leaves_does_not_cancel_the_others_run(database: Database) -> None:
    gate = Gate()
    services = Services(database, ScriptedProvider(gate))
    one = services.start(key="key")
    await services.provider.asked_now.wait()
    other = services.start(key="key")
    await asyncio.sleep(0)
    one.cancel()
    with pytest.raises(asyncio.CancelledError):
        await one
    assert not gate.cancelled.is_set()
    gate.open.set()
    assert (await other).text == "the answer"
    assert len(services.provider.asked) == 1


async def test_the_last_caller_that_leaves_cancels_the_run_and_frees_the_key(
    database: Database,
) -> None:
    gate = Gate()
    services = Services(database, ScriptedProvider(gate, "anew"))
    both = [services.start(key="key"), services.start(key="key")]
    await services.provider.asked_now.wait()
    for task in both:
        task.cancel()
    await asyncio.wait(both)
    async with asyncio.timeout(30):
        await gate.cancelled.wait()
        # Asked for while the first one still ends: it waits for that, and begins anew.
        assert (await services.call(key="key", word="other words")).text == "anew"
    assert len(services.provider.asked) == 2


@pytest.mark.parametrize(
    ("failure", "kept"), [(ProviderRefused("no such thing"), True), (ProviderUnreachable("gone"), False)]
)
async def test_a_definite_failure_is_kept_and_a_passing_one_frees_the_key(
    database: Database, failure: Exception, kept: bool
) -> None:
    services = Services(database, ScriptedProvider(failure, "well now"))
    assert (await services.call(key="key")).is_error
    again = await services.call(key="key")
    assert (how(again), again.is_error) == (("stored", True) if kept else (None, False))
    assert len(services.provider.asked) == (1 if kept else 2)


async def test_a_call_refused_before_it_began_leaves_its_key_free(database: Database) -> None:
    services = Services(database, ScriptedProvider("the answer"))
    assert error_facts(await services.call(key="key", nonsense=1))["code"] == "bad_arguments"
    assert (await services.call(key="key")).text == "the answer"


async def test_a_result_above_the_bound_is_given_once_and_then_reported_lost(database: Database) -> None:
    services = Services(
        database, ScriptedProvider("鷺" * 100), idempotency=config.Idempotency(max_result_bytes=350)
    )
    assert not (await services.call(key="key")).is_error
    lost = error_facts(await services.call(key="key"))
    assert (lost["code"], lost["retryable"]) == ("result_lost", False)
    assert len(services.provider.asked) == 1


async def test_a_row_whose_process_died_is_in_doubt_and_never_run_again(
    database: Database, database_settings: config.Database, tmp_path: Path
) -> None:
    other = await Database.open(database_settings, tmp_path)
    table = IdempotentCallTable(other, SystemClock())
    digest = digest_of("ask", {})
    assert await table.begin(IdempotentCallId("local", "key"), digest=digest, tool="ask", call_id="call_1")
    services = Services(database, ScriptedProvider())
    while_it_lives = error_facts(await services.call(key="key"))
    assert (while_it_lives["code"], while_it_lives["retryable"]) == ("running_elsewhere", True)
    assert while_it_lives["retry_after_s"] > 0
    await other.close()
    for _ in range(2):
        doubt = error_facts(await services.call(key="key"))
        assert (doubt["code"], doubt["retryable"]) == ("in_doubt", False)
        assert "call_1" in doubt["message"]
    assert error_facts(await services.call(key="key", word="other"))["code"] == "idempotency_key_reused"
    assert recalled(services) == ["elsewhere", "in_doubt", "in_doubt", "reused"]
    assert services.provider.asked == []


async def test_a_tool_that_keeps_its_work_goes_on_under_the_key_of_a_process_that_died(
    database: Database, database_settings: config.Database, tmp_path: Path
) -> None:
    interrupted: list[Interrupted | None] = []

    async def run(arguments: Words, context: CallContext) -> ToolReturn[Said]:
        interrupted.append(context.interrupted)
        return await ask(arguments, context)

    other = await Database.open(database_settings, tmp_path)
    call, digest, clock = IdempotentCallId("local", "key"), digest_of("ask", {}), SystemClock()
    before = clock.utc()
    assert await IdempotentCallTable(other, clock).begin(call, digest=digest, tool="ask", call_id="call_1")
    services = Services(database, ScriptedProvider("the answer", "another"), run, resumes=True)
    assert error_facts(await services.call(key="key"))["code"] == "running_elsewhere"
    await other.close()
    assert error_facts(await services.call(key="key", word="other"))["code"] == "idempotency_key_reused"
    answers = [await services.call(key="key") for _ in range(2)]
    assert [(answer.text, how(answer)) for answer in answers] == [
        ("the answer", None),
        ("the answer", "stored"),
    ]
    (its,) = interrupted
    assert its is not None
    assert its.call_id == "call_1"
    assert before <= its.began_at <= clock.utc()
    assert recalled(services) == ["elsewhere", "reused", "resumed", "stored"]
    await services.call(key="another key")
    assert interrupted[1] is None


async def test_two_processes_never_both_run_a_call(
    database: Database, database_settings: config.Database, tmp_path: Path
) -> None:
    other = await Database.open(database_settings, tmp_path)
    gates = [Gate("one"), Gate("other")]
    processes = [
        Services(each, ScriptedProvider(*([gate] * 20)))
        for each, gate in zip((database, other), gates, strict=True)
    ]
    for gate in gates:
        gate.open.set()
    for number in range(20):
        answers = await asyncio.gather(*(services.call(key=f"key {number}") for services in processes))
        made = [answer for answer in answers if not answer.is_error and how(answer) is None]
        assert len(made) == 1
        assert {error_facts(answer)["code"] for answer in answers if answer.is_error} <= {"running_elsewhere"}
    assert sum(len(services.provider.asked) for services in processes) == 20
    for services in processes:
        await services.idempotent_calls.close()
    await other.close()


async def test_the_row_and_the_journals_row_are_on_disk_before_the_provider_is_asked(
    database: Database,
) -> None:
    seen: list[Any] = []

    async def look(_: Prompt) -> str:
        seen.extend(await database.read(lambda connection: connection.scalars(select(calls.c.call_id)).all()))
        seen.extend(row["call_id"] for row in await database.read(_idempotent_call_rows))
        return "looked"

    services = Services(database, ScriptedProvider(look))
    await services.call(key="key")
    assert len(seen) == 2
    assert len(set(seen)) == 1


async def test_without_a_key_nothing_is_looked_up_or_kept(database: Database) -> None:
    services = Services(database, ScriptedProvider("one", "two"))
    for expected in ("one", "two"):
        answer = await services.call(word="x")
        assert (answer.text, how(answer)) == (expected, None)
        assert META_KEY not in (answer.meta or {})
    assert await idempotent_call_rows(database) == []


class FailingTable(IdempotentCallTable):
    """Refuses to write an end until a moment of the loop's time, each time after its gate was opened."""

    fails_until = 100.0

    def __init__(self, database: Database) -> None:
        super().__init__(database, LoopClock())
        self.tried_at: list[float] = []
        self.tried = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()

    async def _try(self) -> None:
        self.tried.set()
        await self.gate.wait()
        now = asyncio.get_running_loop().time()
        self.tried_at.append(now)
        if now < self.fails_until:
            raise StoreFailed("gone")

    async def end(self, operation: IdempotentCallId, *, call_id: str, result: str | None) -> None:
        await self._try()
        await super().end(operation, call_id=call_id, result=result)

    async def free(self, operation: IdempotentCallId, *, digest: str, tool: str, call_id: str) -> None:
        await self._try()
        await super().free(operation, digest=digest, tool=tool, call_id=call_id)


@pytest.mark.virtual_time
@pytest.mark.parametrize("failure", [None, ProviderUnreachable("gone")])
async def test_an_end_is_written_when_the_database_is_back(
    database: Database, failure: Exception | None
) -> None:
    table = FailingTable(database)
    provider = ScriptedProvider(failure or "the answer", "anew")
    services = Services(database, provider, clock=LoopClock(), idempotent_call_table=table)
    first = await services.call(key="key")
    meanwhile = await services.call(key="key")
    if failure is None:
        assert (first.text, meanwhile.text, how(meanwhile)) == ("the answer", "the answer", "joined")
    else:
        assert error_facts(meanwhile)["code"] == "store_failed"
    await asyncio.sleep(table.fails_until)
    assert services.idempotent_calls.running == 1
    await asyncio.sleep(LONGEST_RETRY_S)
    assert services.idempotent_calls.running == 0
    pauses = [after - before for before, after in pairwise(table.tried_at)]
    assert pauses == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]
    after = await services.call(key="key")
    assert after.text == ("the answer" if failure is None else "anew")
    assert how(after) == ("stored" if failure is None else None)


@pytest.mark.virtual_time
async def test_a_waiting_caller_gets_store_failed_at_once(database: Database) -> None:
    table = FailingTable(database)
    provider = ScriptedProvider(ProviderUnreachable("gone"))
    services = Services(database, provider, clock=LoopClock(), idempotent_call_table=table)
    table.gate.clear()
    first = services.start(key="key")
    await table.tried.wait()
    waiting = services.start(key="key")
    await asyncio.sleep(0)
    table.gate.set()
    began = asyncio.get_running_loop().time()
    assert error_facts(await waiting)["code"] == "store_failed"
    assert asyncio.get_running_loop().time() == began
    assert (await first).is_error
    await services.idempotent_calls.close()
    assert services.idempotent_calls.running == 0


@pytest.mark.virtual_time
async def test_an_end_that_is_given_up_leaves_its_call_in_doubt(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exai.dispatch.idempotent_calls.MAX_OWING", 0)
    table = FailingTable(database)
    services = Services(
        database, ScriptedProvider("the answer"), clock=LoopClock(), idempotent_call_table=table
    )
    assert (await services.call(key="key")).text == "the answer"
    assert error_facts(await services.call(key="key"))["code"] == "in_doubt"
    assert len(services.provider.asked) == 1


def test_the_theory_shows_every_stage_and_transition() -> None:
    text = theory.__doc__ or ""
    shown = re.findall(r"^    ([A-Z_]+) +([a-z_]+) +([A-Z_]+)\b", text, re.MULTILINE)
    assert sorted(shown) == sorted(
        (stage.name, event, following.name)
        for stage, row in TRANSITIONS.items()
        for event, following in row.items()
    )
    assert set(TRANSITIONS) == set(Stage)
    explained = set(re.findall(r"^    ([A-Z_]+)  +\S", text, re.MULTILINE))
    assert explained == {stage.name for stage in Stage}


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
        assert word not in self._running, "two runs of one call"
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
    services = Services(database, ScriptedProvider(*([storm.step] * 2_000)))
    left: set[asyncio.Task[ToolAnswer]] = set()
    tasks: list[asyncio.Task[ToolAnswer]] = []
    for _ in range(300):
        key = f"key {storm.random.randrange(30)}"
        tasks.append(services.start(key=key, word=key))
        tasks[-1].add_done_callback(storm.note)
        for _ in range(storm.random.randrange(3)):
            await asyncio.sleep(0)
        victim = storm.random.choice(tasks)
        if storm.random.random() < 0.4 and victim.cancel():
            left.add(victim)
        if storm.random.random() < 0.1:
            await asyncio.sleep(0.002)
    await asyncio.wait(tasks)
    await wait_until(
        lambda: not services.idempotent_calls.running, what="those that were cancelled free their keys"
    )
    assert {task for task in tasks if task.cancelled()} <= left
    assert all(not task.result().is_error for task in tasks if not task.cancelled())
    assert storm.answers
    assert all(len(texts) == 1 for texts in storm.answers.values())
    rows = await idempotent_call_rows(database)
    assert {row["idempotency_key"] for row in rows} >= set(storm.answers)
    assert all(row["ended_at"] is not None for row in rows)


def test_the_digest_does_not_depend_on_the_order_of_arguments() -> None:
    same: Callable[..., str] = digest_of
    assert same("chat", {"a": 1, "b": [2]}) == same("chat", {"b": [2], "a": 1})
    assert same("chat", None) == same("chat", {})
    assert len({same("chat", {"a": 1}), same("chat", {"a": "1"}), same("ask", {"a": 1})}) == 3
    for odd in ("\ud800", 2**70, -(2**70)):
        assert same("chat", {"a": odd, "b": 1}) == same("chat", {"b": 1, "a": odd})
