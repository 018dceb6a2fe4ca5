"""Bad input over the running daemon: the right error, a sentence that says what to do, and the connection lives on."""

import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from exai.tools.listing.profiles import ORDER
from exai_emulator import Emulator
from support.daemons import StartDaemon
from support.mcp_websocket import McpSocket, mcp_socket

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    root.mkdir()
    (tmp_path / "outside.txt").write_text("outside")
    (root / "link.txt").symlink_to(tmp_path / "outside.txt")
    (root / "binary.bin").write_bytes(b"\0\1\2\xff")
    (root / "text.txt").write_text("The file's secret word is Chervil.")
    (root / "picture.png").write_bytes(PNG)
    (root / "picture.bmp").write_bytes(b"BM" + bytes(60))
    return root


@pytest.fixture
async def client(start_daemon: StartDaemon, root: Path) -> AsyncIterator[McpSocket]:
    async with (
        start_daemon(EXAI_FILES__ROOTS=f'["{root}"]') as daemon,
        mcp_socket(daemon.mcp_ws) as socket,
    ):
        yield socket


async def refusal(client: McpSocket, arguments: dict[str, Any]) -> tuple[str, str]:
    """Code and sentence of a refused chat; the connection must answer afterwards."""
    result = await client.tool("chat", arguments)
    assert result["isError"], result
    assert "structuredContent" not in result
    assert (await client.request("ping"))["result"] == {}
    return result["_meta"]["exai/error"]["code"], result["content"][0]["text"]


async def test_arguments_of_every_wrong_kind(client: McpSocket) -> None:
    wrong: list[tuple[dict[str, Any], str]] = [
        ({}, "prompt"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": "  \n"}, "prompt"),
        ({"prompt": 7}, "prompt"),
        ({"prompt": "Hi.", "temperature": "hot"}, "temperature"),
        ({"prompt": "Hi.", "temperature": 9}, "temperature"),
        ({"prompt": "Hi.", "max_answer_tokens": -1}, "max_answer_tokens"),
        ({"prompt": "Hi.", "effort": "hard"}, "effort"),
        ({"prompt": "Hi.", "effort": 3}, "effort"),
        ({"prompt": "Hi.", "effort": "low", "thinking_mode": "high"}, "thinking_mode"),
        ({"prompt": "Hi.", "absolute_file_paths": 7}, "absolute_file_paths"),
        ({"prompt": "Hi.", "imagse": []}, "images"),
    ]
    for arguments, place in wrong:
        code, sentence = await refusal(client, arguments)
        assert code == "bad_arguments"
        assert place in sentence


async def test_models_that_are_unknown_or_cannot(client: McpSocket) -> None:
    code, sentence = await refusal(client, {"prompt": "Hi.", "model": "glm-5.33"})
    assert code == "unknown_model"
    assert "glm-5.3" in sentence
    code, sentence = await refusal(client, {"prompt": "Hi.", "model": "gpt-5"})
    assert code == "unknown_model"


async def test_files_that_may_not_or_cannot_be_read(client: McpSocket, root: Path, tmp_path: Path) -> None:
    for path in (
        root / "missing.txt",
        tmp_path / "outside.txt",
        root / "link.txt",
        root / ".." / "outside.txt",
        root / "binary.bin",
        Path("relative.txt"),
        Path("/etc/passwd"),
    ):
        code, sentence = await refusal(client, {"prompt": "Hi.", "absolute_file_paths": [str(path)]})
        assert code == "file_refused", sentence
        assert str(path) in sentence


async def test_images_that_are_none(client: McpSocket, root: Path) -> None:
    for source in (
        str(root / "picture.bmp"),
        str(root / "text.txt"),
        "data:image/png;base64,AAAA",
        "http://x/y.png",
    ):
        code, _ = await refusal(client, {"prompt": "Hi.", "images": [source]})
        assert code == "file_refused"


async def test_a_model_without_eyes_refuses_pictures_and_names_one_with(
    client: McpSocket, root: Path
) -> None:
    code, sentence = await refusal(
        client, {"prompt": "Hi.", "model": "glm-5.3", "images": [str(root / "picture.png")]}
    )
    assert code == "ability_missing"
    assert "kimi" in sentence or "glm" in sentence


async def test_files_and_pictures_reach_the_provider(
    client: McpSocket, root: Path, emulator: Emulator
) -> None:
    result = await client.tool(
        "chat", {"prompt": "What is the file's secret word?", "absolute_file_paths": [str(root / "text.txt")]}
    )
    assert not result["isError"], result
    assert "Chervil" in str(emulator.log.requests[-1].body)
    result = await client.tool("chat", {"prompt": "What is this?", "images": [str(root / "picture.png")]})
    assert not result["isError"], result
    assert base64.b64encode(PNG).decode() in str(emulator.log.requests[-1].body)


async def test_unknown_and_foreign_handles(client: McpSocket) -> None:
    code, sentence = await refusal(client, {"prompt": "Hi.", "continuation_id": "conv_nobodys"})
    assert code == "unknown_conversation"
    assert "without continuation_id" in sentence


async def test_a_prompt_beyond_every_window(client: McpSocket) -> None:
    code, sentence = await refusal(client, {"prompt": "word " * 700_000, "model": "glm-4.6"})
    assert code == "context_overflow"
    assert "window" in sentence


async def test_an_unknown_tool_is_a_protocol_error(client: McpSocket) -> None:
    answer = await client.request("tools/call", {"name": "chatt", "arguments": {}})
    assert answer["error"]["code"] == -32602
    assert "chat" in answer["error"]["message"]


async def test_older_names_answer_without_being_listed(client: McpSocket) -> None:
    listed = [tool["name"] for tool in (await client.request("tools/list"))["result"]["tools"]]
    assert listed == list(ORDER)
    assert (await client.tool("listmodels"))["structuredContent"]["providers"]
    assert (await client.tool("version"))["structuredContent"]["service"]["name"] == "exai"
