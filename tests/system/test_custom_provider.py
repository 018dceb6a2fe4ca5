"""A row of `exai.toml` makes another endpoint one of the providers, from the door to the wire and back."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from exai_emulator import Emulator, Fault
from support.daemons import Daemon, StartDaemon
from support.mcp_websocket import mcp_socket
from support.results import whole

SECRET = "s3cr3t-of-a-header"


@pytest.fixture
def start_with_row(
    start_daemon: StartDaemon, emulator: Emulator, tmp_path: Path
) -> Callable[[str], AbstractAsyncContextManager[Daemon]]:
    """A daemon whose `exai.toml` has the emulator as a custom endpoint of that dialect."""
    there = emulator.addresses

    def start(dialect: str) -> AbstractAsyncContextManager[Daemon]:
        emulator.custom_dialect = dialect
        file = tmp_path / "exai.toml"
        file.write_text(
            f"""
            [providers.custom.mine]
            base_url = "{there.custom}"
            api_key = "{there.custom_key}"
            dialect = "{dialect}"
            headers = ["X-Token: {SECRET}"]
            query = ["api-version=2024-10-21"]

            [[providers.custom.mine.models]]
            name = "tiny"
            efforts = ["low", "high"]
            input_price = 1.0
            output_price = 2.0
            """
        )
        file.chmod(0o600)
        return start_daemon(EXAI_CONFIG=str(file))

    return start


async def chat(daemon: Daemon, **arguments: Any) -> Any:
    async with mcp_socket(daemon.mcp_ws) as socket:
        return await socket.tool("chat", {"prompt": "Hello.", "model": "mine/tiny", **arguments})


async def test_a_custom_row_answers_in_its_dialect(start_with_row: Any, emulator: Emulator) -> None:
    async with start_with_row("azure") as daemon:
        answer = whole(await chat(daemon, effort="high"))
        log = daemon.log
    assert answer["answer"] == "[emulated tiny] Hello."
    (request,) = emulator.log.of("custom")
    assert request.query == "api-version=2024-10-21"
    assert request.headers["x-token"] == SECRET
    assert "api-key" in request.headers
    assert "authorization" not in request.headers
    assert request.body["messages"][0]["role"] == "developer"
    assert request.body["reasoning_effort"] == "high"
    assert SECRET not in log
    assert emulator.addresses.custom_key not in log


@pytest.mark.parametrize("dialect", ["minimax", "openai", "openrouter"])
async def test_money_that_is_gone_is_told_and_not_asked_for_again(
    start_with_row: Any, emulator: Emulator, dialect: str
) -> None:
    """MiniMax says it inside a 200, OpenAI with a 429, OpenRouter with a 402."""
    async with start_with_row(dialect) as daemon:
        emulator.faults.add("custom", Fault(error="quota", times=None))
        refused = await chat(daemon)
    assert refused["isError"] is True
    assert "out of credit" in refused["content"][0]["text"]
    assert len(emulator.log.of("custom")) == 1
