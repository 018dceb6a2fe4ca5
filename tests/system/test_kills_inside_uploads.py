"""A daemon that is killed while it sends a file to a provider: what is there afterwards is known, or removed."""

import asyncio
import hashlib
from contextlib import suppress
from typing import Any

import aiohttp

from exai_emulator import Emulator, Fault
from support.daemons import Daemon, StartDaemon
from support.drawn_pictures import noise
from support.mcp_websocket import mcp_socket
from support.waiting import wait_until

PICTURE = noise("PNG", 300, 300)
"""270 KB."""
INSIDE_THE_BODY = Fault(path="/files", cut="stall", at="while_receiving", after_bytes=65_536)
BEFORE_THE_ANSWER = Fault(path="/files", cut="stall", at="before_headers")
ENVIRON = {
    "EXAI_FILES__KEEP_FREE_BYTES": "0",
    "EXAI_JOBS__POLL_S": "0.05",
    "EXAI_PROVIDERS__KIMI__UPLOAD_IMAGES_ABOVE_BYTES": "1000",
}


async def _asked(daemon: Daemon, method: str, path: str, body: bytes | None = None) -> Any:
    url = f"http://{daemon.mcp_ws.split('/')[2]}{path}"
    async with aiohttp.ClientSession() as http, http.request(method, url, data=body) as response:
        return await response.json()


async def _statuses(daemon: Daemon, file_id: str) -> list[str]:
    """Of the picture's copies, the newest first."""
    shown = await _asked(daemon, "GET", f"/files/{file_id}")
    return [copy["status"] for copy in shown["copies"]]


async def _looked_at(daemon: Daemon, file_id: str) -> Any:
    async with mcp_socket(daemon.mcp_ws) as socket:
        return await socket.tool("chat", {"prompt": "What is it?", "images": [file_id], "model": "kimi-k3"})


async def _kill_inside_an_upload(daemon: Daemon, emulator: Emulator, fault: Fault) -> str:
    """Store a picture, ask Kimi about it, and kill the daemon when the fault holds the upload; the picture's id."""
    emulator.faults.add("kimi", fault)
    digest = hashlib.sha256(PICTURE).hexdigest()
    stored = await _asked(daemon, "PUT", f"/files/sha256/{digest}?name=a.png", PICTURE)
    asking = asyncio.get_running_loop().create_task(_looked_at(daemon, stored["id"]))
    await wait_until(lambda: emulator.faults.struck["kimi"], what="the upload is held")
    if fault is BEFORE_THE_ANSWER:
        await wait_until(lambda: list(emulator.accounts["kimi"].files), what="the file is there")
    assert await _statuses(daemon, stored["id"]) == ["sending"]
    daemon.kill()
    await daemon.ended()
    with suppress(Exception):
        await asking
    return str(stored["id"])


async def test_a_file_that_arrived_is_found_by_its_name_and_goes_with_its_own(
    start_daemon: StartDaemon, emulator: Emulator
) -> None:
    async with start_daemon(**ENVIRON) as daemon:
        file_id = await _kill_inside_an_upload(daemon, emulator, BEFORE_THE_ANSWER)
    there = emulator.accounts["kimi"].files
    async with start_daemon(**ENVIRON) as daemon:

        async def is_known() -> bool:
            return await _statuses(daemon, file_id) == ["ready"]

        await wait_until(is_known, what="the file is found by its name")
        await _looked_at(daemon, file_id)
        assert len(list(there)) == 1
        await _asked(daemon, "DELETE", f"/files/{file_id}")
        await wait_until(lambda: not list(there), what="the file is gone at Kimi")


async def test_a_file_that_did_not_arrive_is_sent_again_and_nothing_stays(
    start_daemon: StartDaemon, emulator: Emulator
) -> None:
    async with start_daemon(**ENVIRON) as daemon:
        file_id = await _kill_inside_an_upload(daemon, emulator, INSIDE_THE_BODY)
    there = emulator.accounts["kimi"].files
    assert list(there) == []
    async with start_daemon(**ENVIRON) as daemon:

        async def is_in_doubt() -> bool:
            return await _statuses(daemon, file_id) == ["doubtful"]

        await wait_until(is_in_doubt, what="the upload is known to be lost")
        await _looked_at(daemon, file_id)
        assert await _statuses(daemon, file_id) == ["ready", "doubtful"]
        assert len(list(there)) == 1
        await _asked(daemon, "DELETE", f"/files/{file_id}")
        await wait_until(lambda: not list(there), what="nothing is left at Kimi")
        proof = await _asked(daemon, "GET", f"/files/{file_id}/proof")
        assert {copy["status"] for copy in proof["copies"]} <= {"dropped", "deleting", "gone"}
