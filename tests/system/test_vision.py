"""Pictures through the whole house: a real daemon, what arrives at the provider, what a restart remembers."""

import base64
import io
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from exai_emulator import Emulator, Fault
from support.daemons import StartDaemon
from support.drawn_pictures import drawn, moving_gif, noise
from support.mcp_websocket import McpSocket, mcp_socket
from support.results import whole


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    return folder


def data_url(data: bytes, declared: str = "image/png") -> str:
    return f"data:{declared};base64,{base64.b64encode(data).decode()}"


def shown(emulator: Emulator, provider: str) -> list[Image.Image]:
    """The pictures of the latest chat, decoded."""
    content = emulator.log.of(provider)[-1].body["messages"][-1]["content"]
    seen: list[Image.Image] = []
    for part in content:
        if part["type"] == "image_url":
            url = part["image_url"]["url"]
            file = emulator.accounts[provider].files.get(url.removeprefix("ms://"))
            seen.append(
                Image.open(io.BytesIO(file.content if file else base64.b64decode(url.partition(",")[2])))
            )
    return seen


async def look(socket: McpSocket, *images: str | Path, **arguments: Any) -> Any:
    return await socket.tool(
        "chat", {"prompt": "What is it?", "images": [str(image) for image in images], **arguments}
    )


async def test_pictures_arrive_as_the_model_takes_them_with_notes_on_changes(
    start_daemon: StartDaemon, emulator: Emulator, folder: Path
) -> None:
    (folder / "wide.jpg").write_bytes(drawn("JPEG", 8_000, 80))
    (folder / "page.webp").write_bytes(drawn("WEBP", 60, 40))
    urls = data_url(drawn("PNG", 30, 20))
    async with start_daemon(EXAI_FILES__ROOTS=f'["{folder}"]') as daemon, mcp_socket(daemon.mcp_ws) as socket:
        glm = await look(socket, folder / "wide.jpg", folder / "page.webp", urls, model="glm-5.3-flash")
        assert [(each.format, each.size) for each in shown(emulator, "glm")] == [
            ("JPEG", (6_000, 60)),
            ("JPEG", (60, 40)),
            ("PNG", (30, 20)),
        ]
        kimi = await look(socket, folder / "wide.jpg", folder / "page.webp", urls, model="kimi-k3")
        assert [(each.format, each.size) for each in shown(emulator, "kimi")] == [
            ("JPEG", (4_096, 41)),
            ("WEBP", (60, 40)),
            ("PNG", (30, 20)),
        ]
    assert whole(glm)["context"]["images"] == 3
    notes = whole(glm)["notes"]
    assert [note.split(" was ")[0] for note in notes[:2]] == ["Image 1", "Image 2"]
    assert "8000 x 80 to 6000 x 60" in notes[0]
    assert f"Note: {notes[0]}" in glm["content"][0]["text"]
    assert len([note for note in whole(kimi)["notes"] if note.startswith("Image")]) == 1


async def test_a_large_picture_is_uploaded_once_over_calls_and_a_restart(
    start_daemon: StartDaemon, emulator: Emulator, folder: Path, tmp_path: Path
) -> None:
    large = folder / "large.png"
    large.write_bytes(noise("PNG", 700, 700))
    roots = {"EXAI_FILES__ROOTS": f'["{folder}"]'}
    async with start_daemon(**roots) as daemon:
        async with mcp_socket(daemon.mcp_ws) as socket:
            costs = [whole(await look(socket, large, model="kimi-k3"))["cost"] for _ in range(2)]
        # A file is free there, and said to be; the second call uploads none.
        assert [cost.get("file") for cost in costs] == [0, None]
        daemon.kill()
        await daemon.ended()
    async with start_daemon(**roots) as daemon, mcp_socket(daemon.mcp_ws) as socket:
        assert not (await look(socket, large, model="kimi-k3"))["isError"]
        uploads = emulator.log.of("kimi", "/files")
        assert [record.method for record in uploads] == ["POST"]
        assert len(emulator.log.of("kimi")) == 3
        (file,) = emulator.accounts["kimi"].files
        assert [each.size for each in shown(emulator, "kimi")] == [(700, 700)]
        emulator.accounts["kimi"].files.clear()
        assert not (await look(socket, large, model="kimi-k3"))["isError"]
        (again,) = emulator.accounts["kimi"].files
    assert again.id != file.id
    assert again.content == large.read_bytes()
    with sqlite3.connect(tmp_path / "data" / "exai.sqlite") as database:
        columns = "sha256, provider_file_id, bytes, status"
        rows = list(database.execute(f"SELECT {columns} FROM provider_file_uploads ORDER BY status DESC"))
    size = len(again.content)
    assert rows == [(again.sha256, again.id, size, "ready"), (again.sha256, file.id, size, "missing")]


async def test_what_is_refused_sends_nothing_and_says_why(
    start_daemon: StartDaemon, emulator: Emulator, folder: Path
) -> None:
    (folder / "script.png").write_bytes(b"#!/bin/sh\nexit\n")
    (folder / "cut.jpg").write_bytes(noise("JPEG", 90, 90)[:2_000])
    (folder / "huge.png").write_bytes(drawn("PNG", 9_000, 9_000, "1"))
    (folder / "fine.png").write_bytes(drawn("PNG", 9, 9))
    asked: dict[str, tuple[list[Any], dict[str, Any], str]] = {
        "disguised": ([folder / "fine.png", folder / "script.png"], {}, "no picture of a kind"),
        "cut": ([folder / "cut.jpg"], {}, "broken JPEG"),
        "cut url": ([data_url(drawn("PNG", 90, 90)[:60])], {}, "broken PNG"),
        "too many pixels": ([folder / "huge.png"], {}, "9000 x 9000 pixels"),
        "outside": (["/etc/passwd"], {}, "not inside a folder"),
        "text model": ([folder / "fine.png"], {"model": "glm-5.3"}, "glm-5.3-flash"),
    }
    async with start_daemon(EXAI_FILES__ROOTS=f'["{folder}"]') as daemon, mcp_socket(daemon.mcp_ws) as socket:
        for images, arguments, says in asked.values():
            answer = await look(socket, *images, **({"model": "kimi-k3"} | arguments))
            assert answer["isError"]
            assert says in answer["content"][0]["text"]
            code = answer["_meta"]["exai/error"]["code"]
            assert code == ("ability_missing" if "model" in arguments else "file_refused")
    assert emulator.log.requests == []


async def test_a_moving_picture_is_shown_by_its_first_frame(
    start_daemon: StartDaemon, emulator: Emulator
) -> None:
    async with start_daemon() as daemon, mcp_socket(daemon.mcp_ws) as socket:
        answer = await look(socket, data_url(moving_gif(16, 16), "image/gif"), model="kimi-k3")
    (still,) = shown(emulator, "kimi")
    assert getattr(still, "n_frames", 1) == 1
    assert "first frame" in " ".join(whole(answer)["notes"])


async def test_an_upload_that_fails_is_tried_again(
    start_daemon: StartDaemon, emulator: Emulator, folder: Path
) -> None:
    (folder / "large.png").write_bytes(noise("PNG", 700, 700))
    emulator.faults.add("kimi", Fault(path="/files", error="server_error"))
    async with start_daemon(EXAI_FILES__ROOTS=f'["{folder}"]') as daemon, mcp_socket(daemon.mcp_ws) as socket:
        answer = await look(socket, folder / "large.png", model="kimi-k3")
    assert not answer["isError"]
    # After the failure the list was asked twice for what may have been made, before it was sent again.
    asked = [(record.method, record.status) for record in emulator.log.of("kimi", "/files")]
    assert asked == [("POST", 500), ("GET", 200), ("GET", 200), ("POST", 200)]
    assert len(emulator.log.of("kimi")) == 1


async def test_a_model_that_takes_over_gets_the_picture_as_it_takes_it(
    start_daemon: StartDaemon, emulator: Emulator
) -> None:
    emulator.faults.add("kimi", Fault(error="quota", times=None))
    picture = data_url(drawn("WEBP", 5_000, 40, "RGBA"), "image/webp")
    async with start_daemon() as daemon, mcp_socket(daemon.mcp_ws) as socket:
        answer = await look(socket, picture, model="kimi-k3", fallback_models=["glm-5.3-flash"])
    assert whole(answer)["model_used"] == "glm-5.3-flash"
    assert [(each.format, each.size) for each in shown(emulator, "kimi")] == [("PNG", (4_096, 33))]
    assert [(each.format, each.size) for each in shown(emulator, "glm")] == [("PNG", (5_000, 40))]
    notes = [note for note in whole(answer)["notes"] if note.startswith("Image")]
    assert len(notes) == 1
    assert "converted from WEBP to PNG" in notes[0]


async def test_a_file_whose_sender_crashed_is_found_by_its_name_and_not_sent_again(
    start_daemon: StartDaemon, emulator: Emulator, folder: Path
) -> None:
    (folder / "large.png").write_bytes(noise("PNG", 700, 700))
    roots = {"EXAI_FILES__ROOTS": f'["{folder}"]'}
    emulator.faults.add("kimi", Fault(path="/files", before_headers_ms=60_000))
    async with start_daemon(**roots) as daemon, mcp_socket(daemon.mcp_ws) as socket:
        await socket.begin_tool(
            "chat", {"prompt": "?", "images": [str(folder / "large.png")], "model": "kimi-k3"}
        )
        await emulator.log.wait_for(lambda record: record.path.endswith("/files"))
        assert len(emulator.accounts["kimi"].files) == 1
        daemon.kill()
        await daemon.ended()
    async with start_daemon(**roots) as daemon, mcp_socket(daemon.mcp_ws) as socket:
        assert not (await look(socket, folder / "large.png", model="kimi-k3"))["isError"]
    (file,) = emulator.accounts["kimi"].files
    assert file.filename.startswith(f"exai-{file.sha256[:32]}-")
    assert [record.method for record in emulator.log.of("kimi", "/files")].count("POST") == 1
    url = emulator.log.of("kimi")[-1].body["messages"][-1]["content"][0]["image_url"]["url"]
    assert url == f"ms://{file.id}"
