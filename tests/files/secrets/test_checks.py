"""Documents that would leave as they are: looked through in all their parts, or kept here."""

import io
import re
import string
import zipfile
from pathlib import Path

import pytest
from sqlalchemy import select

from exai.files.documents.extraction import PROGRAMS
from exai.files.faults import SecretFound, SecretsUnchecked
from exai.files.secrets.checks import SecretCheck
from exai.files.secrets.scanner import SecretScanner
from exai.storage.database import Database
from exai.storage.files.scans import ScanTable
from exai.storage.schema import file_scans
from support.document_parts import archive_of, docx_of, pdf_of, pptx_of, scan, xlsx_of
from support.shelves import OpenShelf

pytestmark = pytest.mark.sqlite

PAT = "ghp_" + (string.ascii_letters + string.digits)[:36]
ROW = '<row r="1"><c r="A1"><v>1</v></c></row>'
HIDDEN = {
    "word/frames.xml": docx_of("one", frames=f"<d><p><t>{PAT[:9]}</t><t>{PAT[9:]}</t></p></d>"),
    "word/_rels/document.xml.rels": archive_of(
        {
            "[Content_Types].xml": "<Types/>",
            "word/document.xml": "<document><p><t>one</t></p></document>",
            "word/_rels/document.xml.rels": f'<R><Relationship Id="a" Target="https://example.org/{PAT}"/></R>',
        }
    ),
}


class Checked:
    """A shelf with a secret check over it."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.shelf = OpenShelf(database, folder)
        table, scanner = ScanTable(database), SecretScanner(uses_kingfisher=False)
        settings, clock = self.shelf.settings, self.shelf.clock
        self.secrets = SecretCheck(settings, self.shelf.text, table, scanner, clock)

    async def __call__(self, name: str, content: bytes, *, sends_secrets: bool = False) -> None:
        """Check a document."""
        file = await self.shelf.shelf.get("alice", await self.shelf.put("alice", name, content))
        await self.secrets.check_document("alice", file, name, sends_secrets=sends_secrets)


@pytest.fixture
def check(database: Database, tmp_path: Path) -> Checked:
    return Checked(database, tmp_path / "files")


def with_member(document: bytes, name: str, content: str) -> bytes:
    """A document with one member more."""
    with zipfile.ZipFile(io.BytesIO(document)) as archive:
        return archive_of({**{each: archive.read(each) for each in archive.namelist()}, name: content})


BOOK, DECK = xlsx_of({"S": ROW}), pptx_of(["one"])
LAID = f'<sld xmlns:a="x"><a:p><a:t>{PAT}</a:t></a:p></sld>'
HIDDEN |= {
    name: with_member(document, name, content)
    for name, document, content in (
        ("word/glossary/document.xml", docx_of("one"), f"<d><p><t>{PAT}</t></p></d>"),
        ("docProps/custom.xml", docx_of("one"), f"<p><property><lpwstr>{PAT}</lpwstr></property></p>"),
        ("xl/comments1.xml", BOOK, f"<c><comment><text><t>{PAT}</t></text></comment></c>"),
        ("xl/names.xml", BOOK, f"<w><definedName>{PAT}</definedName></w>"),
        ("xl/connections.xml", BOOK, f'<c><dbPr connection="Password={PAT};"/></c>'),
        ("ppt/slideLayouts/slideLayout1.xml", DECK, LAID),
        ("ppt/notesSlides/notesSlide9.xml", DECK, LAID),
        ("ppt/comments/comment1.xml", DECK, f"<c><cm><text>{PAT}</text></cm></c>"),
    )
}


@pytest.mark.parametrize("part", HIDDEN)
async def test_a_secret_in_any_part_keeps_a_document_here(part: str, check: Checked) -> None:
    with pytest.raises(SecretFound, match=rf"\(github-pat, in its part {re.escape(part)}\)") as caught:
        await check("a.docx", HIDDEN[part])
    assert PAT not in str(caught.value)
    await check("a.docx", HIDDEN[part], sends_secrets=True)


@pytest.mark.parametrize("part", ["header1", "footer2", "comments"])
async def test_a_secret_beside_the_text_is_found_in_what_models_are_shown(part: str, check: Checked) -> None:
    words = f"<d><p><t>{PAT[:9]}</t><t>{PAT[9:]}</t></p></d>"
    with pytest.raises(SecretFound, match=r"\(github-pat, in line 3 of its text\)"):
        await check("a.docx", docx_of("one", **{part: words}))
    with pytest.raises(SecretFound, match="github-pat"):
        await check("a.docx", docx_of(**{part: words}))


async def test_that_a_document_is_clean_in_all_parts_is_remembered(
    check: Checked, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = docx_of("one", header1="<hdr><p><t>two</t></p></hdr>")
    for _ in range(2):
        await check("a.docx", document)
        monkeypatch.setitem(PROGRAMS, "parts", "no.such.program")
    rules = await database.read(lambda connection: list(connection.scalars(select(file_scans.c.rules))))
    assert sorted(rules) == ["1", "1/parts-1"]


@pytest.mark.parametrize(
    ("document", "says"),
    [
        (docx_of("x" * 9_000)[:-60], "It is broken"),
        (docx_of(body="<p><t>" + " " * 30_000_000 + "x</t></p>"), "It unpacks to more"),
        (with_member(docx_of("one"), "word/big.xml", " " * 30_000_000), "It unpacks to more"),
    ],
    ids=["broken", "too much", "too much in a part"],
)
async def test_a_document_that_cannot_be_looked_through_is_not_sent(
    document: bytes, says: str, check: Checked
) -> None:
    with pytest.raises(SecretsUnchecked, match=says) as caught:
        await check("a.docx", document)
    assert "give `send_secrets` with a token that has the scope `files:secrets`" in str(caught.value)
    await check("a.docx", document, sends_secrets=True)


async def test_a_document_of_which_only_the_beginning_was_read_is_not_sent(check: Checked) -> None:
    paragraph = ("".join(map(str, range(180_000))))[:1_000_000]
    with pytest.raises(SecretsUnchecked, match=r"ends after 20,000,000 characters\. Split it, or give"):
        await check("a.docx", docx_of(*[paragraph] * 22, f"the key is {PAT}"))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
async def test_a_secret_in_wide_text_keeps_it_here(encoding: str, check: Checked) -> None:
    await check("a.txt", "nothing\n".encode(encoding))
    with pytest.raises(SecretFound, match="in line 2 of its text"):
        await check("b.txt", f"one\n{PAT}\n".encode(encoding))


async def test_scans_are_sent(check: Checked) -> None:
    await check("a.pdf", scan())
    with pytest.raises(SecretFound, match="in line 2 of its text"):
        await check("a.pdf", pdf_of([PAT]))
