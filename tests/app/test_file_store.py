"""Where a daemon keeps stored files: started as users start it, in a folder and in a bucket."""

import hashlib
import io
import os
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from exai.cli.doctor.checks import run_checks
from exai.cli.doctor.findings import Finding, State
from exai.config.sources import load
from exai.errors import StartFault
from exai.files.store import s3 as s3_module
from exai.runtime.clock import SystemClock
from support.daemon_in_process import StartInProcess
from support.daemons import Daemon, StartDaemon
from support.s3_server import BUCKET, KEYS, S3Server

CONTENT = os.urandom(9 * 2**20 + 5)
DIGEST = hashlib.sha256(CONTENT).hexdigest()


def bucket_environ(s3: S3Server, prefix: str, **further: str) -> dict[str, str]:
    return {
        "EXAI_FILES__STORE": f"s3://{BUCKET}/{prefix}",
        "EXAI_FILES__S3__ENDPOINT": s3.endpoint,
        "EXAI_FILES__S3__ACCESS_KEY_ID": KEYS["AWS_ACCESS_KEY_ID"],
        "EXAI_FILES__S3__SECRET_ACCESS_KEY": KEYS["AWS_SECRET_ACCESS_KEY"],
        **further,
    }


def base(daemon: Daemon) -> str:
    return daemon.mcp_http.removesuffix("/mcp")


async def test_a_file_in_a_bucket_comes_back_after_a_restart_and_without_its_copy(
    start_daemon: StartDaemon, s3: S3Server, tmp_path: Path
) -> None:
    environ = bucket_environ(s3, "daemon", EXAI_FILES__KEEP_FREE_BYTES="0")
    async with start_daemon(**environ) as daemon, aiohttp.ClientSession() as http:
        put = await http.put(f"{base(daemon)}/files/sha256/{DIGEST}", data=io.BytesIO(CONTENT))
        assert put.status == 201
        file_id = (await put.json())["id"]
    [copy] = [file for file in (tmp_path / "data" / "files").rglob("*") if file.is_file()]
    assert copy.parent.parent.name == "copies"
    copy.write_bytes(CONTENT[:-1] + b"?")
    async with start_daemon(**environ) as daemon, aiohttp.ClientSession() as http:
        got = await http.get(f"{base(daemon)}/files/{file_id}/content")
        assert hashlib.sha256(await got.read()).hexdigest() == DIGEST


async def test_a_bucket_without_its_extra_is_refused_at_the_start(
    start_in_process: StartInProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_module, "find_spec", lambda _: None)
    with pytest.raises(StartFault, match=r"pip install 'exai\[s3\]'"):
        async with start_in_process(EXAI_FILES__STORE="s3://bucket"):
            pass


async def findings(home: Path, **environ: str) -> list[Finding]:
    given = {"HOME": str(home), "EXAI_DATA_DIR": str(home / "data"), "KIMI_API_KEY": "k", **environ}
    loaded = load(environ=given, config_file=None, overrides=["server.port=0"], cwd=home)
    found = await run_checks(loaded, SystemClock(), offline=False)
    return [each for each in found if each.check == "file store"]


async def test_the_doctor_asks_the_bucket(tmp_path: Path, s3: S3Server) -> None:
    environ: dict[str, Any] = bucket_environ(s3, "doctor", EXAI_FILES__KEEP_FREE_BYTES="0")
    room, bucket = await findings(tmp_path, **environ)
    assert (room.state, bucket.state) == (State.OK, State.OK)
    _, bucket = await findings(tmp_path, **{**environ, "EXAI_FILES__S3__SECRET_ACCESS_KEY": "another-secret"})
    assert bucket.state is State.PROBLEM
    assert "refuses the key" in bucket.message
    assert "another-secret" not in str(bucket)


async def test_the_doctor_names_the_missing_extra_and_the_missing_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [found] = await findings(tmp_path, EXAI_FILES__KEEP_FREE_BYTES=str(2**60))
    assert found.state is State.PROBLEM
    monkeypatch.setattr("exai.cli.doctor.files.find_spec", lambda _: None)
    [found] = await findings(tmp_path, EXAI_FILES__STORE="s3://bucket")
    assert found.state is State.PROBLEM
    assert found.fix == "Run `pip install 'exai[s3]'`."
