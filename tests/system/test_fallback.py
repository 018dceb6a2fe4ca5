"""Who answers instead, by whose consent, and what the answer says about it; seen at the emulator."""

import base64
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from exai_emulator import Emulator, EmulatorOptions, Fault, Persona, running
from support.daemons import Daemon, StartDaemon
from support.drawn_pictures import drawn
from support.mcp_websocket import McpSocket, mcp_socket
from support.results import whole
from support.waiting import wait_until

QUICK = {
    "EXAI_RETRY__MAX_RETRIES": "0",
    "EXAI_BREAKER__MAX_OPEN_S": "0.001",
    "EXAI_MODELS__PREFERRED": "glm-5.3,kimi-k3",
}
CHAIN = '[{"model":"glm-5.3","then":["glm-4.7","kimi-k3"],"content_filter":true}]'


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    """Its kimi-k2.6 has a small window."""
    async with running(EmulatorOptions(context_windows={"kimi-k2.6": 2_000})) as emulator:
        yield emulator


async def chat(socket: McpSocket, model: str | None = None, **more: Any) -> dict[str, Any]:
    arguments = {"prompt": "Hello.", **more} | ({} if model is None else {"model": model})
    return await socket.tool("chat", arguments)


def asked(emulator: Emulator) -> list[str | None]:
    return [record.model for record in emulator.log.requests if record.path.endswith("/chat/completions")]


def anew(emulator: Emulator, **faults: str | Fault | None) -> None:
    """Forget what was; from now on each request to a provider fails so."""
    emulator.log.clear()
    emulator.faults.clear()
    for provider, fault in faults.items():
        if fault is not None:
            each = fault if isinstance(fault, Fault) else Fault(error=fault, times=None)
            emulator.faults.add(provider, each)


async def test_a_named_model_answers_or_fails(start_daemon: StartDaemon, emulator: Emulator) -> None:
    async with start_daemon(**QUICK) as daemon, mcp_socket(daemon.mcp_ws) as socket:
        for error in ("1302", "1305", "500", "1113", "1261", "1301", "1000"):
            anew(emulator, glm=error)
            assert (await chat(socket, "glm-5.3"))["isError"], error
            assert asked(emulator) == ["glm-5.3"]


TAKEN_OVER = {
    "1302": "provider_throttled",
    "1305": "provider_overloaded",
    "500": "provider_failed",
    "1113": "quota_exhausted",
    "1211": "provider_denied",
    "1000": "provider_unauthorized",
}


async def test_auto_and_the_calls_own_list_go_on_and_say_so(
    start_daemon: StartDaemon, emulator: Emulator
) -> None:
    async with start_daemon(**QUICK) as daemon, mcp_socket(daemon.mcp_ws) as socket:
        for error, code in TAKEN_OVER.items():
            for requested, more, consent in (
                ("glm-5.3", {"fallback_models": ["kimi"]}, "fallback_models of the call"),
                ("auto", {}, "leaving the choice to auto"),
                (None, {}, "leaving the choice to auto"),
            ):
                anew(emulator, glm=error)
                result = await chat(socket, requested, **more)
                answer = whole(result)
                assert answer["model_reason"] in result["content"][0]["text"]
                assert answer["answer"] == "[emulated kimi-k3] Hello."
                assert (answer["model_requested"], answer["model_used"], answer["provider"]) == (
                    requested,
                    "kimi-k3",
                    "kimi",
                )
                assert f"glm-5.3 ({code}) could not answer; kimi-k3 took over" in answer["model_reason"]
                assert consent in answer["model_reason"]
                assert answer["tried"] == [
                    {"model": "glm-5.3", "provider": "glm", "outcome": code, "requests": 1},
                    {"model": "kimi-k3", "provider": "kimi", "outcome": "ok", "requests": 1},
                ]
                assert asked(emulator) == ["glm-5.3", "kimi-k3"]


async def test_usage_has_every_model_that_was_asked(start_daemon: StartDaemon, emulator: Emulator) -> None:
    async with start_daemon(**QUICK) as daemon, mcp_socket(daemon.mcp_ws) as socket:
        anew(emulator, glm="1305")
        answer = whole(await chat(socket, "glm-5.3", fallback_models=["kimi-k3"]))

        async def usage() -> dict[str | None, Any]:
            status = await socket.tool("status", {"section": "usage"})
            return {each["model"]: each for each in whole(status)["usage"]}

        async def is_written() -> bool:
            return None not in await usage()

        await wait_until(is_written, what="the end of the call is in the database")
        used = await usage()
    assert {model: (each["calls"], each["unanswered"]) for model, each in used.items()} == {
        "glm-5.3": (1, 1),
        "kimi-k3": (1, 0),
    }
    assert (used["glm-5.3"]["cost_usd"], used["kimi-k3"]["cost_usd"]) == (0.0, answer["cost_usd"])
    assert used["kimi-k3"]["output_tokens"] == answer["usage"]["output"]


async def test_what_another_model_would_not_mend_stays_with_the_first(
    start_daemon: StartDaemon, emulator: Emulator
) -> None:
    async with start_daemon(**QUICK) as daemon, mcp_socket(daemon.mcp_ws) as socket:
        for error, code in (
            ("1214", "provider_refused"),
            ("1301", "content_filtered"),
            ("1261", "context_overflow"),
        ):
            anew(emulator, glm=error)
            refused = await chat(socket, "glm-5.3", fallback_models=["glm-4.7", "kimi-k2.6"])
            assert refused["_meta"]["exai/error"]["code"] == code
            assert asked(emulator) == ["glm-5.3"], "no larger window, no consent for what was filtered"
        anew(emulator, glm=Fault(error="1305", times=None), kimi="overloaded")
        refused = await chat(socket, "glm-5.3", fallback_models=["kimi-k3", "kimi-k2.6"])
        facts = refused["_meta"]["exai/error"]
        assert facts["code"] == "provider_overloaded"
        assert [each["model"] for each in facts["tried"]] == ["glm-5.3", "kimi-k3", "kimi-k2.6"]
        assert (
            "Tried: glm-5.3 (provider_overloaded), kimi-k3 (provider_overloaded)"
            in refused["content"][0]["text"]
        )
        unknown = await chat(socket, "glm-5.3", fallback_models=["kimi-k9"])
        assert unknown["_meta"]["exai/error"]["code"] == "unknown_model"


async def test_a_configured_chain_allows_and_an_empty_list_forbids(
    start_daemon: StartDaemon, emulator: Emulator, tmp_path: Path
) -> None:
    async with (
        start_daemon(**QUICK, EXAI_MODELS__CHAINS=CHAIN) as daemon,
        mcp_socket(daemon.mcp_ws) as socket,
    ):
        anew(emulator, glm=Fault(error="1305", model="glm-5.3", times=None))
        answer = whole(await chat(socket, "glm-5.3"))
        assert answer["model_used"] == "glm-4.7"
        assert "as models.chains allows" in answer["model_reason"]
        anew(emulator, glm="1301")
        answer = whole(await chat(socket, "glm-5.3"))
        assert answer["model_used"] == "kimi-k3", (
            "what was filtered goes to another provider, never to a sibling"
        )
        assert asked(emulator) == ["glm-5.3", "kimi-k3"]
        anew(emulator, glm="1305")
        refused = await chat(socket, "glm-5.3", fallback_models=[])
        assert refused["isError"]
        assert asked(emulator) == ["glm-5.3"]
    with sqlite3.connect(tmp_path / "data" / "exai.sqlite") as database:
        columns = "model_requested, model_used, provider, requests, model_reason, outcome"
        first, *_, last = database.execute(f"SELECT {columns} FROM calls ORDER BY began_at").fetchall()
    assert first[:4] == ("glm-5.3", "glm-4.7", "glm", 2)
    assert "glm-5.3 (provider_overloaded) could not answer" in first[4]
    assert last == ("glm-5.3", "glm-5.3", "glm", 1, None, "failed")


async def test_the_prompt_is_fitted_anew_for_whoever_takes_over(
    start_daemon: StartDaemon, emulator: Emulator
) -> None:
    emulator.persona = Persona(think_tokens=20)
    async with start_daemon(**QUICK) as daemon, mcp_socket(daemon.mcp_ws) as socket:
        first = whole(await chat(socket, "kimi-k3", prompt="The secret word is Anise."))
        handle = first["continuation_id"]
        anew(emulator, kimi=Fault(error="overloaded", model="kimi-k3", times=None))
        second = await chat(
            socket,
            "kimi-k3",
            prompt="Recall the secret word.",
            continuation_id=handle,
            temperature=0.5,
            effort="high",
            fallback_models=["glm-4.7"],
        )
        assert "Anise" in whole(second)["answer"]
        to_kimi, to_glm = [record.body for record in emulator.log.requests]
        assert any("reasoning_content" in message for message in to_kimi["messages"])
        assert not any("reasoning_content" in message for message in to_glm["messages"])
        assert "temperature" not in to_kimi
        assert to_glm["temperature"] == 0.5
        assert (to_kimi["reasoning_effort"], to_glm["thinking"]) == ("high", {"type": "enabled"})


async def test_a_prompt_too_large_goes_to_a_larger_window(
    start_daemon: StartDaemon, emulator: Emulator
) -> None:
    async with start_daemon(**QUICK) as daemon, mcp_socket(daemon.mcp_ws) as socket:
        # By the provider's own count, ...
        prompt = "word " * 2_500
        answer = await chat(socket, "kimi-k2.6", prompt=prompt, fallback_models=["glm-4.7", "glm-5.3"])
        assert whole(answer)["model_used"] == "glm-5.3", "glm-4.7 has the smaller window"
        assert asked(emulator) == ["kimi-k2.6", "glm-5.3"]
        # ... and by ours, before anything is sent.
        emulator.log.clear()
        prompt = "word " * 150_000
        answer = await chat(socket, "glm-4.5v", prompt=prompt, fallback_models=["glm-5.3"])
        assert whole(answer)["tried"] == []
        assert whole(answer)["model_used"] == "glm-5.3"
        assert asked(emulator) == ["glm-5.3"]


async def test_a_picture_goes_only_to_a_model_that_sees(
    start_daemon: StartDaemon, emulator: Emulator
) -> None:
    picture = "data:image/webp;base64," + base64.b64encode(drawn("WEBP", 30, 20)).decode()
    async with start_daemon(**QUICK) as daemon, mcp_socket(daemon.mcp_ws) as socket:
        anew(emulator, kimi="overloaded")
        allowed = ["glm-5.3", "glm-5.3-flash"]
        result = await chat(socket, "kimi-k3", images=[picture], fallback_models=allowed)
        assert whole(result)["tried"] == [
            {"model": "kimi-k3", "provider": "kimi", "outcome": "provider_overloaded", "requests": 1},
            {"model": "glm-5.3", "provider": "glm", "outcome": "ability_missing", "requests": 0},
            {"model": "glm-5.3-flash", "provider": "glm", "outcome": "ok", "requests": 1},
        ]
        assert asked(emulator) == ["kimi-k3", "glm-5.3-flash"]
        first, second = (str(record.body["messages"]) for record in emulator.log.requests)
        assert "data:image/webp" in first
        assert "data:image/webp" not in second, "GLM takes none, so it is converted anew"


async def test_auto_passes_over_a_model_that_is_spared(start_daemon: StartDaemon, emulator: Emulator) -> None:
    environ = {**QUICK, "EXAI_BREAKER__MAX_OPEN_S": "600", "EXAI_BREAKER__OPEN_S": "600"}
    async with start_daemon(**environ) as daemon, mcp_socket(daemon.mcp_ws) as socket:
        anew(emulator, glm="1305")
        for _ in range(5):
            await chat(socket, "glm-5.3")
        emulator.log.clear()
        answer = whole(await chat(socket, "auto"))
        assert answer["model_used"] == "kimi-k3"
        assert "Not asked for now, because they fail: glm-5.3" in answer["model_reason"]
        assert asked(emulator) == ["kimi-k3"]
        listed = whole(await socket.tool("models"))
        assert listed["default"] == "kimi-k3"


async def heard_half(daemon: Daemon, emulator: Emulator) -> dict[str, Any]:
    async with mcp_socket(daemon.mcp_ws) as socket:
        return await socket.tool("chat", {"prompt": "Hello.", "model": "auto"}, lambda _: None)


async def test_half_an_answer_is_nobody_elses_to_finish(
    start_daemon: StartDaemon, emulator: Emulator
) -> None:
    emulator.persona = Persona(kind="long", tokens=50)
    async with start_daemon(**QUICK) as daemon:
        for fault in (Fault(cut="close", after_frames=30), Fault(finish_reason="sensitive")):
            anew(emulator, glm=fault)
            result = await heard_half(daemon, emulator)
            assert result["isError"]
            assert asked(emulator) == ["glm-5.3"]
