"""Uploads by tickets, on a real port."""

import asyncio
import io
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from exai.files.faults import FileTooLarge
from exai.storage.database import Database
from exai.storage.schema import upload_tickets
from support.file_ports import FilePort, Reply, file_port
from support.shelves import sha256_of

CONTENT = b"held by a ticket\n" * 9_000
DIGEST = sha256_of(CONTENT)


@pytest.fixture
async def port(database: Database, tmp_path: Path) -> AsyncIterator[FilePort]:
    async with file_port(database, tmp_path / "files", max_upload_bytes=2**22) as opened:
        yield opened


async def send(port: FilePort, path: str, content: bytes = CONTENT, name: str = "sent.txt") -> Reply:
    form = aiohttp.FormData(quote_fields=False)
    form.add_field("file", io.BytesIO(content), filename=name)
    async with port.http.post(port.url + path, data=form) as response:
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Reply(response.status, headers, await response.read())


async def test_a_ticket_stores_one_file_of_its_owner_without_a_token(port: FilePort) -> None:
    ticket = await port.shelf.tickets.issue("alice", "named.txt", len(CONTENT), DIGEST)
    reply = await send(port, ticket.path)
    assert (reply.status, reply.json["name"], reply.json["sha256"]) == (201, "named.txt", DIGEST)
    assert (await port.ask("GET", f"/files/{reply.json['id']}/content")).body == CONTENT
    assert (await port.ask("GET", f"/files/{reply.json['id']}", "bob")).status == 404
    again = await send(port, ticket.path)
    assert (again.status, again.code) == (404, "unknown_ticket")


async def test_a_ticket_without_a_name_takes_the_one_that_is_sent(port: FilePort) -> None:
    ticket = await port.shelf.tickets.issue("alice")
    assert (await send(port, ticket.path, b"", "../empty")).json["name"] == "empty"


async def test_a_ticket_is_good_once_also_at_the_same_time(port: FilePort) -> None:
    ticket = await port.shelf.tickets.issue("alice")
    replies = await asyncio.gather(*(send(port, ticket.path, bytes([each])) for each in range(4)))
    # The three that come late are as many as may guess wrong within a minute here.
    assert sorted(reply.status for reply in replies) == [201, 404, 404, 404]
    assert len((await port.ask("GET", "/files")).json["files"]) == 1


async def test_tickets_that_are_not_good_are_answered_alike(port: FilePort) -> None:
    expired = await port.shelf.tickets.issue("alice")
    port.shelf.clock.advance(601)
    spent = await port.shelf.tickets.issue("alice")
    await send(port, spent.path)
    replies = [await send(port, path) for path in (expired.path, spent.path, "/files/tickets/" + "A" * 43)]
    assert {(reply.status, reply.body) for reply in replies} == {(404, replies[0].body)}
    assert len((await port.ask("GET", "/files")).json["files"]) == 1


async def test_a_file_that_is_not_the_one_asked_for_is_not_kept(port: FilePort) -> None:
    sized = await port.shelf.tickets.issue("alice", size=len(CONTENT))
    assert (await send(port, sized.path, CONTENT + b"x" * 100_000)).code == "length_wrong"
    assert (await send(port, sized.path, CONTENT[:-1])).code == "length_wrong"
    known = await port.shelf.tickets.issue("alice", sha256=DIGEST)
    assert (await send(port, known.path, b"other")).code == "digest_differs"
    assert (await port.ask("GET", "/files")).json["files"] == []
    assert port.shelf.incoming == []
    assert (await port.shelf.tables.usage("alice")).bytes == 0
    with pytest.raises(FileTooLarge):
        await port.shelf.tickets.issue("alice", size=2**22 + 1)


async def test_what_is_no_form_spends_no_ticket(port: FilePort) -> None:
    ticket = await port.shelf.tickets.issue("alice")
    async with port.http.post(port.url + ticket.path, data=b"bytes") as response:
        assert response.status == 415
    assert (await send(port, ticket.path)).status == 201


async def test_guesses_are_limited_by_address(port: FilePort) -> None:
    statuses = set()
    for _ in range(200):
        reply = await send(port, "/files/tickets/guess", b"x")
        statuses.add(reply.status)
        if reply.status == 429:
            break
    assert statuses == {404, 429}


async def test_a_ticket_is_kept_hashed(port: FilePort, database: Database) -> None:
    ticket = await port.shelf.tickets.issue("alice")
    rows = await database.read(lambda connection: connection.execute(upload_tickets.select()).all())
    assert len(rows) == 1
    assert ticket.path.rpartition("/")[2] not in str(rows)
