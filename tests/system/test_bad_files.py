"""Bad input about files: what answers it, by each way in. Here are the rows that need a daemon and a provider.

The ways are HTTP (`/files`), the tool (`files`, `chat`), the command (`exai files`), and the bridge (`exai connect`).
Where a cell is empty there is no such way: the bridge sends by tus, and only the tool and the command send to a
provider on purpose. Modules are below `tests`.

=============================  ===================================================================================
input                          tests, by the way in
=============================  ===================================================================================
outside roots, link, device,   tool: `files/paths/test_file_reader`, `test_walk`, `test_link_races`,
FIFO, `..`, NUL                `tools/test_files_tool`; command: `cli/test_files_command` (FIFO, folder, missing);
                               HTTP (names of forms): `transports/files/test_hostile_uploads`;
                               bridge: `client/test_carried_files`
another owner's, unknown id    HTTP: `transports/files/test_file_door`, `test_refusals`; tool: `tools/test_files_tool`,
                               `consulting/files/test_shown_files`; resources: `transports/files/test_file_resources`;
                               all four: here
larger than declared, limit,   HTTP: `transports/files/test_refusals`, `test_tus`; tool: `tools/test_files_tool`;
quota, free space              command: `cli/test_files_command`; bridge: `client/test_carried_files`
shorter, aborted, stalled      HTTP: `transports/files/test_hostile_uploads`, `test_tus`; bridge (cut connections):
                               `client/test_carried_files`
digest differs                 HTTP: `transports/files/test_file_door`, `test_tus`; bridge (a file that changes while
                               it is sent): `client/test_carried_files`
wrong offset, second `PATCH`,  HTTP: `transports/files/test_tus`, `test_refusals`
expired, finished
empty                          stored: `transports/files/test_file_door`, `files/store/test_shelf`; for providers,
                               tool, command and bridge: here
type not taken by the model    tool: `consulting/files/test_shown_files`, `test_attached_files`
larger than a provider takes   adapter: `providers/remote_files/test_remote_files`; tool by WebSocket and HTTP, command
                               and bridge: here
read-only, unreachable store   HTTP: `transports/files/test_refusals`; tool: `tools/test_files_tool`; command:
                               `cli/test_files_command`; bridge: `client/test_carried_files`
provider refuses, throttles,   adapter: `providers/remote_files/test_upload_faults`, `test_remote_files`; tool by
times out                      WebSocket and HTTP, command and bridge: here
secret found                   tool: `tools/test_files_tool`, `consulting/files/test_secrets_in_files`; command:
                               `cli/test_files_command`; bridge: `client/test_carried_files`
snapshot with bad paths        HTTP: `files/snapshots/test_manifests`, `transports/files/test_tree_door`
=============================  ===================================================================================
"""

import hashlib
import io
import json
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from mcp import StdioServerParameters

from exai_emulator import Emulator, Fault, FileState
from support.commands import Ended, run_exai
from support.daemons import EXAI, Daemon, StartDaemon, clean_environ
from support.foreign_clients import ForeignClient, python_client
from support.mcp_websocket import McpSocket, mcp_socket

pytestmark = pytest.mark.timeout(300)

PDF = b"%PDF-1.4\n"
GLM_MOST = 50 * 2**20
NOBODYS = f"file_{'0' * 32}"
REFUSALS = {
    "refuses": Fault(path="/files", times=None, status=400, body='{"error": {"message": "no"}}'),
    "throttles": Fault(path="/files", times=None, error="rate_limit_rpm"),
    "fails": Fault(path="/files", times=None, status=503),
    "cuts": Fault(path="/files", times=None, cut="reset", at="while_receiving", after_bytes=10),
}


@dataclass
class Ways:
    """A daemon, and what asks it for the same."""

    daemon: Daemon
    folder: Path
    environ: dict[str, str]
    http: aiohttp.ClientSession
    socket: McpSocket
    by_http: ForeignClient
    bridge: ForeignClient

    async def ask(self, method: str, path: str, body: bytes | None = None) -> tuple[int, Any]:
        """Ask the HTTP door."""
        data = None if body is None else io.BytesIO(body)
        address = self.daemon.mcp_http.removesuffix("/mcp") + path
        async with self.http.request(method, address, data=data) as answer:
            return answer.status, await answer.json()

    async def put(self, content: bytes, name: str) -> str:
        """Store a content over HTTP, and have it as a file of the folder; the id of the stored one."""
        (self.folder / name).write_bytes(content)
        path = f"/files/sha256/{hashlib.sha256(content).hexdigest()}?name={name}"
        status, entry = await self.ask("PUT", path, content)
        assert status in {200, 201}
        file_id: str = entry["id"]
        return file_id

    async def command(self, *arguments: str) -> tuple[int, str]:
        """Run a command on the daemon's data; its exit code, and what it says of errors."""
        ended = await run_exai(*arguments, env=self.environ, cwd=self.folder)
        return ended.code, ended.notes

    async def sent(self, file_id: str, name: str, to: str) -> dict[str, str]:
        """Have a file sent to a provider by every way; what each says of its refusal."""
        arguments = {"action": "send", "id": file_id, "provider": to}
        result = await self.socket.tool("files", arguments)
        http = await self.by_http.call("files", arguments)
        bridge = await self.bridge.call(
            "files", {"action": "put", "path": str(self.folder / name), "provider": to}
        )
        code, command = await self.command("files", "send", file_id, "--to", to)
        assert (result["isError"], http.is_error, bridge.is_error, code) == (True, True, True, 1)
        return {
            "tool": result["content"][0]["text"],
            "http": http.text,
            "bridge": bridge.text,
            "command": command,
        }


@asynccontextmanager
async def opened(start_daemon: StartDaemon, tmp_path: Path, environ: dict[str, str]) -> AsyncIterator[Ways]:
    folder = tmp_path / "project"
    folder.mkdir()
    async with AsyncExitStack() as stack:
        daemon = await stack.enter_async_context(
            start_daemon(EXAI_FILES__KEEP_FREE_BYTES="0", EXAI_FILES__ROOTS=json.dumps([str(folder)]))
        )
        program, *arguments = EXAI
        connect = StdioServerParameters(
            command=program,
            args=[*arguments, "connect", daemon.mcp_ws, "--files"],
            env=clean_environ(tmp_path / "client"),
            cwd=folder,
        )
        version = "2025-11-25"
        yield Ways(
            daemon,
            folder,
            clean_environ(tmp_path / "data", environ),
            await stack.enter_async_context(aiohttp.ClientSession()),
            await stack.enter_async_context(mcp_socket(daemon.mcp_ws)),
            await stack.enter_async_context(
                python_client(daemon.mcp_http, mode="legacy", expected_version=version)
            ),
            await stack.enter_async_context(python_client(connect, mode="legacy", expected_version=version)),
        )


@pytest.fixture
def opening(
    start_daemon: StartDaemon, tmp_path: Path, provider_environ: dict[str, str]
) -> AbstractAsyncContextManager[Ways]:
    """The ways, to be opened by the test: clients end in the task in which they began."""
    return opened(start_daemon, tmp_path, provider_environ)


async def test_what_a_provider_does_not_take_is_refused_with_its_limit_and_nothing_is_sent(
    opening: AbstractAsyncContextManager[Ways], emulator: Emulator
) -> None:
    async with opening as ways:
        large = await ways.put(PDF + bytes(GLM_MOST), "large.pdf")
        for way, said in (await ways.sent(large, "large.pdf", "glm")).items():
            for named in ("at most 50 MB", "user_data", "docs.z.ai", "Send a smaller one"):
                assert named in said, (way, said)
        empty = await ways.put(b"", "empty.txt")
        for to in ("glm", "kimi"):
            for way, said in (await ways.sent(empty, "empty.txt", to)).items():
                assert ("empty" in said) or ("takes no" in said), (way, said)
        assert list(emulator.held_files()) == []
        assert [request.path for request in emulator.log.requests if "files" in request.path] == []
        for file_id in (large, empty):
            _, entry = await ways.ask("GET", f"/files/{file_id}")
            assert entry["copies"] == [], "no copy was begun"


async def test_an_account_that_others_have_filled_is_told_by_every_way(
    opening: AbstractAsyncContextManager[Ways], emulator: Emulator
) -> None:
    emulator.accounts["kimi"].state.files = FileState(max_files=1)
    emulator.place_file("kimi", "other.txt", "file-extract", b"of somebody else")
    async with opening as ways:
        file_id = await ways.put(b"the plan\n", "plan.txt")
        for way, said in (await ways.sent(file_id, "plan.txt", "kimi")).items():
            assert "as many files as it may" in said, (way, said)
            assert "`exai files check`" in said, (way, said)


@pytest.mark.parametrize("fault", REFUSALS)
async def test_a_fault_of_a_provider_is_its_own_by_every_way_and_passes(
    opening: AbstractAsyncContextManager[Ways], emulator: Emulator, fault: str
) -> None:
    async with opening as ways:
        file_id = await ways.put(b"the plan\n" * 100, "plan.txt")
        emulator.faults.add("kimi", REFUSALS[fault])
        for way, said in (await ways.sent(file_id, "plan.txt", "kimi")).items():
            assert "Kimi" in said, (way, said)
            assert "the plan" not in said
        _, entry = await ways.ask("GET", f"/files/{file_id}")
        assert {copy["status"] for copy in entry["copies"]} <= {"failed", "doubtful"}
        emulator.faults.clear()
        code, _ = await ways.command("files", "send", file_id, "--to", "kimi")
        assert code == 0
        assert len(list(emulator.held_files())) == 1


async def test_who_names_a_file_of_nobody_is_told_the_same_by_every_way(
    opening: AbstractAsyncContextManager[Ways],
) -> None:
    async with opening as ways:
        own = await ways.put(b"own", "own.txt")
        unknown = await ways.ask("GET", f"/files/{NOBODYS}")
        assert (unknown[0], unknown[1]["error"]["code"]) == (404, "unknown_file")
        for command in ("show", "get", "read", "rm", "proof"):
            code, said = await ways.command("files", command, NOBODYS)
            assert (code, "You have no file with this id" in said) == (1, True), (command, said)
        code, said = await ways.command("files", "send", NOBODYS, "--to", "kimi")
        assert (code, "You have no file with this id" in said) == (1, True), said
        asked = {"prompt": "What is it?", "absolute_file_paths": [own, NOBODYS]}
        for client in (ways.by_http, ways.bridge):
            assert f"`{NOBODYS}`" in (await client.call("chat", asked)).text
            shown = await client.call("files", {"action": "show", "id": NOBODYS})
            assert (shown.is_error, "You have no file with this id" in shown.text) == (True, True)


async def test_a_foreign_file_is_unknown_to_commands_by_an_identity_and_by_an_owner(
    start_daemon: StartDaemon, tmp_path: Path, provider_environ: dict[str, str]
) -> None:
    """In the words and with the exit code of a file of nobody; the owner still has it."""
    environ = clean_environ(tmp_path / "data", {**provider_environ, "EXAI_AUTH__MODE": "required"})

    async def run(*arguments: str) -> Ended:
        return await run_exai(*arguments, env=environ, cwd=tmp_path)

    async with start_daemon(EXAI_AUTH__MODE="required") as daemon:
        as_: dict[str, tuple[str, ...]] = {}
        for name in ("alice", "bob"):
            saved = str(tmp_path / name)
            code, _, said = await run("token", "create", name, "--scope", "files", "--save", saved)
            assert code == 0, said
            as_[name] = ("--url", daemon.mcp_ws, "--credentials", saved)
        (tmp_path / "plan.txt").write_text("the plan\n")
        code, printed, said = await run("files", "put", str(tmp_path / "plan.txt"), "--json", *as_["alice"])
        assert code == 0, said
        hers = json.loads(printed)["files"][0]["id"]
        for command in ("show", "get", "read", "rm", "proof"):
            foreign = await run("files", command, hers, *as_["bob"])
            unknown = await run("files", command, NOBODYS, *as_["bob"])
            assert foreign[0] == unknown[0] == 1, (command, foreign)
            assert foreign[2].replace(hers, NOBODYS) == unknown[2], command
            assert "the plan" not in foreign[1] + foreign[2]
        owned = await run("files", "show", hers, "--owner", "bob")
        assert (owned[0], "You have no file with this id" in owned[2]) == (1, True), owned
        code, printed, _ = await run("files", "read", hers, *as_["alice"])
        assert (code, "the plan" in printed) == (0, True)
