"""What a request is charged for is entered however it ends; the adapters before the emulator, over real sockets."""

import asyncio
from collections.abc import Callable
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp.base_protocol import BaseProtocol

from exai import config
from exai.costs import Usage
from exai.errors import AnswerBroken, DeadlineExceeded, ProviderRefused, ToolFault
from exai.providers.base import Charges, DeltaKind, Prompt
from exai.providers.glm import glm_profile
from exai.providers.search import SearchQuery
from exai.providers.wire.exchange import Exchange, Patience, Waits
from exai.routing.asker import ModelAsker
from exai.routing.ledger import Entry
from exai_emulator import EmulatorOptions, Fault, Persona
from support.desks import Desk, OpenDesk
from support.scripted import asker, asking
from support.virtual_time import now

USAGE = {"prompt_tokens": 10, "completion_tokens": 20}
SILENCE = Fault(
    status=200,
    headers={"Content-Type": "text/event-stream"},
    body=(
        'data: {"choices":[{"index":0,"delta":{"content":"Hi"}}],"usage":'
        + msgspec.json.encode(USAGE).decode()
        + "}\n\n"
        + ":" * 200
        + "\n\n"
    ),
    cut="stall",
)
"""A first piece of text, with the usage so far; then nothing more."""
LONG = Persona("long", tokens=40, delay_per_token_ms=20)
KINDS = ("glm-5.3", "kimi-k3")


def asker_at(desk: Desk, seconds: float = 30.0) -> ModelAsker:
    return asker(asking(desk.router, clock=desk.clock), seconds=seconds)


async def ended(ask: ModelAsker, prompt: Prompt, heard: Callable[[], None] = lambda: None) -> Entry:
    """Ask, and return the entry of the one request, whatever became of it."""

    def listen(_kind: DeltaKind, _text: str) -> None:
        heard()

    task = asyncio.ensure_future(ask(prompt, listen))
    await asyncio.wait([task])
    assert task.cancelled() or isinstance(task.exception(), ToolFault | None)
    (entry,) = ask.ledger.entries
    return entry


@pytest.mark.parametrize("model", KINDS)
async def test_usage_that_was_announced_stays_when_the_caller_leaves(desk: Desk, model: str) -> None:
    desk.emulator.faults.add(model.split("-", maxsplit=1)[0], SILENCE)
    ask, heard = asker_at(desk), asyncio.Event()
    task = asyncio.ensure_future(ask(desk.prompt(model), lambda *_: heard.set()))
    await heard.wait()
    task.cancel()
    await asyncio.wait([task])
    (entry,) = ask.ledger.entries
    assert (entry.outcome, entry.attempts, entry.bill.unreported) == ("cancelled", 1, 0)
    assert entry.bill.usage == Usage(input=10, output=20)
    assert entry.bill.cost == desk.prompt(model).model.cost(Usage(input=10, output=20))


@pytest.mark.virtual_time
@pytest.mark.parametrize("model", KINDS)
async def test_usage_that_was_announced_stays_when_the_time_is_over(desk: Desk, model: str) -> None:
    desk.emulator.faults.add(model.split("-", maxsplit=1)[0], SILENCE)
    entry = await ended(asker_at(desk, seconds=5), desk.prompt(model))
    assert (entry.outcome, entry.bill.unreported) == (DeadlineExceeded.code, 0)
    assert entry.bill.usage == Usage(input=10, output=20)


async def test_usage_that_arrives_just_when_the_caller_leaves_is_read(desk: Desk) -> None:
    prompt, loop = desk.prompt("glm-5.3"), asyncio.get_running_loop()
    exchange = Exchange(glm_profile("http://127.0.0.1:1/"), prompt, None, desk.clock)
    protocol = BaseProtocol(loop)
    protocol.connection_made(asyncio.Transport())
    content = aiohttp.StreamReader(protocol, 2**16, loop=loop)
    waits = Waits(Patience(config.Timeouts(), None, streams=True), 30)
    task = loop.create_task(exchange._read_stream(content, waits))
    await asyncio.sleep(0)
    content.feed_data(b'data: {"choices":[],"usage":' + msgspec.json.encode(USAGE) + b"}\n\n")
    task.cancel()
    await asyncio.wait([task])
    charges = Charges()
    charges.leave()
    exchange.note(charges)
    assert (charges.usage, charges.unreported) == (Usage(input=10, output=20), 0)


@pytest.mark.parametrize("model", KINDS)
async def test_a_caller_who_leaves_before_the_usage_leaves_an_unreported_charge(
    desk: Desk, model: str
) -> None:
    desk.emulator.persona = LONG
    ask, heard = asker_at(desk), asyncio.Event()
    task = asyncio.ensure_future(ask(desk.prompt(model), lambda *_: heard.set()))
    await heard.wait()
    task.cancel()
    await asyncio.wait([task])
    bill = ask.ledger.bill
    assert (bill.usage, bill.unreported, bill.cost.usd) == (None, 1, None)
    assert "did not report" in bill.cost.unknown[0]


async def test_a_refusal_costs_nothing_and_is_no_unreported_charge(desk: Desk) -> None:
    desk.emulator.faults.add("glm", Fault(error="1210"))
    entry = await ended(asker_at(desk), desk.prompt("glm-5.3"))
    assert (entry.outcome, entry.attempts) == (ProviderRefused.code, 1)
    assert (entry.bill.unreported, entry.bill.cost.items, entry.bill.cost.unknown) == (0, {}, ())


async def test_what_never_left_is_not_counted(open_desk: OpenDesk) -> None:
    desk = await open_desk(glm={"base_url": "http://127.0.0.1:1/"})
    entry = await ended(asker_at(desk), desk.prompt("glm-5.3"))
    assert (entry.outcome, entry.attempts, entry.bill.unreported) == ("provider_unreachable", 0, 0)


@pytest.mark.parametrize("model", KINDS)
async def test_a_request_that_is_sent_again_over_a_new_connection_counts_twice(
    desk: Desk, model: str
) -> None:
    provider = model.split("-", maxsplit=1)[0]
    await desk.ask(model)
    desk.emulator.faults.add(provider, Fault(cut="reset", at="before_headers"))
    before = len(desk.emulator.log.requests)
    entry = await ended(asker_at(desk), desk.prompt(model))
    assert len(desk.emulator.log.requests) - before == 2
    assert (entry.outcome, entry.attempts, entry.bill.unreported) == ("ok", 2, 1)
    assert entry.bill.usage is not None
    assert entry.bill.cost.usd is None, "the first may be charged for"
    assert entry.bill.cost.least_usd == desk.prompt(model).model.cost(entry.bill.usage).usd


@pytest.mark.virtual_time
@pytest.mark.parametrize("frame", ["not_json", "truncated_json"])
@pytest.mark.parametrize("model", KINDS)
async def test_usage_that_follows_a_broken_event_is_read(desk: Desk, model: str, frame: Any) -> None:
    provider = model.split("-", maxsplit=1)[0]
    desk.emulator.persona = LONG
    desk.emulator.faults.add(provider, Fault(frame=frame, after_frames=20))
    entry = await ended(asker_at(desk), desk.prompt(model))
    (record,) = desk.emulator.log.of(provider)
    assert record.charged is not None
    assert (entry.outcome, entry.bill.unreported) == (AnswerBroken.code, 0)
    assert entry.bill.usage is not None
    assert (entry.bill.usage.input, entry.bill.usage.output) == (record.charged.prompt, record.charged.output)


@pytest.mark.virtual_time
async def test_usage_after_a_broken_event_is_waited_for_a_moment_only(desk: Desk) -> None:
    desk.emulator.persona = Persona("long", tokens=1_000, delay_per_token_ms=100)
    desk.emulator.faults.add("glm", Fault(frame="not_json", after_frames=10))
    began = now()
    entry = await ended(asker_at(desk, seconds=500), desk.prompt("glm-5.3"))
    assert (entry.bill.usage, entry.bill.unreported) == (None, 1)
    assert now() - began <= 3.5


async def test_a_search_before_the_answer_is_charged_though_the_answer_breaks(desk: Desk) -> None:
    desk.emulator.persona = LONG
    desk.emulator.faults.add("glm", Fault(cut="reset", after_frames=5))
    entry = await ended(asker_at(desk), desk.prompt("glm-5.3", web_search=True))
    assert entry.outcome == AnswerBroken.code
    assert (entry.bill.services, entry.bill.unreported) == ({"web_search": 1}, 1)
    assert any("GLM web search" in why for why in entry.bill.cost.unknown)


async def test_a_search_of_the_models_own_is_charged_though_the_call_is_lost(open_desk: OpenDesk) -> None:
    desk = await open_desk(kimi={"web_search": "builtin"})
    desk.emulator.faults.add("kimi", Fault(done="missing", cut="reset", after_frames=99))
    entry = await ended(asker_at(desk), desk.prompt("kimi-k2.6", web_search=True))
    assert entry.bill.services == {"web_search": 1}
    assert entry.bill.cost.items["search"] == 0.005


async def test_a_search_that_was_sent_and_not_answered_is_an_unreported_charge(desk: Desk) -> None:
    desk.emulator.faults.add("kimi", Fault(path="/tools/search", cut="reset", at="after_headers"))
    ask = asker_at(desk)
    with pytest.raises(ToolFault):
        await ask.search(desk.router.search_engines["kimi"], SearchQuery("owls"))
    (entry,) = ask.ledger.entries
    assert (entry.attempts, entry.bill.unreported, entry.bill.services) == (1, 1, {})
    assert entry.bill.cost.unknown


async def test_the_cost_of_a_request_can_be_made_again_from_its_tokens(open_desk: OpenDesk) -> None:
    desk = await open_desk(options=EmulatorOptions(kimi_cache_writes=True))
    ask = asker_at(desk)
    for text in ("Some words. " * 50, "Some words. " * 60):
        await ask(desk.prompt("kimi-k3", text))
    for entry, record in zip(ask.ledger.entries, desk.emulator.log.of("kimi"), strict=True):
        usage, charged = entry.bill.usage, record.charged
        assert usage is not None
        assert charged is not None
        assert (usage.cached or 0, usage.cache_write) == (charged.cached, charged.cache_write)
        assert usage.cache_write
        assert entry.bill.cost.usd == desk.prompt("kimi-k3").model.cost(usage).usd
