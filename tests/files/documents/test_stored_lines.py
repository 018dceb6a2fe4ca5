"""Stored text by lines."""

import os
import random
from pathlib import Path

import pytest

from exai.errors import BadArguments
from exai.files.documents.lines import BLOCK_BYTES, MOST_BYTES, MOST_LINES
from exai.files.faults import FileDamaged, UnknownFile
from exai.storage.database import Database
from support.document_parts import docx_of
from support.shelves import OpenShelf

pytestmark = pytest.mark.sqlite


@pytest.fixture
def shelf(database: Database, tmp_path: Path) -> OpenShelf:
    return OpenShelf(database, tmp_path / "files")


async def test_lines_are_numbered_and_end_where_asked(shelf: OpenShelf) -> None:
    file_id = await shelf.put("alice", "a.txt", b"one\ntwo\r\n\nfour")
    read = await shelf.text.read("alice", file_id)
    assert (read.lines, read.first, read.last, read.total) == (("one", "two", "", "four"), 1, 4, 4)
    assert (read.next_line, read.has_more, read.method) == (None, False, None)
    part = await shelf.text.read("alice", file_id, 2, 3)
    assert (part.lines, part.last, part.next_line, part.has_more) == (("two", ""), 3, None, True)
    assert part.numbered() == "   2│two\n   3│\n"
    assert (await shelf.text.read("alice", file_id, 4, 900)).lines == ("four",)


async def test_an_empty_text_has_no_lines(shelf: OpenShelf) -> None:
    read = await shelf.text.read("alice", await shelf.put("alice", "a.txt", b""))
    assert (read.lines, read.total, read.last, read.has_more) == ((), 0, 0, False)


@pytest.mark.parametrize(
    ("first", "last", "words"),
    [(0, None, "from 1"), (3, 2, "before the first"), (4, None, "has 3 lines; line 4"), (9, 12, "line 9")],
)
async def test_lines_that_are_not_there_are_refused(
    shelf: OpenShelf, first: int, last: int | None, words: str
) -> None:
    file_id = await shelf.put("alice", "a.txt", b"1\n2\n3\n")
    with pytest.raises(BadArguments, match=words):
        await shelf.text.read("alice", file_id, first, last)


async def test_a_long_text_is_read_in_parts_to_its_end(shelf: OpenShelf) -> None:
    expected = [f"line {n} " + "x" * (n % 90) for n in range(1, 60_001)]
    file_id = await shelf.put("alice", "a.txt", "\n".join(expected).encode())
    found: list[str] = []
    following: int | None = 1
    while following is not None:
        read = await shelf.text.read("alice", file_id, following)
        assert read.total == 60_000
        assert 1 <= len(read.lines) <= MOST_LINES
        found += read.lines
        following = read.next_line
    assert found == expected


async def test_any_line_of_a_large_text_is_found(shelf: OpenShelf) -> None:
    seed = int.from_bytes(os.urandom(4))
    chance = random.Random(seed)
    lengths = [chance.choice((0, 1, 30, 200, BLOCK_BYTES - 1, 70_000)) for _ in range(60)] * 3
    lines = [f"{n}".ljust(length, ".") for n, length in enumerate(lengths, 1)]
    file_id = await shelf.put("alice", "a.txt", "".join(f"{line}\n" for line in lines).encode())
    for number in (1, 2, len(lines), *chance.sample(range(1, len(lines) + 1), 60)):
        read = await shelf.text.read("alice", file_id, number, number)
        assert read.total == len(lines)
        wanted = lines[number - 1]
        assert read.lines == (wanted[:MOST_BYTES],), (seed, number)
        assert read.is_cut == (len(wanted) > MOST_BYTES)


async def test_lines_that_end_at_the_ends_of_blocks_are_found(shelf: OpenShelf) -> None:
    line = "a" * 1_023 + "\n"
    file_id = await shelf.put("alice", "a.txt", (line * 3_000).encode())
    for number in (1, 1_024, 1_025, 2_048, 2_049, 3_000):
        assert (await shelf.text.read("alice", file_id, number, number)).lines == (line[:-1],)


async def test_bytes_that_are_no_text_and_a_mark_at_the_beginning(shelf: OpenShelf) -> None:
    file_id = await shelf.put("alice", "a.txt", b"\xef\xbb\xbf" + b"a" * 5_000 + b"\n\xff\xfe caf\xe9\n")
    read = await shelf.text.read("alice", file_id)
    assert read.lines == ("a" * 5_000, "\\xff\\xfe caf\\xe9")


async def test_wide_text_and_documents_are_read_by_lines(shelf: OpenShelf) -> None:
    wide = await shelf.put("alice", "a.txt", "eins\nzwölf\n".encode("utf-16"))
    document = await shelf.put("alice", "a.docx", docx_of("eins", "zwei", "drei"))
    read = await shelf.text.read("alice", wide, 2)
    assert (read.lines, read.method, read.total) == (("zwölf",), "wide", 2)
    read = await shelf.text.read("alice", document, 3, 3)
    assert (read.lines, read.method, read.total, read.file.kind) == (("drei",), "ooxml", 3, "docx")


async def test_another_owners_file_is_unknown(shelf: OpenShelf) -> None:
    file_id = await shelf.put("alice", "a.txt", b"hers")
    with pytest.raises(UnknownFile) as foreign:
        await shelf.text.read("bob", file_id)
    with pytest.raises(UnknownFile) as unknown:
        await shelf.text.read("bob", "file_" + "0" * 32)
    assert str(foreign.value) == str(unknown.value)


async def test_damaged_text_is_noticed_before_a_line_is_shown(shelf: OpenShelf) -> None:
    file_id = await shelf.put("alice", "a.txt", b"line\n" * 300_000)
    (place,) = (file for file in (shelf.folder / "blobs").rglob("*") if file.is_file())
    content = bytearray(place.read_bytes())
    content[-3] ^= 1
    place.write_bytes(content)
    with pytest.raises(FileDamaged):
        await shelf.text.read("alice", file_id, 1, 1)
    assert (await shelf.shelf.get("alice", file_id)).is_damaged
