"""Calls that succeed, over real sockets, in every form that the providers document."""

import asyncio
from typing import Any

import pytest

from exai.messages import Effort, Image, Message, Role
from exai.providers.base import DeltaKind
from exai.providers.catalog import Catalog, SearchWay
from exai.providers.wire.exchange import DRAIN_S
from exai_emulator import EmulatorOptions, Fault, Persona
from support.virtual_time import now

CATALOG = Catalog.load()
PNG = Image(
    "image/png",
    bytes.fromhex(
        "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
        "1f15c4890000000d49444154789c626001000000ffff03000006000557bfabd40000000049454e44ae426082"
    ),
)


async def test_every_model_takes_every_argument_from_the_strictest_providers(open_desk: Any) -> None:
    desk = await open_desk(options=EmulatorOptions(strictness="all"))
    for name, model in CATALOG.models.items():
        for effort in (None, *Effort):
            for ask in (desk.ask, desk.ask_streaming):
                completion = await ask(
                    name,
                    effort=effort,
                    temperature=1.3,
                    max_output_tokens=10**7 if model.max_output_tokens < model.context_tokens else 1_000,
                    web_search=model.web_search is SearchWay.PROVIDER,
                    conversation_key="conversation-1",
                )
                assert completion.text == f"[emulated {name}] hello"
                assert (completion.provider, completion.model) == (model.provider, name)
    assert all(record.status == 200 for record in desk.emulator.log.requests)


@pytest.mark.parametrize("model", ["glm-5.2", "kimi-k3", "local/tiny"])
async def test_pieces_add_up_to_the_answer(desk: Any, model: str) -> None:
    pieces: list[tuple[DeltaKind, str]] = []
    desk.emulator.persona = Persona(kind="long", tokens=50, think_tokens=20)
    completion = await desk.ask(model, on_delta=lambda kind, text: pieces.append((kind, text)))

    assert "".join(text for kind, text in pieces if kind is DeltaKind.TEXT) == completion.text
    reasoning = "".join(text for kind, text in pieces if kind is DeltaKind.REASONING)
    assert reasoning == (completion.reasoning or "")
    assert reasoning
    assert completion.finish_reason == "stop"
    assert completion.request_id
    if model != "local/tiny":
        assert completion.usage.reasoning == 20
        assert completion.usage.output > 70


@pytest.mark.parametrize("placement", ["top", "choice", "extra"])
async def test_usage_is_read_from_every_place_of_a_stream(open_desk: Any, placement: Any) -> None:
    desk = await open_desk(options=EmulatorOptions(kimi_stream_usage=placement))
    first = await desk.ask_streaming("kimi-k3", "a question long enough to be cached " * 20)
    again = await desk.ask_streaming("kimi-k3", "a question long enough to be cached " * 20)
    assert first.usage.input > 100
    assert first.usage.reasoning == 12
    assert again.usage.cached > 100


@pytest.mark.parametrize("ask", ["ask", "ask_streaming"])
async def test_tokens_that_kimi_puts_into_its_cache_are_priced_as_such(open_desk: Any, ask: str) -> None:
    desk = await open_desk(options=EmulatorOptions(kimi_cache_writes=True))
    usages = [(await getattr(desk, ask)("kimi-k3", "a question to be cached " * 30)).usage for _ in range(2)]
    for usage in usages:
        assert usage.cache_write == usage.input - (usage.cached or 0)
        cost = desk.prompt("kimi-k3").model.cost(usage)
        assert cost.items.get("cache_write", 0) == pytest.approx(usage.cache_write * 3.00 / 1e6)
        assert cost.items["input"] == 0
    assert usages[1].cache_write < usages[0].cache_write


@pytest.mark.parametrize("model", ["glm-4.7", "kimi-k2.6", "local/tiny"])
async def test_usage_that_is_not_sent_is_not_invented(desk: Any, model: str) -> None:
    provider = {"glm-4.7": "glm", "kimi-k2.6": "kimi"}.get(model, "custom")
    desk.emulator.faults.add(provider, Fault(times=None, usage="none"))
    for ask in (desk.ask, desk.ask_streaming):
        usage = (await ask(model, effort=Effort.NONE)).usage
        assert (usage.input, usage.output, usage.cached, usage.reasoning) == (None, None, None, None)


async def test_a_call_is_streamed_when_somebody_listens_or_it_may_think(desk: Any) -> None:
    await desk.ask("glm-4.7", effort=Effort.NONE)
    await desk.ask("glm-4.7")
    await desk.ask_streaming("glm-4.7", effort=Effort.NONE)
    await desk.ask("local/tiny")
    assert [record.body["stream"] for record in desk.emulator.log.requests] == [False, True, True, False]


async def test_glm_takes_signed_tokens(open_desk: Any) -> None:
    desk = await open_desk(glm={"auth": "jwt"})
    for _ in range(2):
        assert (await desk.ask("glm-4.7")).text
    raw = await open_desk()
    await raw.ask("glm-4.7")
    signed = {record.headers["authorization"] for record in desk.emulator.log.requests}
    assert len(signed) == 1
    assert signed != {raw.emulator.log.requests[0].headers["authorization"]}


async def test_each_provider_sees_its_own_key_and_headers(desk: Any) -> None:
    for name in ("glm-4.7", "kimi-k2.6", "local/tiny"):
        await desk.ask(name)
    seen = {record.provider: record.headers for record in desk.emulator.log.requests}
    assert len({headers["authorization"] for headers in seen.values()}) == 3
    assert seen["glm"]["accept-language"] == "en-US,en"
    for headers in seen.values():
        assert headers["user-agent"].startswith("exai/")
        assert headers["content-type"] == "application/json"
        assert "cookie" not in headers


async def test_images_reach_the_provider(desk: Any) -> None:
    messages = (Message(Role.USER, "what is it?", images=(PNG, PNG)),)
    for name in ("glm-5.3-flash", "kimi-k3", "local/tiny"):
        assert (await desk.ask(name, messages=messages)).text
    for record in desk.emulator.log.requests:
        parts = record.body["messages"][0]["content"]
        assert [part["type"] for part in parts] == ["image_url", "image_url", "text"]


async def test_a_large_request_arrives_whole(desk: Any) -> None:
    text = "0123456789" * 300_000
    desk.emulator.persona = Persona(kind="fixed", text="ok")
    await desk.ask("kimi-k3", text)
    record = desk.emulator.log.requests[0]
    assert record.body["messages"][1]["content"] == text


async def test_the_conversation_reaches_the_model(desk: Any) -> None:
    messages = (
        Message(Role.USER, "The secret word is walrus."),
        Message(Role.ASSISTANT, "Noted.", reasoning="remember it"),
        Message(Role.USER, "What is the secret word?"),
    )
    for name in ("glm-5.3", "kimi-k3"):
        assert "walrus" in (await desk.ask(name, messages=messages)).text
    bodies = {record.provider: record.body["messages"][1] for record in desk.emulator.log.requests}
    assert "reasoning_content" not in bodies["glm"]
    assert bodies["kimi"]["reasoning_content"] == "remember it"


async def test_sources_of_a_web_search_are_cited(desk: Any) -> None:
    for ask in (desk.ask, desk.ask_streaming):
        completion = await ask("glm-4.7", effort=Effort.NONE, web_search=True)
        assert completion.citations
        assert any(citation.url.startswith("http") for citation in completion.citations)


async def test_an_answer_cut_at_its_cap_says_so(desk: Any) -> None:
    desk.emulator.persona = Persona(kind="long", tokens=500, think_tokens=5)
    for name in ("glm-4.7", "kimi-k2.6", "local/tiny"):
        for effort in (Effort.NONE, Effort.HIGH):
            completion = await desk.ask(name, max_output_tokens=40, effort=effort)
            assert completion.finish_reason == "length"
            assert completion.text


async def test_the_echoed_model_is_reported_as_it_came(open_desk: Any) -> None:
    desk = await open_desk()
    desk.emulator.faults.add("glm", Fault(echo_model="GLM-5.3"))
    completion = await desk.ask("glm-5.3")
    assert (completion.model, completion.echoed_model) == ("glm-5.3", "GLM-5.3")

    coding = await open_desk(glm={"base_url": desk.emulator.addresses.glm_coding})
    assert (await coding.ask("glm-4.6")).echoed_model != "glm-4.6"


STRANGE_BUT_GOOD = [
    Fault(bytes_per_write=1),
    Fault(bytes_per_write=7, crlf=True),
    Fault(crlf=True),
    Fault(frame="comment"),
    Fault(frame="event_lines"),
    Fault(frame="extra_fields"),
    Fault(frame="wrong_index"),
    Fault(frame="missing_id", after_frames=0),
    Fault(frame="bad_sse"),
    Fault(done="missing"),
    Fault(done="twice"),
    Fault(done="data_after"),
    Fault(before_first_byte_ms=60, heartbeat_ms=10),
]


@pytest.mark.parametrize("fault", STRANGE_BUT_GOOD, ids=lambda fault: fault.described().replace(" ", ""))
@pytest.mark.parametrize("model", ["glm-5.3", "kimi-k3", "local/tiny"])
async def test_streams_of_unusual_form_are_read_whole(desk: Any, model: str, fault: Fault) -> None:
    text = "grüße 🦉 " * 3
    desk.emulator.faults.add({"g": "glm", "k": "kimi", "l": "custom"}[model[0]], fault)
    completion = await desk.ask_streaming(model, text)
    assert completion.text == f"[emulated {model.removeprefix('local/')}] {text}"


async def test_connections_are_kept_and_used_again(desk: Any) -> None:
    for _ in range(3):
        await desk.ask_streaming("glm-5.3")
        await desk.ask("glm-4.7", effort=Effort.NONE)
    assert len({record.peer_port for record in desk.emulator.log.requests}) == 1


async def test_a_connection_is_kept_when_its_end_comes_after_the_last_event(desk: Any) -> None:
    desk.emulator.faults.add("glm", Fault(times=2, cut="stall", stall_ms=1, after_frames=1_000))
    for _ in range(3):
        await desk.ask_streaming("glm-5.3")
    assert len({record.peer_port for record in desk.emulator.log.requests}) == 1


@pytest.mark.virtual_time
async def test_an_answer_does_not_wait_for_an_end_that_does_not_come(desk: Any) -> None:
    desk.emulator.faults.add("glm", Fault(cut="stall", after_frames=1_000))
    assert (await desk.ask_streaming("glm-5.3")).text
    assert now() == DRAIN_S
    record = await desk.emulator.log.wait_for(lambda record: record.ended is not None)
    assert record.outcome == "disconnected"


@pytest.mark.virtual_time
async def test_timings_are_those_of_the_stages(desk: Any) -> None:
    desk.emulator.persona = Persona(
        kind="long", tokens=6, think_tokens=0, delay_per_token_ms=500, first_byte_delay_ms=5_000
    )
    timings = (await desk.ask_streaming("glm-5.3", effort=Effort.NONE)).timings
    assert (timings.connect_ms, timings.first_token_ms) == (0, 5_500)
    assert timings.connect_ms + timings.first_token_ms + timings.generation_ms == 1_000 * now()


async def test_many_calls_at_once_do_not_mix(desk: Any) -> None:
    names = ["glm-5.3", "kimi-k3", "local/tiny", "glm-4.7"] * 25
    answers = await asyncio.gather(
        *(desk.ask_streaming(name, f"question {number}") for number, name in enumerate(names))
    )
    for number, (name, answer) in enumerate(zip(names, answers, strict=True)):
        assert answer.text == f"[emulated {name.removeprefix('local/')}] question {number}"
