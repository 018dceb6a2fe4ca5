"""From a request to its tool and back: the journal's marks, the facts, the errors, the permits."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from exai import config
from exai.auth.scopes import MODELS, STATUS
from exai.callers import Caller, Door
from exai.consulting.context import CallContext
from exai.dispatch.dispatcher import Dispatcher
from exai.dispatch.idempotent_calls import IdempotentCalls
from exai.errors import ProviderRefused, ProviderTimeout, ProviderUnauthorized, ScopeMissing, UnknownTool
from exai.events.bus import EventBus
from exai.events.events import CallEnded, CallRefused, CallStarted, Event, IncidentRecorded, ProviderCallEnded
from exai.messages import Message, Role
from exai.providers.base import Prompt
from exai.runtime.clock import SystemClock
from exai.storage.calls.idempotent_calls import IdempotentCallTable
from exai.storage.calls.journal import Journal
from exai.storage.database import Database
from exai.storage.schema import TIMINGS, calls
from exai.tools.base import Arguments, Tool, ToolAnswer
from exai.tools.registry import Registry
from support.scripted import MODEL, ScriptedProvider, ScriptedRoster, asking

CALLER = Caller.local(Door.WEBSOCKET)

Run = Callable[["Words", CallContext], Awaitable[ToolAnswer]]


class Words(Arguments, frozen=True):
    word: str = "hello"
    model: str | None = None


async def ask(arguments: Words, context: CallContext) -> ToolAnswer:
    context.provider, context.model_used = MODEL.provider, MODEL.name
    completion = await context.ask(Prompt(model=MODEL, messages=(Message(Role.USER, arguments.word),)))
    return ToolAnswer(text=completion.text, structured={"timings": context.timings})


async def tell(arguments: Words, context: CallContext) -> ToolAnswer:
    return ToolAnswer(text=arguments.word, structured={})


def tool(name: str, run: Run, *, asks_provider: bool) -> Tool[Words]:
    return Tool(
        name=name,
        title=name,
        description=name,
        arguments=Words,
        run=run,
        output_schema={"type": "object"},
        asks_provider=asks_provider,
        scope=MODELS,
    )


class Services:
    """A dispatcher on a real SQLite file, with everything it says kept."""

    def __init__(
        self, database: Database, provider: ScriptedProvider, run: Run = ask, **limits: float
    ) -> None:
        self.database = database
        self.provider = provider
        self.events: list[Event] = []
        bus = EventBus()
        bus.watch(self.events.append)
        clock = SystemClock()
        ask_with = asking(
            ScriptedRoster(provider),
            bus=bus,
            clock=clock,
            limits=config.Admission.model_validate(limits),
            retry=self.retry,
        )
        self.admission = ask_with.admission
        self.dispatcher = Dispatcher(
            registry=Registry(
                [tool("ask", run, asks_provider=True), tool("tell", tell, asks_provider=False)]
            ),
            asking=ask_with,
            journal=Journal(database, clock),
            idempotent_calls=IdempotentCalls(
                IdempotentCallTable(database, clock), config.Idempotency(), clock=clock, publish=bus.publish
            ),
            call_timeout_s=self.call_timeout_s,
        )

    call_timeout_s = 5.0
    retry = config.Retry(max_retries=0)

    async def call(self, name: str = "ask", **arguments: Any) -> ToolAnswer:
        return await self.dispatcher.call(name, arguments, caller=CALLER)

    def start(self, name: str = "ask", **arguments: Any) -> asyncio.Task[ToolAnswer]:
        return asyncio.get_running_loop().create_task(self.call(name, **arguments))

    async def rows(self) -> list[dict[str, Any]]:
        await self.database.write(lambda _, many: [None] * len(many), None)  # queued ends go first
        return await self.database.read(
            lambda connection: [
                dict(row) for row in connection.execute(select(calls).order_by(calls.c.began_at)).mappings()
            ]
        )

    def said(self, kind: type[Event]) -> list[Any]:
        return [event for event in self.events if type(event) is kind]


@pytest.fixture
async def database(tmp_path: Path):
    database = await Database.open(config.Database(), tmp_path)
    yield database
    await database.close()


async def forever(_: Any) -> str:
    await asyncio.Event().wait()
    return "never"


def fact(answer: ToolAnswer) -> dict[str, Any]:
    assert answer.is_error
    assert answer.structured is None
    assert answer.meta is not None
    return dict(answer.meta["exai/error"])


async def test_a_good_call_leaves_a_whole_row_and_its_facts(database: Database) -> None:
    house = Services(database, ScriptedProvider("the answer"))
    answer = await house.call(model="scripted-1")
    assert (answer.text, answer.is_error) == ("the answer", False)
    (row,) = await house.rows()
    assert (row["tool"], row["owner"], row["door"]) == ("ask", "local", "websocket")
    assert (row["outcome"], row["error_code"], row["provider"]) == ("ok", None, "scripted")
    assert (row["model_requested"], row["model_used"]) == ("scripted-1", "scripted-1")
    assert row["input_tokens"] == 1_000_000
    assert answer.structured is not None
    timings = answer.structured["timings"]
    assert {name: row[name] for name in TIMINGS} == {name: timings.get(name) for name in TIMINGS}
    assert abs(sum(timings.values()) - 2 * timings["latency_ms"]) < 1
    assert [type(event) for event in house.events] == [CallStarted, ProviderCallEnded, CallEnded]
    assert house.said(CallEnded)[0].timings is timings


async def test_the_row_is_on_disk_before_the_provider_is_asked(database: Database) -> None:
    seen: list[Any] = []

    async def look(_: Prompt) -> str:
        seen.extend(
            await database.read(
                lambda connection: connection.execute(select(calls.c.outcome)).scalars().all()
            )
        )
        return "answer"

    await Services(database, ScriptedProvider(look)).call()
    assert seen == [None]


async def test_a_tool_that_asks_nobody_needs_no_permit_and_no_row(database: Database) -> None:
    house = Services(database, ScriptedProvider(forever), global_limit=1, max_queue=0)
    waiting = house.start()
    await house.provider.asked_now.wait()
    assert (await house.call("tell", word="hi")).text == "hi"
    assert len(await house.rows()) == 1
    waiting.cancel()
    await asyncio.wait([waiting])


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [(ProviderUnauthorized("bad key"), "failed"), (ProviderTimeout("too slow"), "timed_out")],
)
async def test_a_providers_fault_is_an_answer_and_an_end(
    database: Database, fault: ProviderUnauthorized | ProviderTimeout, outcome: str
) -> None:
    house = Services(database, ScriptedProvider(fault))
    answer = await house.call()
    facts = fact(answer)
    assert (facts["code"], facts["retryable"], facts["fixable_by"]) == (
        fault.code,
        fault.retryable,
        fault.fixable_by,
    )
    assert answer.text == str(fault)
    (row,) = await house.rows()
    assert (row["outcome"], row["error_code"], row["call_id"]) == (outcome, fault.code, facts["call_id"])
    assert house.said(ProviderCallEnded)[0].outcome == fault.code


async def test_what_was_unforeseen_is_an_incident_that_leaks_nothing(database: Database) -> None:
    house = Services(database, ScriptedProvider(ZeroDivisionError("canary")))
    answer = await house.call()
    assert fact(answer)["code"] == "internal_error"
    assert "canary" not in str(answer)
    (incident,) = house.said(IncidentRecorded)
    assert incident.incident_id in answer.text
    assert incident.kind == "ZeroDivisionError"
    assert (await house.rows())[0]["error_code"] == "internal_error"


async def test_a_timeout_of_a_bug_is_an_incident_and_not_the_deadline(database: Database) -> None:
    house = Services(database, ScriptedProvider(TimeoutError()))
    assert fact(await house.call())["code"] == "internal_error"


async def test_the_deadline_ends_the_call(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Services, "call_timeout_s", 0.05)
    house = Services(database, ScriptedProvider(forever))
    answer = await house.call()
    assert fact(answer)["code"] == "deadline_exceeded"
    assert house.provider.cancelled == 1
    assert (await house.rows())[0]["outcome"] == "timed_out"


async def test_cancelling_reaches_the_provider_and_is_written_down(database: Database) -> None:
    house = Services(database, ScriptedProvider(forever))
    task = house.start()
    await house.provider.asked_now.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert house.provider.cancelled == 1
    assert (await house.rows())[0]["outcome"] == "cancelled"
    assert house.dispatcher.running == 0


async def test_bad_arguments_cost_no_permit_and_no_row(database: Database) -> None:
    house = Services(database, ScriptedProvider())
    assert fact(await house.call(wrod="x"))["code"] == "bad_arguments"
    assert await house.rows() == []
    assert house.said(CallEnded)[0].error_code == "bad_arguments"


async def test_an_unknown_tool_is_a_protocol_fault(database: Database) -> None:
    house = Services(database, ScriptedProvider())
    with pytest.raises(UnknownTool):
        await house.call("aks")
    assert house.events == []


async def test_overload_is_answered_at_once_and_leaves_no_row(database: Database) -> None:
    house = Services(database, ScriptedProvider(forever), global_limit=1, max_queue=0)
    task = house.start()
    await house.provider.asked_now.wait()
    facts = fact(await house.call())
    assert facts["code"] == "overloaded"
    assert facts["retry_after_s"] >= 1
    assert len(await house.rows()) == 1
    assert house.said(CallRefused)[0].error_code == "overloaded"
    task.cancel()
    await asyncio.wait([task])


async def test_after_the_stop_new_calls_are_refused_and_running_ones_end_with_a_definite_error(
    database: Database,
) -> None:
    house = Services(database, ScriptedProvider(forever))
    task = house.start()
    await house.provider.asked_now.wait()
    house.dispatcher.stop_admitting()
    refused = fact(await house.call())
    assert (refused["code"], refused["retryable"]) == ("stopping", True)
    assert house.dispatcher.running == 1
    house.dispatcher.abort_running()
    aborted = fact(await task)
    assert (aborted["code"], aborted["retryable"]) == ("stopping", True)
    assert house.provider.cancelled == 1
    assert (await house.rows())[0]["outcome"] == "cancelled"


async def test_progress_is_told_to_those_who_asked(database: Database) -> None:
    heard: list[tuple[str, str]] = []

    async def hear(number: float, message: str, meta: dict[str, Any]) -> None:
        heard.append((meta["exai/kind"], message))

    async def tell_twice(arguments: Words, context: CallContext) -> ToolAnswer:
        assert context.streams
        context.progress.status("asking")
        context.progress.text("the answer")
        return ToolAnswer(text="the answer", structured={})

    house = Services(database, ScriptedProvider(), tell_twice)
    await house.dispatcher.call("ask", {}, caller=CALLER, send_progress=hear)
    assert heard == [("status", "asking"), ("text", "the answer")]


async def test_ten_thousand_calls_of_every_fate_leave_every_permit_free(database: Database) -> None:
    dice = random.Random(20261124)

    async def fate(_: Prompt) -> str:
        roll = dice.random()
        await asyncio.sleep(roll * 0.004)
        if roll < 0.15:
            raise ProviderRefused("no")
        if roll < 0.2:
            raise ProviderTimeout("slow")
        if roll < 0.25:
            raise RuntimeError("a bug")
        return "ok"

    provider = ScriptedProvider(*[fate] * 10_000)
    house = Services(
        database, provider, global_limit=20, caller_limit=8, model_limit=15, max_queue=200, max_wait_s=0.3
    )
    loop = asyncio.get_running_loop()
    codes: dict[str, int] = {}

    async def client(number: int) -> None:
        caller = replace(CALLER, subject=f"caller {number % 12}")
        task = loop.create_task(house.dispatcher.call("ask", {}, caller=caller))
        if dice.random() < 0.2:  # the client cancels, or is killed
            loop.call_later(dice.random() * 0.01, task.cancel)
        await asyncio.wait([task])
        if task.cancelled():
            code = "cancelled"
        elif task.result().is_error:
            code = fact(task.result())["code"]
        else:
            code = "ok"
        codes[code] = codes.get(code, 0) + 1

    for _ in range(40):
        await asyncio.gather(*(client(number) for number in range(250)))

    assert sum(codes.values()) == 10_000
    assert {
        "ok",
        "cancelled",
        "provider_refused",
        "provider_timeout",
        "internal_error",
        "overloaded",
    } <= set(codes)
    gates = [house.admission.total, *house.admission.by_model.values()]
    assert [(gate.in_use, gate.waiting) for gate in gates] == [(0, 0), (0, 0)]
    assert house.admission.callers == 0
    assert house.admission.total.most_in_use <= 20
    assert house.admission.by_model["scripted", "scripted-1"].most_in_use <= 15
    assert house.dispatcher.running == 0
    assert [row["call_id"] for row in await house.rows() if row["outcome"] is None] == []


async def test_a_call_that_its_caller_may_not_make_does_nothing(database: Database) -> None:
    house = Services(database, ScriptedProvider())
    stranger = Caller("somebody", Door.HTTP, scopes=frozenset({STATUS}))
    with pytest.raises(ScopeMissing) as refused:
        await house.dispatcher.call("ask", {"no": "such"}, caller=stranger, idempotency_key="k")
    assert refused.value.scope == MODELS
    assert MODELS in str(refused.value)
    assert house.provider.asked == []
    assert await house.rows() == []
    assert house.events == [CallRefused("ask", stranger, "insufficient_scope")]
    allowed = Caller("somebody", Door.HTTP, scopes=frozenset({MODELS}))
    assert not (await house.dispatcher.call("ask", {}, caller=allowed)).is_error
