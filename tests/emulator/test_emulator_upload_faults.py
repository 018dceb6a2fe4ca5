"""Uploads that are cut, stall or lose their answer; files that get lost; and what the control port shows of them."""

import asyncio
import hashlib
import json
import os
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import psutil
import pytest

from exai_emulator import Emulator, EmulatorOptions, Fault, FileState, ready_fault

FORM = {"Content-Type": "multipart/form-data; boundary=b"}
PIECE = os.urandom(1 << 16)
PURPOSES = {"glm": "agent", "kimi": "image"}
PNG = b"\x89PNG\r\n\x1a\n"
LARGE = 95 * 2**20
MOST_GROWTH = 24 * 2**20


async def body(pieces: int, purpose: str) -> AsyncIterator[bytes]:
    yield f'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\n{purpose}\r\n'.encode()
    yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n' + PNG
    for _ in range(pieces):
        yield PIECE
    yield b"\r\n--b--\r\n"


Upload = Any


@pytest.fixture(params=["glm", "kimi"])
def provider(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def upload(emulator: Emulator, http: aiohttp.ClientSession) -> Upload:
    async def send(provider: str, pieces: int = 40) -> tuple[int, Any]:
        there = emulator.addresses
        key = getattr(there, f"{provider}_key")
        headers = {**FORM, "Authorization": f"Bearer {key}"}
        content = body(pieces, PURPOSES[provider])
        url = f"{getattr(there, provider)}/files"
        async with http.post(url, data=content, headers=headers) as response:
            content_read = await response.read()
            return response.status, json.loads(content_read) if content_read else None

    return send


def held(emulator: Emulator) -> list[str]:
    return [each.file.id for each in emulator.held_files()]


@pytest.mark.parametrize("name", ["upload_cut", "upload_closed"])
async def test_an_upload_is_cut_and_leaves_nothing(
    upload: Upload, emulator: Emulator, provider: str, name: str
) -> None:
    emulator.faults.add(provider, ready_fault(provider, name))
    with pytest.raises(aiohttp.ClientError):
        await upload(provider, 400)
    record = await emulator.log.wait_for(lambda record: record.ended is not None)
    assert (record.outcome, record.status) == ("fault", 0)
    assert 65_536 <= record.body_bytes < 400 * len(PIECE)
    assert held(emulator) == []
    placed = emulator.place_file("glm", "a.txt", "agent", b"text")
    assert list(placed.upload.path.parent.iterdir()) == [placed.upload.path]
    assert (await upload(provider))[0] == 200


async def test_an_upload_stalls_for_good(upload: Upload, emulator: Emulator, provider: str) -> None:
    emulator.faults.add(provider, ready_fault(provider, "upload_stall"))
    sending = asyncio.create_task(upload(provider, 1_600))
    record = await emulator.log.wait_for(lambda record: record.body_bytes >= 65_536)
    received = record.body_bytes
    await asyncio.sleep(0.2)
    assert (sending.done(), record.body_bytes) == (False, received)
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending


async def test_a_stall_ends_when_the_end_of_its_client_arrives(upload: Upload, emulator: Emulator) -> None:
    emulator.faults.add("kimi", Fault(path="/files", cut="stall", at="while_receiving"))
    sending = asyncio.create_task(upload("kimi", 1))
    await emulator.log.wait_for(lambda record: record.fault is not None)
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    record = await emulator.log.wait_for(lambda record: record.ended is not None)
    assert (record.outcome, held(emulator)) == ("disconnected", [])


async def test_an_upload_goes_on_after_a_stall(upload: Upload, emulator: Emulator) -> None:
    stalling = Fault(path="/files", cut="stall", at="while_receiving", after_bytes=1_000, stall_ms=300)
    emulator.faults.add("kimi", stalling)
    began = asyncio.get_running_loop().time()
    assert (await upload("kimi"))[0] == 200
    assert asyncio.get_running_loop().time() - began >= 0.3
    slow = Fault(path="/files", cut="trickle", at="while_receiving", stall_ms=10)
    emulator.faults.add("kimi", slow)
    assert (await upload("kimi"))[0] == 200
    assert emulator.log.of("kimi", "/files")[1].fault == slow.described()


async def test_a_short_body_comes_whole_and_is_cut_then(upload: Upload, emulator: Emulator) -> None:
    emulator.faults.add("kimi", Fault(path="/files", cut="reset", at="while_receiving", after_bytes=10**9))
    with pytest.raises(aiohttp.ClientError):
        await upload("kimi", 1)
    assert held(emulator) == []


async def test_an_answer_may_come_before_the_body_is_whole(
    upload: Upload, emulator: Emulator, provider: str
) -> None:
    emulator.faults.add(provider, ready_fault(provider, "upload_refused_early"))
    assert await upload(provider, 100) == (413, None)
    assert held(emulator) == []


async def test_an_answer_is_lost_although_the_file_was_made(
    upload: Upload, emulator: Emulator, provider: str
) -> None:
    emulator.faults.add(provider, ready_fault(provider, "upload_answer_lost"))
    with pytest.raises(aiohttp.ClientError):
        await upload(provider)
    emulator.faults.add(provider, ready_fault(provider, "upload_kept_502"))
    assert (await upload(provider))[0] == 502
    assert len(held(emulator)) == 2


@pytest.mark.parametrize(
    "parts",
    [
        {"at": "while_receiving"},
        {"at": "while_receiving", "cut": "truncate"},
        {"takes_effect": True},
        {"after_bytes": -1},
    ],
)
def test_a_fault_that_cannot_be_is_refused(parts: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="fault"):
        Fault(**parts)


async def test_an_id_is_unknown_later(
    upload: Upload, emulator: Emulator, http: aiohttp.ClientSession, provider: str
) -> None:
    emulator.clock.stop()
    emulator.accounts[provider].state.files = FileState(lost_after_s=60)
    _, made = await upload(provider)
    root = f"{getattr(emulator.addresses, provider)}/files"
    headers = {"Authorization": f"Bearer {getattr(emulator.addresses, f'{provider}_key')}"}

    async def seen() -> tuple[int, int]:
        """How many are listed, and the status of a deletion that a fault keeps from happening."""
        async with http.get(f"{root}?purpose={PURPOSES[provider]}", headers=headers) as response:
            listed = len((await response.json())["data"])
        emulator.faults.add(provider, Fault(path=None, status=299))
        async with http.delete(f"{root}/{made['id']}", headers=headers) as response:
            emulator.faults.clear()
            return listed, response.status

    assert await seen() == (1, 299)
    emulator.clock.advance(60)
    assert await seen() == (0, 404 if provider == "kimi" else 400)
    emulator.accounts[provider].state.files = FileState(lost_after_s=60, lists_lost=True)
    assert await seen() == (1, 404 if provider == "kimi" else 400)
    assert [each.is_lost for each in emulator.held_files()] == [True]


async def test_the_control_port_shows_fills_and_loses_files(
    upload: Upload, emulator: Emulator, http: aiohttp.ClientSession
) -> None:
    at = emulator.addresses.control + "/_ctl"

    async def control(method: str, path: str, order: Any = None) -> Any:
        async with http.request(method, f"{at}/{path}", json=order) as response:
            return response.status, await response.json()

    _, made = await upload("kimi", 1)
    emulator.accounts.open("kimi", "sk-another").files.add(
        emulator.place_file("glm", "b.txt", "agent", b"text")
    )
    _, shown = await control("GET", "files")
    assert (shown["count"], [row["provider"] for row in shown["files"]]) == (3, ["glm", "kimi", "kimi"])
    row = next(row for row in shown["files"] if row["id"] == made["id"])
    assert row["sha256"] == hashlib.sha256(PNG + PIECE).hexdigest()
    assert (row["bytes"], row["key"], row["is_lost"]) == (len(PNG + PIECE), None, False)
    assert shown["files"][2]["key"].startswith("sha256:")
    full = {"provider": "kimi", "filename": "x", "purpose": "image", "count": 999, "bytes": 1_000}
    assert await control("POST", "files", full) == (200, {"ok": True})
    assert (await upload("kimi"))[0] == 400
    assert (await control("DELETE", f"files?provider=kimi&id={made['id']}"))[1] == {"lost": 1}
    assert (await upload("kimi"))[0] == 200
    assert (await control("DELETE", "files?provider=kimi"))[1] == {"lost": 1_001}
    assert (await control("GET", "files?provider=kimi"))[1]["count"] == 0
    assert (await control("DELETE", "files?provider=openai"))[0] == 400
    order = {"provider": "kimi", "account": {"files": {"max_files": 1, "lost_after_s": 5}}}
    assert (await control("PUT", "account", order))[0] == 200
    assert emulator.accounts["kimi"].state.files.lost_after_s == 5
    fault = {"path": "/files", "cut": "reset", "at": "while_receiving", "after_bytes": 10}
    assert (await control("POST", "faults", {"provider": "kimi", "fault": fault}))[0] == 200
    step = {"steps": [{"fault": fault}], "provider": "kimi"}
    assert "queue of faults" in (await control("POST", "scenario", step))[1]["error"]


async def test_a_body_above_the_limit_is_read_and_forgotten(started: Any) -> None:
    async with started(EmulatorOptions(max_body_bytes=1_000_000)) as emulator:
        there = emulator.addresses
        headers = {**FORM, "Authorization": f"Bearer {there.kimi_key}"}
        async with (
            aiohttp.ClientSession() as http,
            http.post(f"{there.kimi}/files", data=body(200, "image"), headers=headers) as response,
        ):
            assert (response.status, "max file size" in await response.text()) == (400, True)
        assert held(emulator) == []


async def test_an_upload_takes_no_memory() -> None:
    script = "import sys; sys.argv[1:] = ['--json']; from exai_emulator.cli import main; main()"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", script, stdout=PIPE)
    try:
        assert process.stdout is not None
        there = json.loads(await process.stdout.readline())
        await upload_raw(there, 1)
        seen = psutil.Process(process.pid)
        before = seen.memory_info().rss
        grown = 0
        sending = asyncio.create_task(upload_raw(there, LARGE // len(PIECE)))
        while not sending.done():
            grown = max(grown, seen.memory_info().rss - before)
            await asyncio.sleep(0.02)
        assert (await sending).startswith(b"HTTP/1.1 200")
        assert grown < MOST_GROWTH
    finally:
        process.terminate()
        await process.wait()


async def upload_raw(there: dict[str, str], pieces: int) -> bytes:
    """Send a form over a socket, and return the status line."""
    at = urlsplit(there["kimi"] + "/files")
    content = [piece async for piece in body(0, "image")]
    reader, writer = await asyncio.open_connection(at.hostname, at.port)
    length = sum(map(len, content)) + pieces * len(PIECE)
    writer.write(
        f"POST {at.path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {there['kimi_key']}\r\n"
        f"Content-Length: {length}\r\nContent-Type: {FORM['Content-Type']}\r\nConnection: close\r\n\r\n".encode()
    )
    writer.writelines(content[:-1])
    for _ in range(pieces):
        writer.write(PIECE)
        await writer.drain()
    writer.write(content[-1])
    await writer.drain()
    line = await reader.readline()
    writer.close()
    await writer.wait_closed()
    return line
