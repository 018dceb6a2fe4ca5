"""Nothing of a stored file in any log, metric, error or table, from upload to deletion, at the most talkative level.

Names are in the owner's answers and in the tables of files; what was shown to a model is in its conversation.
"""

import base64
import hashlib
import sqlite3
import zipfile
from contextlib import closing
from io import BytesIO
from pathlib import Path
from typing import Any

import aiohttp

from exai_emulator import Emulator, Fault
from support.daemons import Daemon, StartDaemon
from support.mcp_websocket import mcp_socket

CONTENT = "CANARYCONTENT"
NAME = "CANARYNAME"
EXTRACTED = "CANARYEXTRACTED"
METADATA = "CANARYMETADATA"
TABLES_WITH_NAMES = {"files", "file_uploads", "exchanges"}
TABLES_WITH_CONTENT = {"exchanges"}
"""A conversation keeps what was said in it, and that is the files that were shown too."""
LOUD = {"EXAI_LOGGING__LEVEL": "debug", "PYTHONASYNCIODEBUG": "1", "EXAI_FILES__KEEP_FREE_BYTES": "0"}
LARGE = 7 * 2**20


def document() -> bytes:
    """An Office document with a canary in its text and one in its properties."""
    made = BytesIO()
    word = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr("docProps/core.xml", f"<creator>{METADATA}</creator>")
        archive.writestr(
            "word/document.xml",
            f'<w:document xmlns:w="{word}"><w:body><w:p><w:r><w:t>{EXTRACTED}</w:t></w:r></w:p></w:body></w:document>',
        )
    return made.getvalue()


class Http:
    """Requests to the MCP port; every answer is read."""

    def __init__(self, daemon: Daemon, session: aiohttp.ClientSession) -> None:
        self._base = daemon.mcp_http.removesuffix("/mcp")
        self._session = session

    async def ask(self, method: str, path: str, **options: Any) -> tuple[int, bytes, dict[str, str]]:
        async with self._session.request(method, self._base + path, **options) as answer:
            body = await answer.read()
            return answer.status, body, {name.lower(): value for name, value in answer.headers.items()}

    async def put(self, content: bytes, name: str) -> str:
        digest = hashlib.sha256(content).hexdigest()
        status, body, _ = await self.ask(
            "PUT", f"/files/sha256/{digest}", params={"name": name}, data=BytesIO(content)
        )
        assert status == 201, body
        return body.decode().partition('"id":"')[2].partition('"')[0]


async def _use(http: Http, socket: Any, root: Path) -> None:
    """Put, list, read, ask about and remove files."""
    content = f"{CONTENT}\n".encode() * 2000
    text = await http.put(content, f"{NAME}.txt")
    office = await http.put(document(), f"{NAME}.docx")
    form = aiohttp.FormData({"file": BytesIO(content + b"x")})
    form.add_field("file", BytesIO(content + b"y"), filename=f"{NAME}.form")
    await http.ask("POST", "/files", data=form)
    metadata = f"filename {base64.b64encode(NAME.encode()).decode()},x {base64.b64encode(METADATA.encode()).decode()}"
    tus = {"Tus-Resumable": "1.0.0", "Upload-Length": str(len(content)), "Upload-Metadata": metadata}
    status, _, headers = await http.ask("POST", "/files", headers=tus)
    assert status == 201
    place = "/files/uploads/" + headers["location"].rpartition("/")[2]
    octets = {
        "Tus-Resumable": "1.0.0",
        "Content-Type": "application/offset+octet-stream",
        "Upload-Offset": "0",
    }
    await http.ask("PATCH", place, headers={**octets, "Upload-Offset": "7"}, data=content[7:])
    await http.ask("PATCH", place, headers=octets, data=content)
    for path in (
        "/files",
        f"/files?name={NAME}",
        f"/files/{text}",
        f"/files/{text}/content",
        f"/files/{NAME}",
    ):
        await http.ask("GET", path)
    for each in (text, office):
        await http.ask("GET", f"/files/{each}/text")
    (root / f"{NAME}.txt").write_text(CONTENT)
    for paths in ([str(root / f"{NAME}.txt")], [text], [office], [str(root / f"{NAME}-missing.txt")]):
        await socket.tool("chat", {"prompt": "what is it?", "model": "glm-5.3", "absolute_file_paths": paths})
    for action in ("list", "show", "read"):
        await socket.tool("files", {"action": action, "id": text})
    await socket.tool("files", {"action": "put", "path": str(root / f"{NAME}.txt")})
    for each in (text, office):
        assert (await http.ask("DELETE", f"/files/{each}"))[0] in {200, 202}
        await http.ask("GET", f"/files/{each}/proof")


async def _misuse(http: Http, socket: Any, emulator: Emulator, root: Path) -> None:
    """Send what is refused, broken off or not what it says."""
    wrong = hashlib.sha256(b"another").hexdigest()
    await http.ask("PUT", f"/files/sha256/{wrong}?name={NAME}", data=CONTENT.encode())
    await http.ask("PUT", f"/files/sha256/{NAME}", data=CONTENT.encode())
    await http.ask("POST", "/files", data=CONTENT.encode(), headers={"Content-Type": f"text/{NAME}"})
    await http.ask(
        "POST",
        "/files",
        data=f"--b\r\n{NAME}: {CONTENT}\r\n\r\n{CONTENT}".encode(),
        headers={"Content-Type": "multipart/form-data; boundary=b"},
    )
    await http.ask(
        "POST", "/files", headers={"Tus-Resumable": "1.0.0", "Upload-Metadata": f"{NAME} {CONTENT}"}
    )
    broken = f"%PDF-1.7 {CONTENT}".encode() + b"\xff" * 100
    damaged = await http.put(broken, f"{NAME}.pdf")
    await http.ask("GET", f"/files/{damaged}/text")
    emulator.faults.add(
        "glm", Fault(status=400, body=f'{{"error": {{"code": "1", "message": "{CONTENT}"}}}}')
    )
    await socket.tool(
        "chat",
        {"prompt": "what?", "model": "glm-5.3", "absolute_file_paths": [str(root / f"{NAME}.txt")]},
    )
    await socket.tool("files", {"action": "show", "id": NAME})


def _tables_with(database: Path, canary: str) -> set[str]:
    """The tables in which a canary is anywhere."""
    with closing(sqlite3.connect(database)) as connection:
        names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {
            name for name in names if canary in repr(connection.execute(f'SELECT * FROM "{name}"').fetchall())
        }


async def test_nothing_of_a_file_is_logged_measured_or_kept_elsewhere(
    start_daemon: StartDaemon, emulator: Emulator, tmp_path: Path
) -> None:
    root = tmp_path / "project"
    root.mkdir()
    async with (
        start_daemon(**LOUD, EXAI_FILES__ROOTS=f'["{root}"]') as daemon,
        mcp_socket(daemon.mcp_ws) as socket,
        aiohttp.ClientSession() as session,
    ):
        http = Http(daemon, session)
        await _use(http, socket, root)
        await _misuse(http, socket, emulator, root)
        async with session.get(f"{daemon.operations}/metrics") as answer:
            metrics = await answer.text()
        log = daemon.log
    for canary in (CONTENT, NAME, EXTRACTED, METADATA):
        assert canary not in log, log[log.index(canary) - 300 :][:600]
        assert canary not in metrics
    for data in (tmp_path / "data").glob("*.sqlite"):
        for canary in (CONTENT, EXTRACTED, METADATA):
            assert _tables_with(data, canary) <= TABLES_WITH_CONTENT
        assert _tables_with(data, NAME) <= TABLES_WITH_NAMES


async def test_a_large_upload_and_a_question_are_a_few_lines_of_log(start_daemon: StartDaemon) -> None:
    async with (
        start_daemon(EXAI_LOGGING__LEVEL="debug", EXAI_FILES__KEEP_FREE_BYTES="0") as daemon,
        mcp_socket(daemon.mcp_ws) as socket,
        aiohttp.ClientSession() as session,
    ):
        await socket.tool("chat", {"prompt": "what?", "model": "kimi-k3"})
        before = len(daemon.log)
        line = f"{CONTENT} and further words\n".encode()
        file_id = await Http(daemon, session).put(line * (LARGE // len(line)), f"{NAME}.txt")
        asked = {"prompt": "what is in line 3?", "model": "kimi-k3", "absolute_file_paths": [file_id]}
        await socket.tool("chat", asked)
        log = daemon.log[before:]
    assert len(log) < 2_000
    assert CONTENT not in log
    assert NAME not in log
