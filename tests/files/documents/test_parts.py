"""All text of an archive, as the secret check looks at it."""

import codecs

import pytest

from exai.files.documents.parts import extract_parts
from exai.files.documents.verdict import Cut, Refused, TextSink, Verdict
from support.document_parts import archive_of, docx_of, pdf_of, pptx_of, xlsx_of


def read(document: bytes, most: int = 1_000_000) -> str:
    written = bytearray()
    assert extract_parts(document, TextSink(written.extend, most)) == Verdict()
    return written.decode()


def test_words_that_are_cut_by_their_format_are_whole() -> None:
    runs = "<w:p><w:t>one</w:t><w:t>two</w:t><w:noBreakHyphen/><w:t>three</w:t><w:instrText>LI</w:instrText>"
    text = read(docx_of(header1=f'<w:hdr xmlns:w="x">{runs}<w:instrText>NK</w:instrText></w:p></w:hdr>'))
    assert "[part word/header1.xml]\n" in text
    assert {"onetwo-three", "LINK"} <= set(text.splitlines())


def test_parts_that_no_reader_shows_are_there_with_their_attributes() -> None:
    layout = '<p:sldLayout xmlns:p="x" xmlns:a="y"><a:p><a:t>layout</a:t></a:p></p:sldLayout>'
    link = '<Relationships><Relationship Target="https://example.org/?key=1"/></Relationships>'
    text = read(
        archive_of(
            {
                "ppt/slideLayouts/slideLayout1.xml": layout,
                "ppt/_rels/presentation.xml.rels": link,
                "xl/workbook.xml": "<w><definedName>first</definedName><definedName>second</definedName></w>",
            }
        )
    ).splitlines()
    assert {"layout", "Target=https://example.org/?key=1", "first", "second"} <= set(text)


def test_what_is_no_xml_is_text_as_it_stands_and_what_is_binary_is_left_out() -> None:
    members: dict[str, str | bytes] = {
        "a.html": "<p>plain<br>",
        "b.xml": '<!DOCTYPE x [<!ENTITY e "typed">]><x>&e;</x>',
        "c.xml": codecs.BOM_UTF16_LE + "<x>wide</x>".encode("utf-16-le"),
        "d.png": b"\x89PNG\0hidden",
        "e.txt": "",
    }
    text = read(archive_of(members))
    assert "<p>plain<br>" in text
    assert '"typed"' in text
    assert "wide" in text.splitlines()
    assert "hidden" not in text


def test_archives_inside_are_opened_two_deep() -> None:
    inner = docx_of("inside")
    assert "[part ppt/a.docx/word/document.xml]\ninside\n" in read(archive_of({"ppt/a.docx": inner}))
    for _ in range(3):
        inner = archive_of({"a.zip": inner})
    with pytest.raises(Refused, match="bomb"):
        read(inner)


def test_what_cannot_be_read_to_its_end_is_told() -> None:
    with pytest.raises(Cut):
        read(docx_of("x" * 500), most=200)
    with pytest.raises(Refused, match="damaged"):
        read(docx_of("x")[:-60])
    with pytest.raises(Refused, match="bomb"):
        read(archive_of({"a.xml": "<a>" * 5_000}))


@pytest.mark.parametrize("document", [xlsx_of({"A": ""}, ["shared"]), pptx_of(["slide"], {1: "shared"})])
def test_every_format_has_its_text(document: bytes) -> None:
    assert "shared" in read(document).splitlines()


def test_a_pdf_is_no_archive() -> None:
    with pytest.raises(Refused, match="damaged"):
        read(pdf_of(["x"]))
