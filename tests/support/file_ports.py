"""The MCP port with a store of files behind it."""

import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from exai.auth.scopes import FILES
from exai.storage.database import Database
from exai.transports.files.door import FileDoor
from exai.transports.files.text import TextDoor
from exai.transports.files.tickets import TicketDoor
from exai.transports.files.trees import TreeDoor
from support.open_doors import Doors, open_doors
from support.scripted_authenticator import ScriptedAuthenticator
from support.shelves import OpenShelf, sha256_of

__all__ = ["FilePort", "Reply", "file_port"]


@dataclass
class Reply:
    """An answer, whole."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        """Its body."""
        answer: dict[str, Any] = json.loads(self.body)
        return answer

    @property
    def code(self) -> str:
        """Of its error."""
        code: str = self.json["error"]["code"]
        return code


@dataclass
class FilePort:
    """A port that serves a store of files."""

    doors: Doors
    shelf: OpenShelf
    http: aiohttp.ClientSession
    authenticator: ScriptedAuthenticator

    @property
    def url(self) -> str:
        """Of the port."""
        return self.doors.http.removesuffix("/mcp")

    def token(self, subject: str = "alice") -> dict[str, str]:
        """A header by which a caller is let in."""
        return self.authenticator.issue(subject, subject, FILES)

    async def ask(
        self, method: str, path: str, subject: str = "alice", body: Any = None, **headers: str
    ) -> Reply:
        """Ask, with header fields whose names have underscores for hyphens."""
        if isinstance(body, bytes):
            body = io.BytesIO(body)
        fields = self.token(subject) | {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.http.request(method, self.url + path, data=body, headers=fields) as response:
            headers = {name.lower(): value for name, value in response.headers.items()}
            return Reply(response.status, headers, await response.read())

    async def put(self, content: bytes, name: str = "a.bin", subject: str = "alice") -> str:
        """Store a content; the id of its file."""
        reply = await self.ask("PUT", f"/files/sha256/{sha256_of(content)}?name={name}", subject, content)
        assert reply.status == 201
        file_id: str = reply.json["id"]
        return file_id


@asynccontextmanager
async def file_port(database: Database, folder: Path, **settings: object) -> AsyncIterator[FilePort]:
    """A port on a free address; `settings` are of the section `files`."""
    shelf, authenticator = OpenShelf(database, folder, **settings), ScriptedAuthenticator()
    routes = [
        *FileDoor(shelf.shelf, shelf.uploads, shelf.settings).routes(FILES),
        *TreeDoor(shelf.snapshots, shelf.shelf).routes(FILES),
        *TextDoor(shelf.text).routes(FILES),
        *TicketDoor(shelf.tickets, authenticator.attempts, shelf.settings).routes(),
    ]
    async with (
        open_doors(judge=authenticator, further=routes) as doors,
        aiohttp.ClientSession() as http,
    ):
        yield FilePort(doors, shelf, http, authenticator)
