"""What the extracting process makes of documents, and how it ends."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest

from exai.files.documents.extraction import PROGRAMS, extracting
from exai.files.documents.verdict import Verdict
from exai.files.faults import DocumentUnreadable, FileTooLarge
from support import documents as written
from support.document_parts import archive_of, docx_of, pdf_of, pptx_of, scan, xlsx_of
from support.shelves import pieces


async def extracted(method: str, document: bytes) -> tuple[str, Verdict]:
    """Extract a document as the daemon does."""
    async with extracting(method, len(document), pieces(document)) as extraction:
        text = b"".join([block async for block in extraction.text()]).decode()
        return text, await extraction.verdict()


def children() -> list[psutil.Process]:
    """The extracting processes of this one."""
    return [each for each in psutil.Process().children() if {*PROGRAMS.values()} & {*each.cmdline()}]


async def test_the_pages_of_a_pdf_are_marked() -> None:
    text, verdict = await extracted("pdfium", pdf_of(["Sum (net)", "12 EUR"], ["second"]))
    assert text.split("\n") == ["[page 1]", "Sum (net)", "12 EUR", "[page 2]", "second", ""]
    assert verdict == Verdict(pages=2)


async def test_a_docx_is_read_by_paragraphs_and_rows() -> None:
    def cell(text: str) -> str:
        return f"<w:tc><w:p><w:r><w:t>{text}</w:t></w:r></w:p></w:tc>"

    table = f"<w:tbl><w:tr>{cell('a')}{cell('b')}</w:tr><w:tr>{cell('c')}{cell('d')}</w:tr></w:tbl>"
    notes = '<w:footnotes xmlns:w="x"><w:p><w:t>see page 3</w:t></w:p></w:footnotes>'
    text, _ = await extracted("ooxml", docx_of("First & last", "<two>", body=table, footnotes=notes))
    assert text.split("\n") == [
        "First & last",
        "<two>",
        "a \tb \t",
        "c \td \t",
        "[footnotes]",
        "see page 3",
        "",
    ]


async def test_what_a_docx_says_twice_or_has_deleted_is_read_once() -> None:
    body = (
        '<w:p xmlns:mc="m"><mc:AlternateContent><mc:Choice><w:t>shape</w:t></mc:Choice>'
        "<mc:Fallback><w:t>shape</w:t></mc:Fallback></mc:AlternateContent>"
        "<w:del><w:r><w:delText>gone</w:delText></w:r></w:del></w:p>"
    )
    assert (await extracted("ooxml", docx_of(body=body)))[0] == "shape\n"


async def test_the_cells_of_an_xlsx_stand_in_their_rows_and_columns() -> None:
    rows = (
        '<row r="2"><c r="A2" t="s"><v>1</v></c><c r="C2"><v>4.5</v></c></row>'
        '<row r="9"><c r="A9" s="1"><v>46000</v></c><c r="B9" s="2"><v>46000.5</v></c>'
        '<c r="C9" t="b"><v>1</v></c><c r="D9" t="inlineStr"><is><t>two\nlines</t></is></c></row>'
    )
    styles = (
        '<numFmts><numFmt numFmtId="170" formatCode="dd.mm.yyyy hh:mm"/></numFmts>'
        '<cellStyleXfs><xf numFmtId="14"/></cellStyleXfs>'
        '<cellXfs><xf numFmtId="0"/><xf numFmtId="14"/><xf numFmtId="170"/></cellXfs>'
    )
    text, verdict = await extracted("ooxml", xlsx_of({"Costs": rows, "Empty": ""}, ["no", "Rent"], styles))
    assert text.split("\n") == [
        "[sheet Costs]",
        "2\tRent\t\t4.5",
        "9\t2025-12-09\t2025-12-09 12:00:00\tTRUE\ttwo lines",
        "[sheet Empty]",
        "",
    ]
    assert verdict.pages == 2


async def test_the_slides_of_a_pptx_are_read_in_their_order_with_their_notes() -> None:
    text, verdict = await extracted("ooxml", pptx_of(["Hello", "World"], {2: "Wave."}))
    assert text.split("\n") == [
        "[slide 1]",
        "Hello",
        "[slide 2]",
        "World",
        "[notes of slide 2]",
        "Wave.",
        "",
    ]
    assert verdict.pages == 2


async def test_documents_that_other_programs_wrote_are_read() -> None:
    entries = written.numbered(60)
    text, verdict = await extracted("pdfium", written.pdf_of(entries))
    assert [line for line in text.split("\n") if line.startswith("entry")] == entries
    assert verdict.pages == 2
    assert (await extracted("ooxml", written.docx_of(entries)))[0].rstrip("\n").split("\n") == entries
    rows = [("name", "sum", "day"), ("rent", 4.5, datetime(2026, 3, 1, tzinfo=UTC).replace(tzinfo=None))]
    text, _ = await extracted("ooxml", written.xlsx_of(rows))
    assert text.startswith("[sheet Ledger]\n1\tname\tsum\tday\n2\trent\t4.5\t2026-03-01\n")
    text, _ = await extracted("ooxml", written.pptx_of(["one", "two"]))
    assert text.split() == ["[slide", "1]", "one", "[slide", "2]", "two"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
async def test_wide_text_is_read_as_its_mark_says(encoding: str) -> None:
    text = "zwölf 🎉\n" * 200_000
    assert (await extracted("wide", text.encode(encoding)))[0] == text


BODIES = "<w:p><w:r><w:t>{}</w:t></w:r></w:p>"
REFUSED = {
    "scan": ("pdfium", scan(), "no_text"),
    "pdf of nothing": ("pdfium", b"%PDF-1.7\n" + b"\0" * 5_000, "damaged"),
    "pdf that is cut": ("pdfium", pdf_of(["x"])[:150], "damaged"),
    "docx that is cut": ("ooxml", docx_of("x" * 5_000)[:-60], "damaged"),
    "docx with an entity": (
        "ooxml",
        archive_of({"word/document.xml": '<!DOCTYPE d [<!ENTITY a "aaaa">]><d>&a;</d>'}),
        "damaged",
    ),
    "docx that names a file": (
        "ooxml",
        archive_of({"word/document.xml": '<!DOCTYPE d SYSTEM "file:///etc/passwd"><d/>'}),
        "damaged",
    ),
    "docx that is no xml": ("ooxml", archive_of({"word/document.xml": "<w:p>"}), "damaged"),
    "docx that unpacks to much": ("ooxml", docx_of(body=BODIES.format(" " * 30_000_000 + "x")), "bomb"),
    "docx of many members": (
        "ooxml",
        archive_of({"word/document.xml": "<d/>", **{f"{n}": "" for n in range(2_001)}}),
        "bomb",
    ),
    "docx that is deep": ("ooxml", archive_of({"word/document.xml": "<a>" * 5_000}), "bomb"),
    "another archive": ("ooxml", archive_of({"a.txt": "text"}), "archive"),
    "half of utf-16": ("wide", "text".encode("utf-16") + b"\xd8", "damaged"),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_what_has_no_text_is_refused_with_the_reason(name: str) -> None:
    method, document, why = REFUSED[name]
    _, verdict = await extracted(method, document)
    assert verdict.refused == why
    assert children() == []


async def test_the_text_ends_at_its_bound_and_says_so() -> None:
    paragraph = os.urandom(500_000).hex()
    text, verdict = await extracted("ooxml", docx_of(*[paragraph] * 21))
    assert len(text) == 20_000_000
    assert verdict.cut == "the text ends after 20,000,000 characters"


async def test_a_document_that_is_too_large_is_not_begun() -> None:
    with pytest.raises(FileTooLarge, match="268,435,456"):
        async with extracting("pdfium", 2**28 + 1, pieces(b"")):
            pass
    assert children() == []


async def test_a_cancelled_extraction_leaves_no_process() -> None:
    begun = asyncio.Event()

    async def stalled() -> AsyncIterator[bytes]:
        yield b"%PDF-"
        begun.set()
        await asyncio.Event().wait()

    async def run() -> None:
        async with extracting("pdfium", 10_000, stalled()) as extraction:
            await extraction.verdict()

    task = asyncio.get_running_loop().create_task(run())
    await begun.wait()
    assert len(children()) == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert children() == []


async def test_a_process_that_dies_makes_the_document_unreadable() -> None:
    async with extracting("pdfium", 10_000, pieces(b"%PDF-")) as extraction:  # the rest never comes
        assert [block async for block in extraction.text()] == []
        with pytest.raises(DocumentUnreadable, match="store its text"):
            await extraction.verdict()
    assert children() == []


PROBE = """
import os, sys
from exai.files.documents import child
child.CPU_S = 1
child._limit()
{}
"""


@pytest.mark.parametrize("program", ["while True: pass", "data = bytearray(2**30)"], ids=["time", "memory"])
def test_the_process_keeps_its_own_bounds(program: str, tmp_path: Path) -> None:
    began = time.monotonic()
    ended = subprocess.run(
        [sys.executable, "-I", "-c", PROBE.format(program)],
        capture_output=True,
        env={},
        cwd=tmp_path,
        check=False,
    )
    assert ended.returncode != 0
    assert time.monotonic() - began < 30


def test_the_process_loads_nothing_of_the_daemon() -> None:
    program = (
        f"import sys, {', '.join(PROGRAMS.values())};"
        "print([name for name in sys.modules if name.partition('.')[0] in {'pydantic', 'sqlalchemy', 'msgspec'}])"
    )
    ended = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, env={}, check=True)
    assert ended.stdout == b"[]\n"
