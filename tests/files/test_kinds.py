"""What a content is, by its first bytes."""

import io
import zipfile

import pytest

from exai.files.kinds import HEAD_BYTES, kind_of


def archive(*names: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as members:
        for name in names:
            members.writestr(name, "x")
    return file.getvalue()


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"", "empty"),
        (b"hello", "text"),
        ("naïve \u4f60".encode(), "text"),
        ("\ufeffhello".encode("utf-16"), "text"),
        (b"a\0b", "binary"),
        (b"\xff\xfe\xfa", "text"),
        (b"\xc3", "binary"),
        (b"%PDF-1.7\n", "pdf"),
        (b"\x89PNG\r\n\x1a\n", "png"),
        (b"\xff\xd8\xff\xe0", "jpeg"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "webp"),
        (b"\0\0\0\x18ftypisom", "mp4"),
        (b"\0\0\0\x18ftyp3gp4", "3gpp"),
        (b"\x1a\x45\xdf\xa3" + b"\x42\x82\x84webm", "webm"),
        (b"\x1a\x45\xdf\xa3" + b"\x42\x82\x88matroska", "matroska"),
        (b"FLV\x01\x05", "flv"),
        (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "wmv"),
        (b"\x00\x00\x01\xba\x44", "mpeg"),
        (b"\0\0\0\x18ftypqt  ", "quicktime"),
        (b"\0\0\0\x18ftypavif", "avif"),
        (archive("a.txt"), "zip"),
        (archive("[Content_Types].xml", "word/document.xml"), "docx"),
        (archive("[Content_Types].xml", "xl/workbook.xml"), "xlsx"),
        (archive("_rels/.rels", "ppt/presentation.xml"), "pptx"),
        (b"\x7fELF\x02", "executable"),
    ],
)
def test_a_kind_is_judged_by_content(head: bytes, name: str) -> None:
    assert kind_of(head).name == name


def test_text_cut_inside_a_character_by_the_size_of_the_head_is_text() -> None:
    head = ("a" + "é" * HEAD_BYTES).encode()[:HEAD_BYTES]
    assert head[-1] == 0xC3
    assert kind_of(head).name == "text"
