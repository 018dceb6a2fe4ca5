"""Token counts through the daemon: estimates, what the provider counted, and what is made of it."""

from typing import Any

import pytest

from exai_emulator import Emulator, Fault
from exai_emulator.tokens import count_tokens
from support.daemons import StartDaemon
from support.mcp_websocket import McpSocket, mcp_socket
from support.results import whole

TEXT = "Some words about nothing in particular, and a few more of them. "


async def chat(socket: McpSocket, **arguments: Any) -> dict[str, Any]:
    result = await socket.tool("chat", arguments)
    assert not result["isError"], result
    return whole(result)


async def estimate_of(socket: McpSocket, model: str) -> dict[str, Any] | None:
    providers = whole(await socket.tool("models"))["providers"]
    found: dict[str, Any] | None = next(
        each["token_estimate"]
        for provider in providers
        for each in provider["models"]
        if each["name"] == model
    )
    return found


@pytest.mark.parametrize("model", ["glm-5.3", "kimi-k3"])
async def test_estimates_are_learnt_from_the_providers_counts_and_survive_a_restart(
    start_daemon: StartDaemon, model: str
) -> None:
    def off(answer: dict[str, Any]) -> float:
        counted: int = answer["usage"]["input"]
        return abs(int(answer["context"]["tokens_expected"]) - counted) / counted

    async with start_daemon() as daemon, mcp_socket(daemon.mcp_ws) as socket:
        assert await estimate_of(socket, model) is None
        first = await chat(socket, prompt=TEXT * 100, model=model)
        assert first["context"]["expected_by"] == "estimate"
        assert first["context"]["estimate_error"] is None
        for _ in range(8):
            latest = await chat(socket, prompt=TEXT * 300, model=model)
        assert off(latest) < off(first)
        assert off(latest) < 0.02
        assert 0 < latest["context"]["estimate_error"] < off(first)
        learnt = await estimate_of(socket, model)
        assert learnt is not None
        assert learnt["samples"] == 9
        about = await socket.tool("models", {"model": model})
        assert "token_estimate" in about["content"][0]["text"]
        ((told,),) = (provider["models"] for provider in about["structuredContent"]["providers"])
        assert told["details"]["token_estimate"] == learnt
        status = await socket.tool("status", {"section": "providers"})
        errors = {each["name"]: each["token_estimate_error"] for each in whole(status)["providers"]}
        assert errors == {
            name: learnt["mean_error"] if name in model[:4] else None for name in ("glm", "kimi")
        }
        assert "token estimates" in status["content"][0]["text"]
    async with start_daemon() as daemon, mcp_socket(daemon.mcp_ws) as socket:
        assert await estimate_of(socket, model) == learnt
        assert off(await chat(socket, prompt=TEXT * 300, model=model)) < 0.02


async def test_the_history_that_fits_is_measured_as_the_provider_counts(
    start_daemon: StartDaemon, emulator: Emulator
) -> None:
    """A provider that counts more than the estimate gets fewer exchanges, so that its window holds them."""
    share = "0.005"  # of 262,144 tokens
    async with (
        start_daemon(EXAI_CONVERSATIONS__HISTORY_SHARE=share) as daemon,
        mcp_socket(daemon.mcp_ws) as socket,
    ):
        handle = None
        for _ in range(8):
            more: dict[str, Any] = {} if handle is None else {"continuation_id": handle}
            answer = await chat(socket, prompt=TEXT * 15, model="kimi-k2.6", effort="none", **more)
            handle = answer["continuation_id"]
    history = answer["usage"]["input"] - first_input(emulator)
    assert answer["context"]["exchanges_dropped"] > 0
    assert answer["context"]["exchanges_included"] > 0
    assert history <= 262_144 * float(share) * 1.05


def first_input(emulator: Emulator) -> int:
    """What a question without history costs there."""
    messages = emulator.log.requests[0].body["messages"]
    return sum(count_tokens(message["content"]) for message in messages)


COUNTER = "/v1/tokenizers/estimate-token-count"
NEAR = {"EXAI_CONVERSATIONS__MAX_ANSWER_SHARE": "0.9"}
"""Most of the window is kept for the answer, so that a prompt of a tenth of it comes near the limit."""
COUNTING = {**NEAR, "EXAI_PROVIDERS__KIMI__COUNT_TOKENS": "true"}


async def test_kimi_counts_what_comes_near_its_window_when_configured(
    start_daemon: StartDaemon, emulator: Emulator
) -> None:
    async with start_daemon(**COUNTING) as daemon, mcp_socket(daemon.mcp_ws) as socket:
        first = await chat(socket, prompt=TEXT * 100, model="kimi-k2.6")
        assert first["context"]["expected_by"] == "estimate"
        assert counted(emulator) == []
        handle = first["continuation_id"]
        second = await chat(socket, prompt="Go on.", model="kimi-k2.6", continuation_id=handle)
        other = await chat(socket, prompt="Go on.", model="glm-5.3", continuation_id=handle)
    assert second["context"]["expected_by"] == "kimi"
    assert second["context"]["tokens_expected"] == second["usage"]["input"]
    (request,) = counted(emulator)
    asked = emulator.log.requests[-2].body
    assert request == {"model": "kimi-k2.6", "messages": asked["messages"], "stream": False}
    assert other["context"]["expected_by"] == "estimate"


async def test_without_the_setting_or_far_from_the_limit_nobody_is_asked_to_count(
    start_daemon: StartDaemon, emulator: Emulator
) -> None:
    for settings in (NEAR, {"EXAI_PROVIDERS__KIMI__COUNT_TOKENS": "true"}):
        async with start_daemon(**settings) as daemon, mcp_socket(daemon.mcp_ws) as socket:
            first = await chat(socket, prompt=TEXT * 100, model="kimi-k2.6")
            await chat(socket, prompt="Go on.", model="kimi-k2.6", continuation_id=first["continuation_id"])
    assert counted(emulator) == []


async def test_a_count_lets_in_what_the_estimate_would_have_refused(
    start_daemon: StartDaemon, emulator: Emulator
) -> None:
    digits = "1234567890" * 5_000
    async with start_daemon(**NEAR) as daemon, mcp_socket(daemon.mcp_ws) as socket:
        refused = await socket.tool("chat", {"prompt": digits, "model": "kimi-k2.6"})
    assert refused["_meta"]["exai/error"]["code"] == "context_overflow"
    assert "about" in refused["content"][0]["text"]
    assert emulator.log.requests == []
    async with start_daemon(**COUNTING) as daemon, mcp_socket(daemon.mcp_ws) as socket:
        answer = await chat(socket, prompt=digits, model="kimi-k2.6")
        assert answer["context"]["tokens_expected"] == answer["usage"]["input"]
        too_much = await socket.tool("chat", {"prompt": digits * 2 + "0" * 10_000, "model": "kimi-k2.6"})
    assert too_much["_meta"]["exai/error"]["code"] == "context_overflow"


async def test_a_count_that_shows_too_much_drops_history(
    start_daemon: StartDaemon, emulator: Emulator
) -> None:
    """The emulator counts a Chinese character for more than we do, so the count exceeds the estimate."""
    chinese = "大型语言模型可以帮助程序员理解代码" * 300
    async with start_daemon(**COUNTING) as daemon, mcp_socket(daemon.mcp_ws) as socket:
        handle = None
        for _ in range(8):
            more: dict[str, Any] = {} if handle is None else {"continuation_id": handle}
            answer = await chat(socket, prompt=chinese, model="kimi-k2.6", effort="none", **more)
            handle = answer["continuation_id"]
            assert answer["usage"]["input"] + 0.9 * 262_144 <= 262_144
    assert answer["context"]["exchanges_dropped"] > 0
    assert counted(emulator)


async def test_a_counter_that_fails_leaves_the_estimate(
    start_daemon: StartDaemon, emulator: Emulator
) -> None:
    async with start_daemon(**COUNTING) as daemon, mcp_socket(daemon.mcp_ws) as socket:
        first = await chat(socket, prompt=TEXT * 100, model="kimi-k2.6")
        for fault in (
            Fault(path=COUNTER, error="server_error"),
            Fault(path=COUNTER, status=200, body="<html>"),
        ):
            emulator.faults.add("kimi", fault)
            answer = await chat(
                socket, prompt="Go on.", model="kimi-k2.6", continuation_id=first["continuation_id"]
            )
            assert answer["context"]["expected_by"] == "estimate"
        assert "did not count a prompt" in daemon.log


def counted(emulator: Emulator) -> list[Any]:
    """The bodies of what was to be counted."""
    return [request.body for request in emulator.log.requests if request.path == COUNTER]
