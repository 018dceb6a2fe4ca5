"""Answers that no provider should send, through the daemon: each is an answer or a failure, never an incident."""

from typing import Any

import aiohttp
import pytest

from exai_emulator import Emulator, Persona, ready_fault
from support.daemon_in_process import StartInProcess
from support.mcp_websocket import mcp_socket

MODELS = {"glm": "glm-5.3", "kimi": "kimi-k3"}
FAILED = ("deep_answer", "deep_error")
ANSWERED = ("half_surrogate", "split_surrogate", "odd_types", "infinite_usage", "long_usage")
ENDED = ("keep_alives_after_end",)
MOST_CHARACTERS = 32_000
"""Of an error with what had arrived."""

pytestmark = [pytest.mark.virtual_time, pytest.mark.parametrize("provider", MODELS)]

ONCE = {"EXAI_RETRY__MAX_RETRIES": "0", "EXAI_BREAKER__MIN_REQUESTS": "1000"}


def code(result: dict[str, Any]) -> str | None:
    return result["_meta"]["exai/error"]["code"] if result["isError"] else None


async def test_depth_size_and_odd_values_are_no_incident(
    start_in_process: StartInProcess, emulator: Emulator, provider: str
) -> None:
    emulator.persona = Persona("echo", think_tokens=0)
    asked: dict[str, Any] = {"prompt": "Tell me.", "model": MODELS[provider], "effort": "low"}
    async with start_in_process(**ONCE) as daemon, mcp_socket(daemon.mcp_ws) as socket:
        for heard in (list[Any](), None):
            listen = None if heard is None else heard.append
            for name in (*FAILED, *ANSWERED, *ENDED, "endless"):
                emulator.faults.add(provider, ready_fault(provider, name))
                result = await socket.tool("chat", asked, listen)
                expected = (
                    "provider_failed" if name in FAILED else "answer_broken" if name == "endless" else None
                )
                assert (name, code(result)) == (name, expected)
                text = result["content"][0]["text"]
                assert len(text) < MOST_CHARACTERS
                if name in ANSWERED:
                    # What was recorded can be sent again.
                    again = {**asked, "continuation_id": result["structuredContent"]["continuation_id"]}
                    assert code(await socket.tool("chat", again)) is None
        async with aiohttp.ClientSession() as session, session.get(f"{daemon.operations}/metrics") as page:
            counted = await page.text()
    labels = f'model="{MODELS[provider]}",outcome="{{}}",provider="{provider}"'
    assert labels.format("provider_failed") in counted
    assert labels.format("answer_broken") in counted
    assert "internal_error" not in counted
