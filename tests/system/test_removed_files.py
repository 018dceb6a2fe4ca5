"""A file that is removed is deleted at its provider too, and that can be proved, over HTTP and by the command."""

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp

from exai.config import Settings
from exai.providers.remote_files.accounts import account_fingerprint
from exai.storage.database import Database
from exai.storage.files.copies import CopyTables
from exai.storage.files.copy_rows import Store
from exai_emulator import Emulator, Fault
from support.commands import run_exai
from support.copies import keep
from support.daemons import Daemon, StartDaemon, clean_environ
from support.waiting import wait_until

CONTENT = b"the plan\n" * 1_000


async def _asked(daemon: Daemon, method: str, path: str, body: bytes | None = None) -> tuple[int, Any]:
    url = f"http://{daemon.mcp_ws.split('/')[2]}{path}"
    async with aiohttp.ClientSession() as http, http.request(method, url, data=body) as response:
        return response.status, await response.json()


async def _copied(emulator: Emulator, tmp_path: Path, sha256: str) -> str:
    """A copy of the local user's at Kimi; its id there."""
    tree = Settings.model_validate({"data_dir": str(tmp_path / "data")})
    database = await Database.open(tree.database, tree.data_dir)
    there = emulator.addresses
    store = Store("kimi", account_fingerprint(there.kimi, there.kimi_key))
    placed = emulator.place_file("kimi", "exai-a.txt", "file-extract", CONTENT)
    now = datetime.now(UTC)
    await keep(CopyTables(database), store, "file-extract", "local", sha256, placed.id, now)
    await database.close()
    return placed.id


async def test_a_removed_file_goes_at_the_provider_and_its_proof_says_so(
    start_daemon: StartDaemon, emulator: Emulator, tmp_path: Path
) -> None:
    sha256 = hashlib.sha256(CONTENT).hexdigest()
    emulator.faults.add("kimi", Fault(path=None, error="server_error"))
    async with start_daemon(EXAI_JOBS__POLL_S="0.05", EXAI_FILES__KEEP_FREE_BYTES="0") as daemon:
        _, first = await _asked(daemon, "PUT", f"/files/sha256/{sha256}?name=plan.txt", CONTENT)
        _, second = await _asked(daemon, "PUT", f"/files/sha256/{sha256}?name=copy.txt")
        await _copied(emulator, tmp_path, sha256)
        _, shown = await _asked(daemon, "GET", f"/files/{first['id']}")
        assert [(copy["provider"], copy["status"]) for copy in shown["copies"]] == [("kimi", "ready")]
        assert await _asked(daemon, "DELETE", f"/files/{first['id']}") == (
            202,
            {"removed": True, "pending": []},
        )
        _, proof = await _asked(daemon, "GET", f"/files/{first['id']}/proof")
        assert (proof["still_needed"], proof["copies"][0]["status"]) == (True, "ready")
        status, removed = await _asked(daemon, "DELETE", f"/files/{second['id']}")
        assert status == 202
        assert [copy["provider"] for copy in removed["pending"]] == ["kimi"]
        await wait_until(lambda: not list(emulator.accounts["kimi"].files), what="the file is gone at Kimi")

        async def is_confirmed() -> bool:
            _, proof = await _asked(daemon, "GET", f"/files/{second['id']}/proof")
            copy = proof["copies"][0]
            assert "bytes_deleted_at" not in proof
            return (copy["status"], copy.get("confirmed_by")) == ("gone", "deleted")

        await wait_until(is_confirmed, what="the proof says that it is gone")
        said = await _command(tmp_path, "files", "proof", second["id"], "--url", daemon.mcp_ws)
        assert "confirmed by the provider (deleted)" in said
        assert await _asked(daemon, "GET", f"/files/{'0' * 8}/proof") == (404, {"error": _unknown()})
    own = json.loads(await _command(tmp_path, "files", "proof", first["id"], "--json", "--owner", "local"))
    assert own["copies"][0]["confirmed_by"] == "deleted"
    await _command(tmp_path, "files", "gc", "--set", "files.grace_hours=0")
    own = json.loads(await _command(tmp_path, "files", "proof", first["id"], "--json", "--owner", "local"))
    assert own["bytes_confirmed_by"] == "removed"


def _unknown() -> dict[str, Any]:
    return {
        "code": "unknown_file",
        "message": "You have no file with this id. List your files to see what you have.",
        "retryable": False,
    }


async def _command(tmp_path: Path, *arguments: str) -> str:
    ended = await run_exai(*arguments, env=clean_environ(tmp_path / "data"), cwd=tmp_path)
    assert ended.code == 0, ended
    return ended.out
