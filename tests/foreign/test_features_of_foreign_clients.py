"""Clients that others wrote use what the providers offer: files, search, pictures, streams."""

import base64
import io
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from PIL import Image

from exai_emulator import Emulator, Persona
from support.daemon_in_process import StartInProcess
from support.daemons import Daemon, StartDaemon
from support.document_parts import docx_of
from support.drawn_pictures import drawn
from support.foreign_clients import ForeignClient, python_client, typescript_client
from support.nodes import Node
from support.virtual_time import now

NOTES = "one heron\ntwo herons\nthree herons\n"
KINDS = ("PNG", "JPEG", "WEBP")
SIZES = {"PNG": (30, 20), "JPEG": (40, 20), "WEBP": (50, 20)}


@pytest.fixture
async def running(start_daemon: StartDaemon, tmp_path: Path) -> AsyncIterator[Daemon]:
    async with start_daemon(EXAI_FILES__ROOTS=json.dumps([str(tmp_path)])) as daemon:
        yield daemon


@pytest.fixture(params=["python", "typescript"])
def client(
    request: pytest.FixtureRequest, running: Daemon, node: Node
) -> AbstractAsyncContextManager[ForeignClient]:
    """The official clients, of which one comes over HTTP and the other over WebSocket."""
    if request.param == "python":
        return python_client(running.mcp_http, mode="auto", expected_version="2026-07-28")
    return typescript_client(node, running.mcp_ws)


async def _result(client: ForeignClient, tool: str, **arguments: Any) -> Mapping[str, Any]:
    answer = await client.call(tool, arguments)
    assert not answer.is_error, answer.text
    return answer.structured


async def test_files_go_to_each_provider_are_read_by_its_model_and_come_back(
    client: AbstractAsyncContextManager[ForeignClient], emulator: Emulator, tmp_path: Path
) -> None:
    document = docx_of(*NOTES.splitlines())
    async with client as connected:
        for provider, model, name, content in (
            ("glm", "glm-5.3", "notes.docx", document),
            ("kimi", "kimi-k3", "notes.txt", NOTES.encode()),
        ):
            (tmp_path / name).write_bytes(content)
            handle = (await _result(connected, "files", action="put", path=str(tmp_path / name)))["id"]
            sent = await _result(connected, "files", action="send", id=handle, provider=provider)
            there = emulator.accounts[provider].files.get(sent["provider_id"])
            assert there is not None
            assert there.content == content
            answer = await _result(
                connected, "chat", prompt="What is line 3?", model=model, absolute_file_paths=[handle]
            )
            assert "three herons" in answer["answer"]
            read = await connected.read(f"exai://files/{handle}")
            assert read == (NOTES if provider == "kimi" else base64.b64encode(document).decode())


async def test_both_providers_search(
    client: AbstractAsyncContextManager[ForeignClient], emulator: Emulator
) -> None:
    async with client as connected:
        for engine in ("glm", "kimi"):
            found = await connected.call("search", {"query": "owls", "engine": engine, "count": 2})
            assert not found.is_error, found.text
            assert [page["url"] for page in found.structured["results"]] == [
                "https://emulated.invalid/1",
                "https://emulated.invalid/2",
            ]
    assert [record.provider for record in emulator.log.requests] == ["glm", "kimi"]


async def test_pictures_of_every_kind_are_seen_by_path_and_as_data(
    client: AbstractAsyncContextManager[ForeignClient], emulator: Emulator, tmp_path: Path
) -> None:
    contents = {kind: drawn(kind, *SIZES[kind]) for kind in KINDS}
    paths = {kind: tmp_path / f"picture.{kind.lower()}" for kind in KINDS}
    for kind, path in paths.items():
        path.write_bytes(contents[kind])
    data = [f"data:image/{kind.lower()};base64,{base64.b64encode(contents[kind]).decode()}" for kind in KINDS]
    async with client as connected:
        for provider, model in (("glm", "glm-5.3-flash"), ("kimi", "kimi-k3")):
            for images in ([str(path) for path in paths.values()], data):
                await _result(connected, "chat", prompt="What is it?", images=images, model=model)
                assert _sizes_shown(emulator, provider) == [SIZES[kind] for kind in KINDS]


def _sizes_shown(emulator: Emulator, provider: str) -> list[tuple[int, int]]:
    parts = emulator.log.of(provider)[-1].body["messages"][-1]["content"]
    urls = [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]
    return [Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).size for url in urls]


@pytest.mark.virtual_time
@pytest.mark.parametrize("model", ["glm-5.3", "kimi-k3"])
async def test_the_first_piece_of_a_stream_comes_within_two_seconds(
    start_in_process: StartInProcess, emulator: Emulator, model: str
) -> None:
    """Of an answer that takes much longer, from a provider that needs one second for its first word."""
    emulator.persona = Persona(
        kind="long", tokens=50, delay_per_token_ms=500, first_byte_delay_ms=1_000, think_tokens=0
    )
    heard: list[tuple[float, str]] = []

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        heard.append((now() - asked_at, message or ""))

    async with start_in_process() as daemon, Client(daemon.mcp_http) as connected:
        asked_at = now()
        arguments = {"prompt": "A story.", "model": model}
        result = await connected.call_tool("chat", arguments, progress_callback=on_progress)
        took = now() - asked_at
    assert not result.is_error
    assert result.structured_content is not None
    answer = result.structured_content["answer"]
    first = next(
        at for at, message in heard if answer.startswith(message.partition("characters: ")[2] or "-")
    )
    assert first <= 2
    assert took > 20
