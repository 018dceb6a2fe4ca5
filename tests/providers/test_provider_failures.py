"""Calls that fail: each in its own class, in time, with nothing leaked and nothing left open."""

import asyncio
import socket
from typing import Any

import pytest

from exai.errors import (
    AbilityMissing,
    AnswerBroken,
    AnswerEmpty,
    ContentFiltered,
    ContextOverflow,
    DeadlineExceeded,
    ProviderDenied,
    ProviderFailed,
    ProviderFault,
    ProviderOverloaded,
    ProviderRefused,
    ProviderSilent,
    ProviderThrottled,
    ProviderTimeout,
    ProviderUnauthorized,
    ProviderUnconfigured,
    ProviderUnreachable,
    QuotaExhausted,
    Stopping,
    ToolFault,
)
from exai.messages import Effort, Image, Message, Role
from exai_emulator import EmulatorOptions, Fault, Persona
from support.virtual_time import now

MODEL = {"glm": "glm-4.7", "kimi": "kimi-k2.6", "custom": "local/tiny"}

ROWS: dict[str, dict[type[ProviderFault], str]] = {
    "glm": {
        ProviderUnauthorized: "1000 1001 1002 1003 1004 1005 1110 1111 1112 1120 1121",
        ProviderRefused: "1210 1212 1213 1214 1215 1231",
        ProviderDenied: "1211 1220 1221 1222 434 redirect route_404",
        ContextOverflow: "1261 435",
        ContentFiltered: "1301",
        ProviderThrottled: "1302 1303 envelope_drift",
        ProviderOverloaded: "1305 1312 empty_503",
        QuotaExhausted: "1113 1304 1308 1309 1310 1311 1313 1314 1315 1316 1317 1318 1319 1320 1321",
        ProviderFailed: "500 -1 1200 1230 1234 empty_502 html_200 empty_200",
    },
    "kimi": {
        ProviderUnauthorized: "invalid_authentication incorrect_api_key empty_401",
        ProviderRefused: "invalid_request error_string",
        ProviderDenied: "permission_denied not_found empty_403 redirect",
        ContextOverflow: "token_limit",
        ContentFiltered: "content_filter",
        ProviderThrottled: "rate_limit_rpm rate_limit_concurrency rate_limit_tpm rate_limit_absurd "
        "rate_limit_http_date rate_limit_no_header",
        ProviderOverloaded: "overloaded server_unavailable",
        QuotaExhausted: "quota rate_limit_tpd",
        ProviderTimeout: "gateway_timeout",
        ProviderFailed: "client_closed server_error unexpected_output empty_502 error_with_code html_200 empty_200",
    },
    "custom": {
        ProviderUnauthorized: "missing_key invalid_key",
        ProviderRefused: "invalid_request unsupported",
        ProviderDenied: "model_not_found not_found",
        ContextOverflow: "too_large context",
        ContentFiltered: "content_filter",
        ProviderThrottled: "rate_limit",
        QuotaExhausted: "quota",
        ProviderOverloaded: "overloaded",
        ProviderFailed: "server_error empty_502 html_200 empty_200",
    },
}


def is_of_search(name: str) -> bool:
    """Whether a row of an error table belongs to the search endpoints, which no chat answers with."""
    return name.startswith("tools_") or name in {"1701", "1702", "1703"}


async def failing(desk: Any, model: str, *, streams: bool = True, **fields: Any) -> ToolFault:
    """The fault of a call, its sentence checked for leaks."""
    fields.setdefault("effort", Effort.NONE)
    with pytest.raises(ToolFault) as raised:
        await (desk.ask_streaming if streams else desk.ask)(model, **fields)
    fault = raised.value
    there = desk.emulator.addresses
    for secret in (
        there.glm_key,
        there.glm_key.split(".")[1],
        there.kimi_key,
        there.custom_key,
        "org-emul",
        "ak-emul",
    ):
        assert secret not in str(fault)
    return fault


@pytest.mark.parametrize("provider", ROWS)
async def test_every_error_of_the_provider_has_its_class(desk: Any, provider: str) -> None:
    rows = {name: fault for fault, names in ROWS[provider].items() for name in names.split()}
    assert rows.keys() == {name for name in desk.emulator.apis[provider].errors if not is_of_search(name)}
    for name, expected in rows.items():
        for streams in (True, False):
            desk.emulator.faults.add(provider, Fault(error=name))
            fault = await failing(desk, MODEL[provider], streams=streams)
            assert (name, type(fault)) == (name, expected)
    # Nothing was asked again, nothing followed, and the provider still answers.
    assert len(desk.emulator.log.requests) == 2 * len(rows)
    assert (await desk.ask(MODEL[provider])).text


async def test_retry_after_is_handed_on(desk: Any) -> None:
    waits = {
        "rate_limit_rpm": 1.0,
        "rate_limit_tpd": 86_400.0,
        "rate_limit_no_header": None,
        "overloaded": None,
    }
    for name, seconds in waits.items():
        desk.emulator.faults.add("kimi", Fault(error=name))
        assert (await failing(desk, "kimi-k2.6")).retry_after_s == seconds


@pytest.mark.parametrize(
    ("provider", "name", "expected"),
    [
        ("glm", "1302", ProviderThrottled),
        ("glm", "1301", ContentFiltered),
        ("kimi", "overloaded", ProviderOverloaded),
        ("custom", "server_error", ProviderFailed),
    ],
)
async def test_an_error_inside_a_stream_is_classified(
    desk: Any, provider: str, name: str, expected: type[ProviderFault]
) -> None:
    desk.emulator.faults.add(provider, Fault(frame="error", error=name, after_frames=0))
    assert type(await failing(desk, MODEL[provider])) is expected

    desk.emulator.faults.add(provider, Fault(frame="error", error=name, after_frames=4))
    desk.emulator.persona = Persona(kind="long", tokens=20)
    late = await failing(desk, MODEL[provider])
    if expected.retryable:
        assert isinstance(late, AnswerBroken)
        assert late.partial.startswith("[emulated")
    else:
        assert type(late) is expected


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("sensitive", ContentFiltered),
        ("network_error", AnswerBroken),
        ("surprise", AnswerBroken),
        ("tool_calls", AnswerBroken),
    ],
)
async def test_finish_reasons_that_are_failures(desk: Any, reason: str, expected: type[ToolFault]) -> None:
    for streams in (True, False):
        desk.emulator.faults.add("glm", Fault(finish_reason=reason))
        fault = await failing(desk, "glm-4.7", streams=streams)
        assert type(fault) is expected
        assert reason in str(fault)


async def test_a_known_finish_of_another_spelling_is_an_answer(desk: Any) -> None:
    desk.emulator.faults.add("custom", Fault(finish_reason="eos"))
    assert (await desk.ask_streaming("local/tiny")).finish_reason == "stop"


@pytest.mark.parametrize("provider", MODEL)
@pytest.mark.parametrize("content", ["empty", "null", "reasoning_only"])
@pytest.mark.parametrize("streams", [True, False])
async def test_a_success_without_a_word_is_a_failure(
    desk: Any, provider: str, content: Any, streams: bool
) -> None:
    desk.emulator.faults.add(provider, Fault(content=content))
    fault = await failing(desk, MODEL[provider], streams=streams, effort=Effort.HIGH)
    assert isinstance(fault, AnswerEmpty)


async def test_a_cap_spent_on_thinking_says_what_to_raise(desk: Any) -> None:
    desk.emulator.persona = Persona(think_tokens=100)
    fault = await failing(desk, "kimi-k3", max_output_tokens=20)
    assert isinstance(fault, AnswerEmpty)
    assert "max_answer_tokens" in str(fault)


async def test_the_window_and_the_filter_of_the_provider(open_desk: Any) -> None:
    desk = await open_desk(options=EmulatorOptions(context_windows={"glm-4.7": 50, "kimi-k2.6": 150}))
    for name in ("glm-4.7", "kimi-k2.6"):
        assert isinstance(await failing(desk, name, text="long " * 500), ContextOverflow)
    for name in ("glm-5.3", "kimi-k3"):
        assert isinstance(await failing(desk, name, text="emulated-unsafe-input"), ContentFiltered)


async def test_a_wrong_key_and_no_key(open_desk: Any) -> None:
    desk = await open_desk(
        glm={"api_key": "wrong.key"}, kimi={"api_key": None}, custom={"api_key": "sk-wrong"}
    )
    refused = await failing(desk, "glm-5.3")
    assert isinstance(refused, ProviderUnauthorized)
    assert "wrong.key" not in str(refused)
    assert "GLM_API_KEY" in str(refused)
    assert isinstance(await failing(desk, "local/tiny"), ProviderUnauthorized)

    kimi = desk.router.providers["kimi"]
    prompt_model = kimi.models["kimi-k3"]
    prompt = desk.prompt("glm-5.3")
    with pytest.raises(ProviderUnconfigured, match="KIMI_API_KEY"):
        await kimi.complete(
            type(prompt)(model=prompt_model, messages=prompt.messages), deadline=desk.clock.monotonic() + 5
        )


async def test_what_a_model_cannot_do_is_not_sent(desk: Any) -> None:
    picture = (Message(Role.USER, "?", images=(Image("image/png", b"x"),)),)
    assert isinstance(await failing(desk, "glm-5.3", messages=picture), AbilityMissing)
    assert isinstance(await failing(desk, "kimi-k3", web_search=True), AbilityMissing)
    assert desk.emulator.log.requests == []


# ---- broken connections


@pytest.mark.parametrize("cut", ["reset", "close"])
@pytest.mark.parametrize("streams", [True, False])
async def test_a_connection_that_breaks_before_the_answer(desk: Any, cut: Any, streams: bool) -> None:
    for place in ("before_headers", "after_headers"):
        desk.emulator.faults.add("glm", Fault(cut=cut, at=place, path=None))
        fault = await failing(desk, "glm-4.7", streams=streams)
        assert isinstance(fault, ProviderUnreachable)
        assert fault.retryable
    assert len(desk.emulator.log.requests) == 2


BREAKS = [
    Fault(cut="reset", after_frames=6),
    Fault(cut="close", after_frames=6),
    Fault(cut="close", at="mid_frame", after_frames=6),
    Fault(cut="reset", at="mid_frame", after_frames=6),
    Fault(frame="truncated_json", after_frames=6),
    Fault(frame="not_json", after_frames=6),
]


@pytest.mark.parametrize("fault", BREAKS, ids=lambda fault: fault.described().replace(" ", ""))
@pytest.mark.parametrize("provider", MODEL)
async def test_a_stream_that_breaks_half_way_leaves_its_part(desk: Any, provider: str, fault: Fault) -> None:
    desk.emulator.persona = Persona(kind="long", tokens=50)
    desk.emulator.faults.add(provider, fault)
    broken = await failing(desk, MODEL[provider])
    assert isinstance(broken, AnswerBroken)
    assert broken.partial.startswith("[emulated")
    assert len(desk.emulator.log.requests) == 1


async def test_a_stream_that_ends_without_a_finish_is_broken(desk: Any) -> None:
    frame = 'data: {"id":"1","model":"m","choices":[{"delta":{"content":"half"}}]}\n\n'
    for ending in ("", "data: [DONE]\n\n"):
        for provider in MODEL:
            desk.emulator.faults.add(
                provider,
                Fault(status=200, body=frame + ending, headers={"Content-Type": "text/event-stream"}),
            )
        for provider in ("glm", "kimi"):
            broken = await failing(desk, MODEL[provider])
            assert isinstance(broken, AnswerBroken)
            assert broken.partial == "half"
        if ending:
            assert (await desk.ask_streaming("local/tiny")).text == "half"
        else:
            assert isinstance(await failing(desk, "local/tiny"), AnswerBroken)


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        ("truncated_json", ProviderFailed),
        ("not_json", ProviderFailed),
        ("missing_choices", ProviderFailed),
        ("empty_choices", ProviderFailed),
        ("null_delta", AnswerEmpty),
    ],
)
async def test_a_body_that_is_no_answer(desk: Any, frame: Any, expected: type[ToolFault]) -> None:
    desk.emulator.faults.add("kimi", Fault(frame=frame))
    assert type(await failing(desk, "kimi-k2.6", streams=False)) is expected


async def test_a_huge_error_body_is_not_read_whole(desk: Any) -> None:
    desk.emulator.faults.add("glm", Fault(status=429, body="x" * 20_000_000))
    assert isinstance(await failing(desk, "glm-4.7"), ProviderThrottled)
    record = await desk.emulator.log.wait_for(lambda record: record.ended is not None)
    assert record.outcome == "disconnected"


async def test_a_body_shorter_than_announced(desk: Any) -> None:
    desk.emulator.faults.add("kimi", Fault(cut="truncate"))
    assert isinstance(await failing(desk, "kimi-k2.6", streams=False), ProviderUnreachable)


async def test_an_event_without_end_is_not_gathered_forever(desk: Any) -> None:
    body = "data: " + "x" * 5_000_000
    desk.emulator.faults.add(
        "glm", Fault(status=200, body=body, headers={"Content-Type": "text/event-stream"})
    )
    fault = await failing(desk, "glm-4.7")
    assert isinstance(fault, ProviderFailed)
    assert "larger than" in str(fault)


async def test_a_stale_connection_is_replaced_once(desk: Any) -> None:
    await desk.ask("glm-4.7")
    desk.emulator.faults.add("glm", Fault(cut="reset", at="before_headers"))
    assert (await desk.ask("glm-4.7")).text
    ports = [record.peer_port for record in desk.emulator.log.requests]
    assert ports[0] == ports[1] != ports[2]


@pytest.mark.virtual_time
async def test_a_reused_connection_that_breaks_late_is_not_asked_again(desk: Any) -> None:
    await desk.ask("glm-4.7")
    desk.emulator.faults.add("glm", Fault(before_headers_ms=1_001, cut="reset", at="before_headers"))
    assert isinstance(await failing(desk, "glm-4.7"), ProviderUnreachable)
    assert len(desk.emulator.log.requests) == 2


@pytest.mark.parametrize(
    "base_url",
    ["http://127.0.0.1:{free_port}/v4", "http://nobody.invalid/v4", "https://127.0.0.1:{glm_port}/v4"],
)
async def test_nobody_there(open_desk: Any, base_url: str) -> None:
    desk = await open_desk()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        free_port = taken.getsockname()[1]
    glm_port = desk.emulator.addresses.glm.split(":")[2].split("/")[0]
    lost = await open_desk(glm={"base_url": base_url.format(free_port=free_port, glm_port=glm_port)})
    fault = await failing(lost, "glm-4.7")
    assert isinstance(fault, ProviderUnreachable)
    assert "providers.glm.base_url" in str(fault)


# ---- time


async def test_a_connection_that_is_not_accepted_times_out(open_desk: Any) -> None:
    with socket.socket() as listening, socket.socket() as first, socket.socket() as second:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        # They fill the backlog, so that the next connection is never completed.
        for waiting in (first, second):
            waiting.setblocking(False)
            waiting.connect_ex(listening.getsockname())
        port = listening.getsockname()[1]
        desk = await open_desk(glm={"base_url": f"http://127.0.0.1:{port}/v4"}, timeouts={"connect_s": 0.2})
        fault = await failing(desk, "glm-4.7")
    assert isinstance(fault, ProviderTimeout)
    assert "timeouts.connect_s" in str(fault)


PATIENCE = {"first_byte_s": 30, "idle_s": 20, "first_byte_max_effort_s": 600, "idle_max_effort_s": 600}
SLACK_S = 1
"""By how much a silence may last longer: its timer is moved seldom."""


@pytest.mark.virtual_time
@pytest.mark.parametrize("silence", [{"before_headers_ms": 32_000}, {"before_first_byte_ms": 32_000}])
async def test_a_first_byte_that_does_not_come_times_out(open_desk: Any, silence: dict[str, Any]) -> None:
    desk = await open_desk(timeouts=PATIENCE)
    desk.emulator.faults.add("glm", Fault(**silence))
    fault = await failing(desk, "glm-4.7", seconds=900)
    assert type(fault) is ProviderSilent
    assert "first_byte" in str(fault)
    assert now() == 30 + SLACK_S
    record = await desk.emulator.log.wait_for(lambda record: record.ended is not None)
    assert record.outcome == "disconnected"


@pytest.mark.virtual_time
async def test_a_stream_that_falls_silent_times_out(open_desk: Any) -> None:
    desk = await open_desk(timeouts=PATIENCE)
    desk.emulator.persona = Persona(kind="long", tokens=50, think_tokens=10)
    desk.emulator.faults.add("kimi", Fault(cut="stall", after_frames=4))
    thinking = await failing(desk, "kimi-k3", effort=Effort.LOW, seconds=900)
    assert isinstance(thinking, AnswerBroken)
    assert thinking.partial == ""
    assert now() == 20 + SLACK_S

    desk.emulator.faults.add("glm", Fault(cut="stall", after_frames=6))
    talking = await failing(desk, "glm-4.7", seconds=900)
    assert isinstance(talking, AnswerBroken)
    assert talking.partial.startswith("[emulated")
    assert "idle_s" in str(talking)
    assert now() == 2 * (20 + SLACK_S)
    for record in desk.emulator.log.requests:
        assert record.outcome == "disconnected" or record.ended is None


@pytest.mark.virtual_time
async def test_high_effort_is_given_more_time(open_desk: Any) -> None:
    desk = await open_desk(timeouts=PATIENCE)
    for model, effort in (("glm-5.3", Effort.HIGH), ("kimi-k3", Effort.MAX), ("kimi-k3", None)):
        desk.emulator.faults.add(model.partition("-")[0], Fault(before_first_byte_ms=599_000))
        assert (await desk.ask_streaming(model, effort=effort, seconds=900)).text
    assert now() == 3 * 599


@pytest.mark.virtual_time
async def test_any_byte_is_life(open_desk: Any) -> None:
    desk = await open_desk(timeouts=PATIENCE)
    desk.emulator.faults.add("glm", Fault(before_first_byte_ms=300_000, heartbeat_ms=19_000))
    assert (await desk.ask_streaming("glm-4.7", effort=Effort.NONE, seconds=900)).text
    assert now() == 300
    # A byte every 2 s, of which those that frame a chunk are no bytes of the answer.
    desk.emulator.faults.add("glm", Fault(cut="trickle", after_frames=1, stall_ms=2_000))
    assert (await desk.ask_streaming("glm-4.7", effort=Effort.NONE, seconds=100_000)).text
    desk.emulator.persona = Persona(kind="fixed", text="Yes.", think_tokens=12, delay_per_token_ms=19_000)
    assert (await desk.ask_streaming("glm-5.3", effort=Effort.LOW, seconds=900)).text


@pytest.mark.virtual_time
async def test_the_calls_own_deadline_ends_it(desk: Any) -> None:
    desk.emulator.persona = Persona(kind="long", tokens=10_000, delay_per_token_ms=5_000)
    for streams in (True, False):
        before = now()
        fault = await failing(desk, "glm-4.7", streams=streams, seconds=62)
        assert type(fault) is DeadlineExceeded
        assert now() - before == 62
    assert type(await failing(desk, "glm-4.7", seconds=-1)) is DeadlineExceeded
    assert len(desk.emulator.log.requests) == 2


# ---- cancellation and closing


@pytest.mark.parametrize("streams", [True, False])
@pytest.mark.parametrize("provider", MODEL)
async def test_cancelling_closes_the_providers_connection(desk: Any, provider: str, streams: bool) -> None:
    desk.emulator.persona = Persona(kind="long", tokens=10_000, delay_per_token_ms=5)
    ask = desk.ask_streaming if streams else desk.ask
    async with asyncio.TaskGroup() as group:
        call = group.create_task(ask(MODEL[provider], effort=Effort.NONE))
        await desk.emulator.log.wait_for(lambda record: record.frames >= 3 or (not streams and record.body))
        call.cancel()
        record = await desk.emulator.log.wait_for(lambda record: record.ended is not None)
    assert record.outcome == "disconnected"
    assert call.cancelled()
    desk.emulator.persona = Persona()
    assert (await desk.ask(MODEL[provider])).text


async def test_a_listener_that_raises_ends_the_call_and_its_connection(desk: Any) -> None:
    desk.emulator.persona = Persona(kind="long", tokens=10_000, delay_per_token_ms=5)

    def refuse(*_: object) -> None:
        raise LookupError("no more")

    with pytest.raises(LookupError):
        await desk.ask("glm-4.7", on_delta=refuse)
    record = await desk.emulator.log.wait_for(lambda record: record.ended is not None)
    assert record.outcome == "disconnected"


async def test_after_closing_calls_are_refused(desk: Any) -> None:
    await desk.ask("glm-4.7")
    await desk.router.close()
    assert isinstance(await failing(desk, "glm-4.7"), Stopping)
    await desk.router.close()
