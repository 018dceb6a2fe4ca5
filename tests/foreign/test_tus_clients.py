"""Clients of tus that others wrote, before a daemon whose connections are cut and which is killed meanwhile."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tusclient.client import TusClient

from support.daemons import Daemon, daemon, free_port
from support.nodes import Node
from support.tcp_proxy import TcpProxy
from support.waiting import wait_until

MIB = 2**20
CONTENT = random.Random(11).randbytes(28 * MIB + 7)
SETTINGS = {"GLM_API_KEY": "id.secret", "EXAI_FILES__KEEP_FREE_BYTES": "0"}


class Line:
    """A daemon, and a connection to it that can be broken."""

    def __init__(self, data_dir: Path, stack: AsyncExitStack) -> None:
        self._data_dir = data_dir
        self._stack = stack
        self._port = free_port()
        self.proxy = TcpProxy("127.0.0.1", self._port)
        self.daemon: Daemon | None = None

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.proxy.port}/files"

    async def start(self) -> None:
        """Start a daemon at the same address as the one before."""
        environ: Mapping[str, str] = {"EXAI_SERVER__PORT": str(self._port), **SETTINGS}
        self.daemon = await self._stack.enter_async_context(daemon(data_dir=self._data_dir, environ=environ))

    async def kill(self) -> None:
        """End the daemon as `kill -9` does."""
        assert self.daemon is not None
        self.daemon.kill()
        await self.daemon.ended()

    def has_come(self, size: int) -> bool:
        parts = self._data_dir / "files" / "resumable"
        return parts.is_dir() and sum(part.stat().st_size for part in parts.iterdir()) >= size

    async def came(self, size: int) -> None:
        await wait_until(partial(self.has_come, size), what=f"{size // MIB} MiB came")

    async def file(self, file_id: str) -> tuple[dict[str, Any], bytes]:
        """What the daemon has."""
        async with aiohttp.ClientSession() as http:
            url = f"http://127.0.0.1:{self._port}/files/{file_id}"
            async with http.get(url) as entry, http.get(f"{url}/content") as content:
                return await entry.json(), await content.read()


@pytest.fixture
async def line(tmp_path: Path) -> AsyncIterator[Line]:
    async with AsyncExitStack() as stack:
        opened = Line(tmp_path / "data", stack)
        await opened.start()
        await opened.proxy.start()
        opened.proxy.delay_s = 0.01
        try:
            yield opened
        finally:
            await opened.proxy.stop()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "content.bin"
    path.write_bytes(CONTENT)
    return path


@pytest.mark.timeout(180)
@pytest.mark.parametrize("client", ["tus-js-client", "uppy"])
async def test_an_upload_goes_on_through_a_pause_cuts_and_a_killed_daemon(
    line: Line, node: Node, file: Path, client: str
) -> None:
    process = await asyncio.create_subprocess_exec(
        node.binary,
        node.folder / "tus_client.mjs",
        client,
        line.endpoint,
        file,
        env=node.environ(),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    await line.came(3 * MIB)
    line.proxy.cut()
    await line.came(7 * MIB)
    process.stdin.write(b"pause\n")
    await line.came(11 * MIB)
    await line.kill()
    line.proxy.cut()
    await line.start()
    await line.came(17 * MIB)
    line.proxy.cut()
    line.proxy.delay_s = 0.0
    async with asyncio.timeout(120):
        answer, _ = await process.communicate()
    entry, content = await line.file(json.loads(answer)["file"])
    assert content == CONTENT
    assert entry["name"] == "naïve.bin"


@pytest.mark.timeout(180)
async def test_tuspy_uploads_in_chunks_through_a_cut_and_a_killed_daemon(line: Line, file: Path) -> None:
    def upload() -> str:
        with file.open("rb") as stream:
            uploader: Any = TusClient(line.endpoint).uploader(
                file_stream=stream,
                chunk_size=2 * MIB,
                retries=60,
                retry_delay=1,
                metadata={"filename": "naïve.bin"},
                upload_checksum=True,
            )
            uploader.upload()
            return str(uploader.request.response_headers["exai-file"])

    uploading = asyncio.ensure_future(asyncio.to_thread(upload))
    await line.came(5 * MIB)
    line.proxy.cut()
    await line.came(9 * MIB)
    await line.kill()
    line.proxy.cut()
    await line.start()
    line.proxy.delay_s = 0.0
    entry, content = await line.file(await uploading)
    assert content == CONTENT
    assert entry["name"] == "naïve.bin"


async def test_curl_sends_what_the_manual_shows(line: Line, file: Path) -> None:
    create = ["-X", "POST", line.endpoint, "-H", f"Upload-Length: {len(CONTENT)}"]
    location = (await curl(*create))["location"]
    assert (await curl("-I", f"{line.endpoint}/uploads/{location.rpartition('/')[2]}"))[
        "upload-offset"
    ] == "0"
    line.proxy.delay_s = 0.0
    place = f"{line.endpoint}/uploads/{location.rpartition('/')[2]}"
    send = ["-X", "PATCH", place, "-H", "Upload-Offset: 0", "--data-binary", f"@{file}"]
    done = await curl(*send, "-H", "Content-Type: application/offset+octet-stream")
    assert (await line.file(done["exai-file"]))[1] == CONTENT


async def curl(*arguments: str) -> dict[str, str]:
    """The header fields of the last answer."""
    process = await asyncio.create_subprocess_exec(
        "curl", "-si", "-H", "Tus-Resumable: 1.0.0", *arguments, stdout=asyncio.subprocess.PIPE
    )
    answer, _ = await process.communicate()
    assert process.returncode == 0
    head = answer.decode().replace("\r", "").strip().rpartition("\n\n")[2]
    return {name.lower(): value for name, _, value in (each.partition(": ") for each in head.split("\n"))}
