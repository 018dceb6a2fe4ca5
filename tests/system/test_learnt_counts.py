"""Token counts through the daemon: estimates, what the provider counted, and what is made of it."""

from typing import Any

import pytest

from daemons import StartDaemon
from exai_emulator import Emulator
from exai_emulator.tokens import count_tokens
from mcp_websocket import McpSocket, mcp_socket

TEXT = "Some words about nothing in particular, and a few more of them. "


async def chat(socket: McpSocket, **arguments: Any) -> dict[str, Any]:
    result = await socket.tool("chat", arguments)
    assert not result["isError"], result
    return dict(result["structuredContent"])


async def estimate_of(socket: McpSocket, model: str) -> dict[str, Any] | None:
    providers = (await socket.tool("models"))["structuredContent"]["providers"]
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
        assert "token estimates" in (await socket.tool("models"))["content"][0]["text"]
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
            more = {} if handle is None else {"continuation_id": handle}
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
