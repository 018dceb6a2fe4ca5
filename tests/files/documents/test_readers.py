"""What the readers of documents make of cells, paragraphs and pages, and of what is damaged; in this process."""

import codecs
import random
from collections.abc import Callable

import pytest

from exai.files.documents import office, pdf
from exai.files.documents.office import extract_office
from exai.files.documents.pdf import extract_pdf
from exai.files.documents.verdict import Cut, Refused, TextSink, Verdict
from exai.files.documents.wide_text import extract_wide
from support.document_parts import archive_of, docx_of, pdf_of, pptx_of, xlsx_of
from support.hostile_documents import damaged_archive

Extract = Callable[[bytes, TextSink], Verdict]

MUTATIONS = 300
REASONS = {"damaged", "encrypted", "bomb", "archive"}
NOTES = '<w:{0}s xmlns:w="x"><w:p><w:t>{0}</w:t></w:p></w:{0}s>'


def read(extract: Extract, document: bytes, most: int = 1_000_000) -> tuple[str, Verdict]:
    written = bytearray()
    verdict = extract(document, TextSink(written.extend, most))
    return written.decode(), verdict


def cells(*rows: str, strings: tuple[str, ...] = (), styles: str = "") -> list[str]:
    """The lines of a sheet with these rows, as XML."""
    text, _ = read(extract_office, xlsx_of({"S": "".join(rows)}, strings, styles))
    return text.splitlines()[1:]


def test_prose_keeps_its_breaks_tabs_hyphens_and_notes() -> None:
    run = "<w:p><w:r><w:t>a</w:t><w:tab/><w:t>b</w:t><w:br/><w:t>c</w:t><w:noBreakHyphen/><w:t>d</w:t></w:r></w:p>"
    parts = {name: NOTES.format(name.removesuffix("s")) for name in ("footnotes", "endnotes", "comments")}
    text, _ = read(extract_office, docx_of(body=run, **parts))
    assert text == "a\tb\nc-d\n[footnotes]\nfootnote\n[endnotes]\nendnote\n[comments]\ncomment\n"


def test_headers_and_footers_stand_behind_the_text_each_once() -> None:
    head = '<w:hdr xmlns:w="x"><w:p><w:t>{}</w:t></w:p></w:hdr>'
    parts = {
        "footer1": head.format("secret of Acme"),
        "header10": head.format("Chapter 2"),
        "header2": head.format("Chapter 1"),
        "header3": head.format("Chapter 1"),
        "header4": head.format(""),
        "footnotes": NOTES.format("footnote"),
    }
    text, _ = read(extract_office, docx_of("body", **parts))
    assert text == (
        "body\n[header]\nChapter 1\n[header]\nChapter 2\n[footer]\nsecret of Acme\n[footnotes]\nfootnote\n"
    )


@pytest.mark.parametrize(
    ("extract", "document"),
    [
        (extract_office, docx_of(header1='<w:hdr xmlns:w="x"><w:p><w:t>head</w:t></w:p></w:hdr>')),
        (extract_pdf, pdf_of([], annotations=[b"<< /Type /Annot /Subtype /Text /Contents (note) >>"])),
    ],
)
def test_what_stands_beside_the_pages_of_a_scan_makes_no_text_of_them(
    extract: Extract, document: bytes
) -> None:
    written = bytearray()
    sink = TextSink(written.extend)
    extract(document, sink)
    assert len(written) > len("[page 1]\n")
    assert not sink.has_text


def test_comments_of_pages_stand_behind_their_page_as_they_are_written() -> None:
    annotations = [
        b"<< /Type /Annot /Subtype /Text /Rect [0 0 9 9] /Contents (Is this\\nright?) >>",
        b"<< /Type /Annot /Subtype /Highlight /Rect [0 0 9 9] /Contents <FEFF00FC00620065007200200032D83DDE00> >>",
        b"<< /Type /Annot /Subtype /Link /Rect [0 0 9 9] /Contents (link) >>",
        b"<< /Type /Annot /Subtype /Text /Rect [0 0 9 9] >>",
        b"<< /Type /Annot /Subtype /Text /Contents 99 0 R >>",
        b"42",
    ]
    text, verdict = read(extract_pdf, pdf_of(["a"], ["b"], annotations=annotations))
    comments = "[comments of page {}]\nIs this right?\nüber 2😀\n"
    assert text == f"[page 1]\na\n{comments.format(1)}[page 2]\nb\n{comments.format(2)}"
    assert verdict.pages == 2


def test_comments_of_slides_stand_behind_their_notes() -> None:
    older = '<p:cmLst xmlns:p="x"><p:cm><p:pos x="1"/><p:text>Too long</p:text></p:cm></p:cmLst>'
    newer = (
        '<p188:cmLst xmlns:p188="x" xmlns:a="y"><p188:cm><p188:replyLst><p188:reply><p188:txBody><a:p><a:r><a:t>No'
        "</a:t></a:r></a:p></p188:txBody></p188:reply></p188:replyLst><p188:txBody><a:p><a:r><a:t>Agreed?</a:t></a:r>"
        "</a:p></p188:txBody></p188:cm></p188:cmLst>"
    )
    text, _ = read(extract_office, pptx_of(["one", "two"], {1: "say it"}, {1: older, 2: newer}))
    assert text == (
        "[slide 1]\none\n[notes of slide 1]\nsay it\n[comments of slide 1]\nToo long\n"
        "[slide 2]\ntwo\n[comments of slide 2]\nNo\nAgreed?\n"
    )


def test_headers_footers_and_comments_of_a_sheet_stand_behind_its_rows() -> None:
    margins = (
        "<headerFooter><oddHeader>&amp;L&amp;&quot;Arial,Bold&quot;&amp;14Q3 R&amp;&amp;D&amp;R&amp;KFF0000&amp;D"
        "</oddHeader><oddFooter>Page &amp;P of &amp;N</oddFooter><firstFooter>Page &amp;P of &amp;N</firstFooter>"
        "<evenHeader>&amp;C</evenHeader></headerFooter>"
    )
    further = {
        "xl/comments/comment1.xml": "<comments><commentList>"
        '<comment ref="B2"><text><r><t>Ask </t></r><r><t>Ann</t></r></text></comment>'
        '<comment ref="C3"><text><t>[Threaded comment] Why 7?</t></text></comment></commentList></comments>',
        "xl/threadedComments/threadedComment1.xml": "<ThreadedComments>"
        '<threadedComment ref="C3"><text>Why 7?</text></threadedComment>'
        '<threadedComment ref="C3"><text>Half of 14.</text></threadedComment></ThreadedComments>',
    }
    row = '<row r="1"><c r="A1"><v>1</v></c></row>'
    text, _ = read(extract_office, xlsx_of({"A": row, "B": row}, margins=margins, further=further))
    margin = "[header of sheet {0}]\nQ3 R&D\t(date)\n[footer of sheet {0}]\nPage (page) of (pages)\n"
    comments = "[comments of sheet A]\nC3\tWhy 7?\nC3\tHalf of 14.\nB2\tAsk Ann\n"
    assert text == (f"[sheet A]\n1\t1\n{margin.format('A')}{comments}[sheet B]\n1\t1\n{margin.format('B')}")


def test_a_break_inside_a_cell_does_not_end_its_row() -> None:
    cell = "<w:tc><w:p><w:t>a</w:t><w:br/><w:t>b</w:t></w:p></w:tc>"
    assert read(extract_office, docx_of(body=f"<w:tbl><w:tr>{cell}</w:tr></w:tbl>"))[0] == "a b \t\n"


def test_slides_without_a_member_are_left_out() -> None:
    document = pptx_of(["one", "two"], {1: "say it"})
    text, verdict = read(extract_office, document)
    assert text == "[slide 1]\none\n[notes of slide 1]\nsay it\n[slide 2]\ntwo\n"
    assert verdict == Verdict(pages=2)


def test_cells_without_references_follow_one_another() -> None:
    assert cells("<row><c><v>1</v></c><c><v>2</v></c></row>", "<row><c><v>3</v></c></row>") == [
        "1\t1\t2",
        "2\t3",
    ]


def test_a_reference_far_to_the_right_is_bounded() -> None:
    (line,) = cells('<row r="1"><c r="ZZZ1"><v>x</v></c></row>')
    assert line.count("\t") == 16_384


def test_rows_and_cells_without_a_value_are_left_out() -> None:
    assert cells(
        '<row r="1"><c r="A1"/></row>', '<row r="2"/>', '<row r="7"><c r="B7"><v>x</v></c></row>'
    ) == ["7\t\tx"]


@pytest.mark.parametrize(
    ("cell", "shown"),
    [
        ('t="s"><v>0</v>', "first of two"),
        ('t="s"><v>9</v>', None),
        ('t="s"><v>-1</v>', None),
        ('t="b"><v>0</v>', "FALSE"),
        ('t="e"><v>#DIV/0!</v>', "#DIV/0!"),
        ('t="str"><f>A1</f><v>made\tup</v>', "made up"),
        ('s="1"><v>0.5</v>', "12:00:00"),
        ('s="1"><v>1</v>', "1899-12-31"),
        ('s="1"><v>-3</v>', "-3"),
        ('s="1"><v>9999999</v>', "9999999"),
        ('s="1"><v>soon</v>', "soon"),
        ('s="2"><v>3.5</v>', "3.5"),
        ('s="x"><v>3.5</v>', "3.5"),
    ],
)
def test_a_cell_shows_what_a_reader_of_the_sheet_sees(cell: str, shown: str | None) -> None:
    styles = (
        '<numFmts><numFmt numFmtId="180" formatCode="h:mm"/><numFmt numFmtId="181" formatCode="0.0 &quot;days&quot;"/>'
        '</numFmts><cellXfs><xf numFmtId="0"/><xf numFmtId="180"/><xf numFmtId="181"/></cellXfs>'
    )
    lines = cells(f'<row r="1"><c r="A1" {cell}</c></row>', strings=("first\nof two",), styles=styles)
    assert lines == ([] if shown is None else [f"1\t{shown}"])


def test_phonetic_readings_are_no_part_of_a_text() -> None:
    members = {
        "xl/workbook.xml": '<workbook xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships">'
        '<sheets><sheet name="S" r:id="a"/><sheet name="gone" r:id="b"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": '<Relationships><Relationship Id="a" Target="/xl/one.xml"/>'
        '<Relationship Id="b" Target="http://x" TargetMode="External"/></Relationships>',
        "xl/sharedStrings.xml": "<sst><si><r><t>To</t></r><r><t>kyo</t></r><rPh><t>toukyou</t></rPh></si></sst>",
        "xl/one.xml": '<worksheet><row r="1"><c r="A1" t="s"><v>0</v></c></row></worksheet>',
    }
    assert read(extract_office, archive_of(members)) == ("[sheet S]\n1\tTokyo\n", Verdict(pages=1))


def test_an_encrypted_member_is_told() -> None:
    document = bytearray(docx_of("x"))
    for at in (
        document.rfind(b"PK\x01\x02", 0, document.find(b"word/document.xml", document.find(b"PK\x01\x02"))),
    ):
        document[at + 8] |= 1  # the flag of the directory
    with pytest.raises(Refused, match="encrypted"):
        read(extract_office, bytes(document))


@pytest.mark.parametrize("big_endian", [False, True])
@pytest.mark.parametrize("bits", [16, 32])
def test_wide_text_is_read_in_the_order_of_its_mark(bits: int, *, big_endian: bool) -> None:
    order = "be" if big_endian else "le"
    mark = getattr(codecs, f"BOM_UTF{bits}_{order.upper()}")
    assert read(extract_wide, mark + "zwölf 🎉".encode(f"utf-{bits}-{order}"))[0] == "zwölf 🎉"
    with pytest.raises(Refused, match="damaged"):
        read(extract_wide, mark + "x".encode(f"utf-{bits}-{order}") + b"\xd8")


def test_a_pdf_of_too_many_pages_says_how_many_were_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pdf, "MOST_PAGES", 2)
    text, verdict = read(extract_pdf, pdf_of(["a"], ["b"], ["c"]))
    assert text == "[page 1]\na\n[page 2]\nb\n"
    assert verdict.pages == 3
    assert verdict.cut == "the document has 3 pages, of which 2 were read"


def test_a_page_that_is_broken_keeps_the_others_from_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = pdf_of(["a"], ["b"]).replace(b"/Type /Page /Parent", b"/Type /Nope /Parent", 1)
    text, verdict = read(extract_pdf, broken)
    assert text.endswith("[page 2]\nb\n")
    assert verdict.pages == 2


@pytest.mark.parametrize("document", [b"", b"%PDF-1.4\n", b"no document"])
def test_what_is_no_pdf_is_refused(document: bytes) -> None:
    with pytest.raises(Refused, match="damaged"):
        read(extract_pdf, document)


def test_more_slides_and_sheets_than_are_read_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(office, "MOST_PAGES", 1)
    assert read(extract_office, pptx_of(["one", "two"])) == ("[slide 1]\none\n", Verdict(pages=2))
    row = '<row r="1"><c r="A1"><v>1</v></c></row>'
    assert read(extract_office, xlsx_of({"A": row, "B": row}))[1] == Verdict(pages=2)


@pytest.mark.parametrize("kind", ["docx", "xlsx", "pptx"])
def test_a_damaged_document_ends_in_its_text_or_in_a_reason(kind: str) -> None:
    row = '<row r="1"><c r="A1" t="s"><v>0</v></c><c r="B1" s="1"><v>46000</v></c></row>'
    styles = '<cellXfs><xf numFmtId="0"/><xf numFmtId="14"/></cellXfs>'
    document = {
        "docx": docx_of("one", footnotes=NOTES.format("footnote"), header1=NOTES.format("header")),
        "xlsx": xlsx_of({"A": row, "B": row}, ["x"], styles, further={"xl/comments1.xml": NOTES.format("x")}),
        "pptx": pptx_of(["one", "two"], {1: "note"}, {2: NOTES.format("comment")}),
    }[kind]
    draw = random.Random(kind)
    ends = set()
    for _ in range(MUTATIONS):
        try:
            read(extract_office, damaged_archive(document, draw), most=10_000)
            ends.add("text")
        except Refused as refused:
            ends.add(str(refused))
        except Cut:
            ends.add("cut")
    assert ends <= {*REASONS, "text", "cut"}
    assert {"text", "damaged"} <= ends
