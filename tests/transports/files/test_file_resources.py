"""Stored files as resources, read by the official client over HTTP in both revisions, and message by message."""

import asyncio
import base64
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import mcp_types as types
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.client.subscriptions import Subscription
from mcp.server.subscriptions import ToolsListChanged
from mcp.shared._httpx_utils import create_mcp_http_client
from mcp.shared.exceptions import MCPError

from exai.auth.scopes import FILES, STATUS
from exai.events.bus import EventBus
from exai.storage.database import Database
from exai.transports.files.changes import FileChanges
from exai.transports.files.resources import FileResources
from exai.transports.resources.handlers import Resources as HandlersOfResources
from support.mcp_websocket import mcp_socket
from support.open_doors import Doors, open_doors
from support.scripted_authenticator import ScriptedAuthenticator
from support.shelves import OpenShelf, sha256_of

pytestmark = pytest.mark.sqlite

HANDSHAKE, ENVELOPE = "2025-11-25", "2026-07-28"
MODES = {HANDSHAKE: "legacy", ENVELOPE: "auto"}
NOT_FOUND = {HANDSHAKE: -32002, ENVELOPE: -32602}


@dataclass
class Resources:
    """The doors before a store, whose files are resources."""

    doors: Doors
    shelf: OpenShelf
    authenticator: ScriptedAuthenticator
    changes: FileChanges

    @asynccontextmanager
    async def client(self, subject: str, revision: str, scope: str = FILES) -> AsyncIterator[Client]:
        headers = self.authenticator.issue(f"{subject} {scope}", subject, scope)
        async with (
            create_mcp_http_client(headers=headers) as http,
            Client(streamable_http_client(self.doors.http, http_client=http), mode=MODES[revision]) as client,
        ):
            assert client.protocol_version == revision
            yield client


@pytest.fixture
async def resources(database: Database, tmp_path: Path) -> AsyncIterator[Resources]:
    bus, authenticator = EventBus(), ScriptedAuthenticator()
    shelf, changes = OpenShelf(database, tmp_path / "files"), FileChanges(bus)
    shelf.publish_to(bus)
    served = HandlersOfResources([FileResources(shelf.shelf, shelf.text)], changes.listen)
    async with open_doors(judge=authenticator, extend=[served.add_to]) as doors:
        yield Resources(doors, shelf, authenticator, changes)


@pytest.mark.parametrize("revision", MODES)
async def test_ones_files_are_listed_in_pages_and_read(resources: Resources, revision: str) -> None:
    content = os.urandom(1_000)
    text = await resources.shelf.put("alice", "notes.md", "three herons ü\n".encode())
    blob = await resources.shelf.put("alice", "data.bin", content)
    await resources.shelf.put("bob", "bobs.txt", b"not hers")
    async with resources.client("alice", revision) as client:
        capabilities = client.server_capabilities.resources
        assert capabilities is not None
        assert bool(capabilities.subscribe) is (revision == ENVELOPE)
        listed = {each.name: each for each in (await client.list_resources()).resources}
        assert set(listed) == {"notes.md", "data.bin"}
        notes = listed["notes.md"]
        assert (notes.uri, notes.mime_type, notes.size) == (
            f"exai://files/{text}",
            "text/plain; charset=utf-8",
            16,
        )
        (read,) = (await client.read_resource(notes.uri)).contents
        assert isinstance(read, types.TextResourceContents)
        assert (read.uri, read.text) == (notes.uri, "three herons ü\n")
        (read_blob,) = (await client.read_resource(f"exai://files/{blob}")).contents
        assert isinstance(read_blob, types.BlobResourceContents)
        assert base64.b64decode(read_blob.blob) == content
        (lines,) = (await client.read_resource(f"{notes.uri}/lines/1-1")).contents
        assert isinstance(lines, types.TextResourceContents)
        assert lines.text == "   1│three herons ü\n"
        with pytest.raises(MCPError, match="1 lines"):
            await client.read_resource(f"{notes.uri}/lines/2-3")
        with pytest.raises(MCPError, match="no text"):
            await client.read_resource(f"exai://files/{blob}/lines/1-3")
        templates = (await client.list_resource_templates()).resource_templates
        assert [each.uri_template for each in templates] == [
            "exai://files/{id}",
            "exai://files/{id}/lines/{from}-{to}",
        ]


async def test_a_long_list_has_pages(resources: Resources) -> None:
    for number in range(103):
        await resources.shelf.put("alice", f"{number}.txt", str(number).encode())
        resources.shelf.clock.advance(1)
    async with resources.client("alice", ENVELOPE) as client:
        first = await client.list_resources()
        second = await client.list_resources(cursor=first.next_cursor)
        names = [each.name for each in (*first.resources, *second.resources)]
        assert names == [f"{number}.txt" for number in range(102, -1, -1)]
        assert (len(first.resources), second.next_cursor) == (100, None)
        for cursor in ("a b", f"file_{'0' * 32}"):
            with pytest.raises(MCPError, match="cursor"):
                await client.list_resources(cursor=cursor)


@pytest.mark.parametrize("revision", MODES)
async def test_what_is_not_ones_own_is_not_there(resources: Resources, revision: str) -> None:
    file_id = await resources.shelf.put("alice", "notes.md", b"hers")
    async with resources.client("bob", revision) as client:
        assert (await client.list_resources()).resources == []
        said = set()
        for uri in (
            f"exai://files/{file_id}",
            "exai://files/file_0",
            f"exai://files/{'0' * 32}",
            f"exai://files/{file_id}/lines/1-2",
            f"exai://files/{file_id}/lines/900-999999999999",
            "exai://files/file_0/lines/900-999999999999",
        ):
            with pytest.raises(MCPError) as refused:
                await client.read_resource(uri)
            assert refused.value.code == NOT_FOUND[revision]
            said.add(str(refused.value))
        assert len(said) == 1
    await resources.shelf.shelf.remove("alice", file_id)
    async with resources.client("alice", revision) as client:
        for uri in (f"exai://files/{file_id}", f"exai://files/{file_id}/lines/1-1"):
            with pytest.raises(MCPError) as refused:
                await client.read_resource(uri)
            said.add(str(refused.value))
        assert len(said) == 1, "what was removed is as if it had never been"
        for uri in ("file:///etc/passwd", "exai://files/", "exai://files/a/b", "nonsense"):
            with pytest.raises(MCPError) as refused:
                await client.read_resource(uri)
            assert refused.value.code == NOT_FOUND[revision], uri


async def test_ranges_of_lines_are_bounded_and_say_where_they_go_on(resources: Resources) -> None:
    text = "".join(f"line {number}\n" for number in range(1, 4_501))
    uri = f"exai://files/{await resources.shelf.put('alice', 'long.txt', text.encode())}"
    async with resources.client("alice", ENVELOPE) as client:
        (part,) = (await client.read_resource(f"{uri}/lines/3-999999999999")).contents
        assert isinstance(part, types.TextResourceContents)
        assert part.text.startswith("   3│line 3\n")
        assert part.text.endswith(f"\n2002│line 2002\n[Goes on at {uri}/lines/2003-4500.]\n")
        (end,) = (await client.read_resource(f"{uri}/lines/4499-999999999999")).contents
        assert isinstance(end, types.TextResourceContents)
        assert end.text == "4499│line 4499\n4500│line 4500\n"
        for lines, says in (("0-1", "from 1"), ("9-2", "before the first"), ("4501-4502", "4,?500 lines")):
            with pytest.raises(MCPError, match=says):
                await client.read_resource(f"{uri}/lines/{lines}")


async def test_what_is_too_large_says_where_else_it_is_read(resources: Resources) -> None:
    file_id = await resources.shelf.put("alice", "large.bin", bytes(2**20 + 1))
    async with resources.client("alice", ENVELOPE) as client:
        with pytest.raises(MCPError) as refused:
            await client.read_resource(f"exai://files/{file_id}")
    for named in ("1,048,576", "action read", f"GET /files/{file_id}/content"):
        assert named in str(refused.value)


async def test_damage_is_told_and_noted(resources: Resources) -> None:
    file_id = await resources.shelf.put("alice", "a.txt", b"whole")
    digest = sha256_of(b"whole")
    (resources.shelf.folder / "blobs" / digest[:2] / digest[2:4] / digest).write_bytes(b"other")
    async with resources.client("alice", ENVELOPE) as client:
        with pytest.raises(MCPError, match="Store the same content again"):
            await client.read_resource(f"exai://files/{file_id}")
    assert (await resources.shelf.shelf.get("alice", file_id)).is_damaged


async def test_without_the_scope_there_are_none(resources: Resources) -> None:
    file_id = await resources.shelf.put("alice", "a.txt", b"a")
    headers = resources.authenticator.issue("few", "alice", STATUS)
    uri = f"exai://files/{file_id}"
    async with resources.client("alice", ENVELOPE, STATUS) as client:
        assert (await client.list_resources()).resources == []
    async with mcp_socket(resources.doors.ws, headers=headers) as socket:
        error = (await socket.request("resources/read", {"uri": uri}))["error"]
        data = {"code": "insufficient_scope", "retryable": False, "scope": FILES}
        assert (error["code"], error["data"]) == (-32007, data)
    message = {"jsonrpc": "2.0", "id": 1, "method": "resources/read", "params": {"uri": uri}}
    accept = {"Accept": "application/json, text/event-stream", **headers}
    async with (
        aiohttp.ClientSession() as http,
        http.post(resources.doors.http, json=message, headers=accept) as response,
    ):
        assert response.status == 403
        assert 'scope="files"' in response.headers["WWW-Authenticate"]


async def test_a_listener_hears_of_changes_of_its_own_files_alone(resources: Resources) -> None:
    shelf = resources.shelf
    file_id = await shelf.put("alice", "a.txt", b"a")
    async with (
        resources.client("alice", ENVELOPE) as alice,
        resources.client("bob", ENVELOPE) as bob,
        resources.client("carol", ENVELOPE, STATUS) as carol,
        alice.listen(
            tools_list_changed=True,
            resources_list_changed=True,
            resource_subscriptions=[f"exai://files/{file_id}"],
        ) as hers,
        bob.listen(tools_list_changed=True, resources_list_changed=True) as his,
        carol.listen(tools_list_changed=True, resources_list_changed=True) as none,
    ):
        await shelf.put("carol", "c.txt", b"c")
        await shelf.shelf.remove("alice", file_id)
        heard = {type(await _next(hers)).__name__, type(await _next(hers)).__name__}
        assert heard == {"ResourcesListChanged", "ResourceUpdated"}
        await shelf.put("bob", "b.txt", b"b")
        assert type(await _next(his)).__name__ == "ResourcesListChanged"
        await resources.changes.publish(ToolsListChanged())
        for subscription in (hers, his, none):
            assert type(await _next(subscription)).__name__ == "ToolsListChanged", "nothing came before it"


async def _next(subscription: Subscription) -> Any:
    return await asyncio.wait_for(anext(subscription), 10)
