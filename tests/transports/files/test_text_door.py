"""The text of stored files by lines, on a real port."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from exai.storage.database import Database
from support.file_ports import FilePort, file_port

pytestmark = pytest.mark.sqlite


@pytest.fixture
async def port(database: Database, tmp_path: Path) -> AsyncIterator[FilePort]:
    async with file_port(database, tmp_path / "files") as opened:
        yield opened


async def test_lines_come_with_their_numbers_page_by_page(port: FilePort) -> None:
    file_id = await port.put("".join(f"line {number}\n" for number in range(1, 3_001)).encode(), "a.txt")
    page = (await port.ask("GET", f"/files/{file_id}/text?from=9&to=10")).json
    assert (page["from"], page["to"], page["lines"], page["next"]) == (9, 10, 3_000, None)
    assert [line.split("│") for line in page["text"].splitlines()] == [
        ["   9", "line 9"],
        ["  10", "line 10"],
    ]
    first = (await port.ask("GET", f"/files/{file_id}/text")).json
    assert (first["from"], first["next"]) == (1, 2_001)
    rest = (await port.ask("GET", f"/files/{file_id}/text?from={first['next']}")).json
    assert (rest["to"], rest["next"]) == (3_000, None)


async def test_what_is_not_there_or_no_text_is_refused(port: FilePort) -> None:
    file_id = await port.put(b"one line\n", "a.txt")
    binary = await port.put(b"\0\1\2\3", "a.bin")
    for query in ("from=0", "to=0", "from=-1", "from=x", "from=2&to=1", "from=5", "from=" + "9" * 30):
        refused = await port.ask("GET", f"/files/{file_id}/text?{query}")
        assert (refused.status, refused.code) == (400, "bad_arguments"), query
    assert (await port.ask("GET", f"/files/{binary}/text")).status == 415
    foreign = await port.ask("GET", f"/files/{file_id}/text", "bob")
    unknown = await port.ask("GET", f"/files/file_{'0' * 32}/text", "bob")
    assert (foreign.status, foreign.body) == (unknown.status, unknown.body) == (404, unknown.body)
