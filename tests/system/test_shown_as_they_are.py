"""Videos and documents that leave as they are, through `chat` of a running daemon."""

from pathlib import Path
from typing import Any

import pytest

from exai_emulator import Emulator
from support.daemons import StartDaemon
from support.document_parts import pdf_of
from support.mcp_websocket import mcp_socket
from support.results import whole

MP4 = b"\0\0\0\x20ftypisom" + b"x" * 5_000
PDF = pdf_of(["the plan"])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "clip.mp4").write_bytes(MP4)
    (folder / "plan.pdf").write_bytes(PDF)
    return folder


def parts(emulator: Emulator, provider: str) -> list[Any]:
    """The parts of the latest question but its text."""
    content = emulator.log.of(provider)[-1].body["messages"][-1]["content"]
    return [] if isinstance(content, str) else [part for part in content if part["type"] != "text"]


async def test_chat_shows_videos_to_kimi_and_documents_by_the_provider_that_is_asked(
    start_daemon: StartDaemon, emulator: Emulator, folder: Path
) -> None:
    environ = {"EXAI_FILES__ROOTS": f'["{folder}"]', "EXAI_FILES__EXTRACT": "provider_first"}
    async with start_daemon(**environ) as daemon, mcp_socket(daemon.mcp_ws) as socket:

        async def ask(name: str, model: str, **further: str) -> dict[str, Any]:
            arguments = {"prompt": "What is it?", "absolute_file_paths": [str(folder / name)], "model": model}
            return whole(await socket.tool("chat", {**arguments, **further}))

        video = await ask("clip.mp4", "kimi-k3")
        (file,) = emulator.accounts["kimi"].files
        assert (file.purpose, file.content) == ("video", MP4)
        assert parts(emulator, "kimi") == [{"type": "video_url", "video_url": {"url": f"ms://{file.id}"}}]
        assert [(each["kind"], each["attached"]) for each in video["material"]] == [("mp4", True)]

        read = await ask("plan.pdf", "kimi-k2.6")
        assert [each["extracted_by"] for each in read["material"]] == ["kimi"]

        seen = await ask("plan.pdf", "glm-5.3-flash")
        (sent,) = emulator.accounts["glm"].files
        assert (sent.purpose, sent.content) == ("user_data", PDF)
        assert parts(emulator, "glm") == [{"type": "file", "file": {"file_id": sent.id}}]
        assert seen["material"][0]["attached"] is True

        here = await ask("plan.pdf", "glm-5.3-flash", read_documents="here")
        assert (parts(emulator, "glm"), here["material"][0]["extracted_by"]) == ([], "pdfium")
