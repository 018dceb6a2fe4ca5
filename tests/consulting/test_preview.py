"""`dry_run`: the request that would be sent is shown, and is the one that is sent; meanwhile nothing is."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from exai_emulator import Emulator
from support.daemon_in_process import DaemonInProcess, StartInProcess
from support.document_parts import pdf_of
from support.drawn_pictures import drawn
from support.mcp_websocket import mcp_socket

BLOCK = re.compile(r"```json\n(.*?)\n```", re.DOTALL)


async def call(daemon: DaemonInProcess, tool: str, **arguments: Any) -> dict[str, Any]:
    async with mcp_socket(daemon.mcp_ws) as socket:
        answer = await socket.request("tools/call", {"name": tool, "arguments": arguments})
    assert not answer["result"]["isError"], answer
    return dict(answer["result"])


def chats(emulator: Emulator) -> list[dict[str, Any]]:
    return [dict(each.body) for each in emulator.log.requests if "/chat/completions" in each.path]


def shown(result: dict[str, Any]) -> list[dict[str, Any]]:
    assert result["content"][0]["text"].endswith(result["structuredContent"]["answer"])
    return [json.loads(block) for block in BLOCK.findall(result["structuredContent"]["answer"])]


@pytest.mark.parametrize(
    "asked",
    [
        {"model": "glm-5.3", "effort": "low"},
        {"model": "glm-5.2", "temperature": 0.5, "max_answer_tokens": 99, "use_websearch": True},
        {"model": "kimi-k3"},
        {"model": "kimi-k2.6", "use_websearch": True},
    ],
)
async def test_what_is_shown_is_what_is_sent(
    start_in_process: StartInProcess, emulator: Emulator, tmp_path: Path, asked: dict[str, Any]
) -> None:
    (tmp_path / "a.py").write_text("pool = []\n")
    asked = {"prompt": "Does it leak?", "absolute_file_paths": [str(tmp_path / "a.py")], **asked}
    async with start_in_process(EXAI_FILES__ROOTS=f'["{tmp_path}"]') as daemon:
        previewed = await call(daemon, "chat", dry_run=True, **asked)
        assert chats(emulator) == []
        (request,) = shown(previewed)
        assert re.match(
            r"Nothing was sent. It would be 1 request, about \$0\.\d+",
            previewed["structuredContent"]["answer"],
        )
        assert "continuation_id" not in previewed["structuredContent"]
        assert previewed["structuredContent"]["model_used"] == asked["model"]
        await call(daemon, "chat", **asked)
    sent = chats(emulator)[0]
    # A conversation of its own has a key of its own.
    assert {**request, "prompt_cache_key": None} == {**sent, "prompt_cache_key": None}


async def test_the_data_of_pictures_is_cut(
    start_in_process: StartInProcess, emulator: Emulator, tmp_path: Path
) -> None:
    (tmp_path / "b.png").write_bytes(drawn("PNG", 300, 200))
    async with start_in_process(EXAI_FILES__ROOTS=f'["{tmp_path}"]') as daemon:
        asked = {"prompt": "Look.", "model": "kimi-k3", "images": [str(tmp_path / "b.png")]}
        (request,) = shown(await call(daemon, "chat", dry_run=True, **asked))
    assert chats(emulator) == []
    picture, text = request["messages"][-1]["content"]
    assert re.fullmatch(r"data:image/png;base64,.{100,200}… \(\d+ characters\)", picture["image_url"]["url"])
    assert text["text"] == "Look."


async def test_a_document_that_a_provider_would_read_is_named_as_missing_and_not_sent(
    start_in_process: StartInProcess, emulator: Emulator, tmp_path: Path
) -> None:
    (tmp_path / "a.pdf").write_bytes(pdf_of(["the plan"]))
    asked = {"prompt": "What is the plan?", "absolute_file_paths": [str(tmp_path / "a.pdf")]}
    async with start_in_process(EXAI_FILES__ROOTS=f'["{tmp_path}"]') as daemon:
        by_provider = {"model": "kimi-k2.6", "read_documents": "provider", **asked}
        answer = (await call(daemon, "chat", dry_run=True, **by_provider))["structuredContent"]["answer"]
        assert re.search(r"missing below, and in tokens and price: `[^`]*a\.pdf", answer)
        assert emulator.log.requests == []
        here = (await call(daemon, "chat", dry_run=True, **asked))["structuredContent"]["answer"]
    assert "missing below" not in here
    assert "the plan" in here


async def test_a_vote_shows_the_request_of_each_model(
    start_in_process: StartInProcess, emulator: Emulator
) -> None:
    async with start_in_process() as daemon:
        previewed = await call(
            daemon, "consensus", question="A queue?", models=["glm-5.3", "kimi-k3"], dry_run=True
        )
        assert chats(emulator) == []
        of_glm, of_kimi = shown(previewed)
        assert of_glm["response_format"] == {"type": "json_object"}
        assert of_kimi["response_format"]["json_schema"]["name"] == "vote"
        (note,) = previewed["structuredContent"]["notes"]
        assert note.startswith("With a second round")
        await call(daemon, "consensus", question="A queue?", models=["glm-5.3", "kimi-k3"], arbiter="none")
    sent = {each["model"]: each for each in chats(emulator)[:2]}
    assert sent["glm-5.3"] == of_glm


async def test_a_challenge_shows_whom_it_would_ask(
    start_in_process: StartInProcess, emulator: Emulator
) -> None:
    async with start_in_process() as daemon:
        previewed = await call(daemon, "challenge", statement="Owls see.", independent=True, dry_run=True)
    assert chats(emulator) == []
    (request,) = shown(previewed)
    assert request["messages"][-1]["content"] == "The claim:\n\nOwls see."


async def test_a_model_without_a_price_has_none_in_a_preview(start_in_process: StartInProcess) -> None:
    async with start_in_process() as daemon:
        previewed = await call(daemon, "chat", prompt="Hi.", model="glm-5.3-flashx", dry_run=True)
    answer = previewed["structuredContent"]["answer"]
    assert "It would be 1 request, of unknown price." in answer
    assert "no known price" in answer
