"""From a request to its tool and back: the journal's marks, the facts, the errors, the permits."""

import asyncio
import random
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Table, select

from exai import config
from exai.auth.scopes import MODELS, STATUS
from exai.callers import Caller, Door
from exai.consulting.context import CallContext
from exai.consulting.results import ToolReturn
from exai.dispatch.dispatcher import GRACE_S
from exai.errors import ProviderRefused, ProviderTimeout, ProviderUnauthorized, ScopeMissing, UnknownTool
from exai.events.events import CallEnded, CallRefused, CallStarted, IncidentRecorded, ProviderCallEnded
from exai.providers.base import DeltaKind, Prompt
from exai.storage.database import Database
from exai.storage.schema import TIMINGS, calls, requests
from support.queued_writes import commit_queued
from support.scripted import ScriptedProvider
from support.services import CALLER, Run, Said, Services, Words, ask, error_facts
from support.virtual_time import LoopClock
from support.waiting import wait_until

pytestmark = pytest.mark.virtual_time


def services(database: Database, provider: ScriptedProvider, run: Run = ask, **admission: float) -> Services:
    limits = config.Admission.model_validate(admission)
    return Services(database, provider, run, clock=LoopClock(), admission=limits, call_timeout_s=900)


async def rows(database: Database, table: Table = calls) -> list[dict[str, Any]]:
    await commit_queued(database)
    query = select(table).order_by(table.c.began_at)
    return await database.read(lambda connection: [dict(row) for row in connection.execute(query).mappings()])


async def forever(_: Any) -> str:
    await asyncio.Event().wait()
    return "never"


async def test_a_good_call_leaves_a_whole_row_and_its_facts(database: Database) -> None:
    async def think(_: Prompt) -> str:
        await asyncio.sleep(120)
        return "the answer"

    made = services(database, ScriptedProvider(think))
    answer = await made.call(model="scripted-1")
    assert (answer.text, answer.is_error) == ("the answer", False)
    (row,) = await rows(database)
    assert (row["tool"], row["owner"], row["door"]) == ("ask", "local", "websocket")
    assert (row["outcome"], row["error_code"], row["provider"]) == ("ok", None, "scripted")
    assert (row["model_requested"], row["model_used"]) == ("scripted-1", "scripted-1")
    assert row["input_tokens"] == 1_000_000
    assert answer.meta is not None
    timings = answer.meta["exai/report"]["timings"]
    assert {name: row[name] for name in TIMINGS} == {name: timings.get(name) for name in TIMINGS}
    assert timings["latency_ms"] == 120_000, "what the database takes is none"
    assert sum(timings.values()) == 2 * timings["latency_ms"]
    assert [type(event) for event in made.events] == [CallStarted, ProviderCallEnded, CallEnded]
    assert made.events_of(CallEnded)[0].timings == timings


async def test_requests_side_by_side_have_a_row_each_and_their_call_the_sums(database: Database) -> None:
    async def quick(_: Prompt) -> str:
        await asyncio.sleep(30)
        return "one"

    async def slow(_: Prompt) -> str:
        await asyncio.sleep(50)
        raise ProviderRefused("no")

    async def ask_twice(arguments: Words, context: CallContext) -> ToolReturn[Said]:
        one, other = await asyncio.gather(
            ask(arguments, context), ask(arguments, context), return_exceptions=True
        )
        assert isinstance(other, ProviderRefused)
        assert isinstance(one, ToolReturn)
        return one

    made = services(database, ScriptedProvider(quick, slow), ask_twice)
    answer = await made.call()
    assert answer.meta is not None
    timings = answer.meta["exai/report"]["timings"]
    assert (timings["latency_ms"], timings["processing_ms"]) == (50_000, 0)
    assert sum(timings.values()) == 2 * timings["latency_ms"]
    (call,) = await rows(database)
    first, second = await rows(database, requests)
    assert (first["number"], first["outcome"], second["number"], second["outcome"]) == (
        1,
        "ok",
        2,
        "provider_refused",
    )
    assert [row["ended_at"] - row["began_at"] for row in (first, second)] == [
        timedelta(seconds=30),
        timedelta(seconds=50),
    ]
    assert (call["call_id"], call["requests"]) == (first["call_id"], 2)
    assert (call["input_tokens"], call["cost_usd"]) == (first["input_tokens"], first["cost_usd"])
    assert [(each.outcome, each.attempts) for each in made.events_of(CallEnded)[0].requests] == [
        ("ok", 1),
        ("provider_refused", 1),
    ]


async def test_the_row_is_on_disk_before_the_provider_is_asked(database: Database) -> None:
    seen: list[Any] = []

    async def look(_: Prompt) -> str:
        seen.extend(
            await database.read(
                lambda connection: connection.execute(select(calls.c.outcome)).scalars().all()
            )
        )
        return "answer"

    await services(database, ScriptedProvider(look)).call()
    assert seen == [None]


async def test_what_calls_were_given_is_bounded_by_caller_and_in_all(database: Database) -> None:
    made = services(
        database, ScriptedProvider(*[forever] * 5), caller_limit=9, caller_bytes=50_000, global_bytes=100_000
    )
    admission = made.admission
    other = replace(CALLER, subject="somebody else")
    running = [made.start(word="a" * 60_000)]  # above the bound, and the only one of its caller
    await made.provider.asked_now.wait()
    refused = error_facts(await made.call(word="a" * 1_000))
    assert (refused["code"], refused["retryable"]) == ("overloaded", True)
    assert [event.error_code for event in made.events_of(CallRefused)] == ["overloaded"]
    running += [made.start(caller=other, word="b" * 19_000) for _ in range(2)]
    await wait_until(lambda: made.dispatcher.running == 3, what="the other caller's calls run")
    assert "admission.global_bytes" in (await made.call(caller=other, word="b" * 2_000)).text
    assert (await made.call("tell", caller=other, word="b" * 2_000)).is_error is False
    for task in running:
        task.cancel()
    await asyncio.wait(running)
    assert admission.bytes_in_flight.total == 0
    assert len(await rows(database)) == 3


async def test_a_tool_that_asks_nobody_needs_no_permit_and_no_row(database: Database) -> None:
    made = services(database, ScriptedProvider(forever), global_limit=1, max_queue=0)
    waiting = made.start()
    await made.provider.asked_now.wait()
    assert (await made.call("tell", word="hi")).text == "hi"
    assert len(await rows(database)) == 1
    waiting.cancel()
    await asyncio.wait([waiting])


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [(ProviderUnauthorized("bad key"), "failed"), (ProviderTimeout("too slow"), "timed_out")],
)
async def test_a_providers_fault_is_an_answer_and_an_end(
    database: Database, fault: ProviderUnauthorized | ProviderTimeout, outcome: str
) -> None:
    made = services(database, ScriptedProvider(fault))
    answer = await made.call()
    facts = error_facts(answer)
    assert (facts["code"], facts["retryable"], facts["fixable_by"]) == (
        fault.code,
        fault.retryable,
        fault.fixable_by,
    )
    assert answer.text == str(fault)
    (row,) = await rows(database)
    assert (row["outcome"], row["error_code"], row["call_id"]) == (outcome, fault.code, facts["call_id"])
    assert made.events_of(ProviderCallEnded)[0].outcome == fault.code


async def test_what_was_unforeseen_is_an_incident_that_leaks_nothing(database: Database) -> None:
    made = services(database, ScriptedProvider(ZeroDivisionError("canary")))
    answer = await made.call()
    assert error_facts(answer)["code"] == "internal_error"
    assert "canary" not in str(answer)
    (incident,) = made.events_of(IncidentRecorded)
    assert incident.incident_id in answer.text
    assert incident.kind == "ZeroDivisionError"
    assert (await rows(database))[0]["error_code"] == "internal_error"


async def test_a_timeout_of_a_bug_is_an_incident_and_not_the_deadline(database: Database) -> None:
    made = services(database, ScriptedProvider(TimeoutError()))
    assert error_facts(await made.call())["code"] == "internal_error"


async def test_the_deadline_ends_the_call(database: Database) -> None:
    made = services(database, ScriptedProvider(forever))
    answer = await made.call()
    assert error_facts(answer)["code"] == "deadline_exceeded"
    assert asyncio.get_running_loop().time() == 900 + GRACE_S
    assert made.provider.cancelled == 1
    assert (await rows(database))[0]["outcome"] == "timed_out"


async def test_cancelling_reaches_the_provider_and_is_written_down(database: Database) -> None:
    made = services(database, ScriptedProvider(forever))
    task = made.start()
    await made.provider.asked_now.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert made.provider.cancelled == 1
    assert (await rows(database))[0]["outcome"] == "cancelled"
    assert made.dispatcher.running == 0


async def test_bad_arguments_cost_no_permit_and_no_row(database: Database) -> None:
    made = services(database, ScriptedProvider())
    assert error_facts(await made.call(wrod="x"))["code"] == "bad_arguments"
    assert await rows(database) == []
    assert made.events_of(CallEnded)[0].error_code == "bad_arguments"


async def test_an_unknown_tool_is_a_protocol_fault(database: Database) -> None:
    made = services(database, ScriptedProvider())
    with pytest.raises(UnknownTool):
        await made.call("aks")
    assert made.events == []


async def test_overload_is_answered_at_once_and_leaves_no_row(database: Database) -> None:
    made = services(database, ScriptedProvider(forever), global_limit=1, max_queue=0)
    task = made.start()
    await made.provider.asked_now.wait()
    facts = error_facts(await made.call())
    assert facts["code"] == "overloaded"
    assert facts["retry_after_s"] >= 1
    assert len(await rows(database)) == 1
    assert made.events_of(CallRefused)[0].error_code == "overloaded"
    task.cancel()
    await asyncio.wait([task])


async def test_after_the_stop_new_calls_are_refused_and_running_ones_end_with_a_definite_error(
    database: Database,
) -> None:
    made = services(database, ScriptedProvider(forever))
    task = made.start()
    await made.provider.asked_now.wait()
    made.dispatcher.stop_admitting()
    refused = error_facts(await made.call())
    assert (refused["code"], refused["retryable"]) == ("stopping", True)
    assert made.dispatcher.running == 1
    made.dispatcher.abort_running()
    aborted = error_facts(await task)
    assert (aborted["code"], aborted["retryable"]) == ("stopping", True)
    assert made.provider.cancelled == 1
    assert (await rows(database))[0]["outcome"] == "cancelled"


async def test_progress_is_sent_to_those_who_asked(database: Database) -> None:
    received: list[tuple[str, str, str | None]] = []

    async def receive(number: float, message: str, meta: dict[str, Any]) -> None:
        received.append((meta["exai/kind"], message, meta.get("exai/delta")))

    async def report_twice(arguments: Words, context: CallContext) -> ToolReturn[Said]:
        on_delta = context.progress.deltas_of("heron-1")
        assert on_delta is not None
        context.progress.status("asking")
        on_delta(DeltaKind.TEXT, "the answer")
        return ToolReturn(Said(said="the answer"))

    made = services(database, ScriptedProvider(), report_twice)
    await made.call(send_progress=receive)
    assert received == [
        ("status", "asking", None),
        ("text", "heron-1 answers, 10 characters: the answer", "the answer"),
    ]


@pytest.mark.timeout(300)
async def test_ten_thousand_calls_of_every_fate_leave_every_permit_free(database: Database) -> None:
    dice = random.Random(20261124)

    async def fate(_: Prompt) -> str:
        roll = dice.random()
        await asyncio.sleep(dice.randrange(5))  # whole seconds, so that many end together, in one commit
        if roll < 0.15:
            raise ProviderRefused("no")
        if roll < 0.2:
            raise ProviderTimeout("slow")
        if roll < 0.25:
            raise RuntimeError("a bug")
        return "ok"

    provider = ScriptedProvider(*[fate] * 10_000)
    limits: dict[str, Any] = {
        "global_limit": 20,
        "caller_limit": 8,
        "model_limit": 15,
        "max_queue": 120,
        "max_wait_s": 25,
    }
    made = services(database, provider, **limits)
    loop = asyncio.get_running_loop()
    codes: dict[str, int] = {}

    async def client(number: int) -> None:
        caller = replace(CALLER, subject=f"caller {number % 12}")
        task = loop.create_task(made.call(caller=caller))
        if dice.random() < 0.2:  # the client cancels, or is killed
            loop.call_later(dice.randrange(10), task.cancel)
        await asyncio.wait([task])
        if task.cancelled():
            code = "cancelled"
        elif task.result().is_error:
            code = error_facts(task.result())["code"]
        else:
            code = "ok"
        codes[code] = codes.get(code, 0) + 1

    for _ in range(40):
        await asyncio.gather(*(client(number) for number in range(250)))  # more than may run and wait

    assert sum(codes.values()) == 10_000
    assert {
        "ok",
        "cancelled",
        "provider_refused",
        "provider_timeout",
        "internal_error",
        "overloaded",
    } <= set(codes)
    gates = [made.admission.total, *made.admission.by_model.values()]
    assert [(gate.in_use, gate.waiting) for gate in gates] == [(0, 0), (0, 0)]
    assert made.admission.callers == 0
    assert made.admission.total.most_in_use <= 20
    assert made.admission.by_model["scripted", "scripted-1"].most_in_use <= 15
    assert made.dispatcher.running == 0
    assert [row["call_id"] for row in await rows(database) if row["outcome"] is None] == []


async def test_a_call_that_its_caller_may_not_make_does_nothing(database: Database) -> None:
    made = services(database, ScriptedProvider())
    stranger = Caller("somebody", Door.HTTP, scopes=frozenset({STATUS}))
    with pytest.raises(ScopeMissing) as refused:
        await made.call(no="such", caller=stranger, key="k")
    assert refused.value.scope == MODELS
    assert MODELS in str(refused.value)
    assert made.provider.asked == []
    assert await rows(database) == []
    assert made.events == [CallRefused("ask", stranger, "insufficient_scope")]
    allowed = Caller("somebody", Door.HTTP, scopes=frozenset({MODELS}))
    assert not (await made.call(caller=allowed)).is_error
