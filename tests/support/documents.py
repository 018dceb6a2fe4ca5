"""Documents made for tests: PDF, DOCX, XLSX and PPTX whose text is known, and of any length."""

import io
import zipfile
from collections.abc import Iterable, Sequence
from xml.sax.saxutils import escape

import docx
import openpyxl
import pptx

__all__ = ["docx_of", "numbered", "pdf_of", "pptx_of", "scan_of", "xlsx_of"]

LINES_PER_PAGE = 50

_FONT = b"<< /Type /Font /Subtype /Type1 /BaseFont /Courier >>"


def numbered(count: int, word: str = "entry") -> list[str]:
    """Lines that all differ, so that an answer tells which one it is about."""
    return [f"{word} {number} holds {number * 7_919 % 100_003}" for number in range(1, count + 1)]


def pdf_of(lines: Sequence[str], *, padding: int = 0) -> bytes:
    """A PDF with these lines, and so many bytes more that no reader looks at."""
    pages = [lines[start : start + LINES_PER_PAGE] for start in range(0, len(lines), LINES_PER_PAGE)]
    return _pdf([_page_text(page) for page in pages], padding)


def scan_of(pages: int = 1) -> bytes:
    """A PDF whose pages hold a picture and no text."""
    return _pdf([b"q 500 0 0 700 40 40 cm BI /W 1 /H 1 /BPC 8 /CS /G ID \x80 EI Q"] * pages, 0)


def docx_of(paragraphs: Iterable[str], *, padding: int = 0) -> bytes:
    """A DOCX with these paragraphs, and a picture of so many bytes; made by hand, since many take long otherwise."""
    empty = io.BytesIO()
    docx.Document().save(empty)
    body = "".join(f"<w:p><w:r><w:t>{escape(each)}</w:t></w:r></w:p>" for each in paragraphs)
    made = io.BytesIO()
    with zipfile.ZipFile(empty) as source, zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            content = source.read(name)
            if name == "word/document.xml":
                start = content.index(b"<w:body>") + len(b"<w:body>")
                content = content[:start] + body.encode() + content[content.index(b"<w:sectPr") :]
            target.writestr(name, content)
        if padding:
            target.writestr(zipfile.ZipInfo("word/media/padding.png"), bytes(padding))
    return made.getvalue()


def xlsx_of(rows: Iterable[Sequence[object]], sheet: str = "Ledger") -> bytes:
    """An XLSX with one sheet."""
    book = openpyxl.Workbook()
    page = book.create_sheet(sheet, 0)
    for row in rows:
        page.append(list(row))
    made = io.BytesIO()
    book.save(made)
    return made.getvalue()


def pptx_of(slides: Iterable[str]) -> bytes:
    """A PPTX with a text on each slide."""
    deck = pptx.Presentation()
    for text in slides:
        deck.slides.add_slide(deck.slide_layouts[5]).shapes.title.text = text
    made = io.BytesIO()
    deck.save(made)
    return made.getvalue()


def _page_text(lines: Sequence[str]) -> bytes:
    shown = [line.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)") for line in lines]
    said = "\n".join(f"({line}) Tj T*" for line in shown)
    return f"BT /F1 10 Tf 12 TL 40 800 Td\n{said}\nET".encode("latin-1")


def _pdf(contents: Sequence[bytes], padding: int) -> bytes:
    objects = [b"<< /Type /Catalog /Pages 2 0 R >>", b"", _FONT]
    kids = []
    for content in contents:
        objects.append(b"<< /Length %d >>\nstream\n%b\nendstream" % (len(content), content))
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents %d 0 R"
            b" /Resources << /Font << /F1 3 0 R >> >> >>" % len(objects)
        )
        kids.append(b"%d 0 R" % len(objects))
    objects[1] = b"<< /Type /Pages /Count %d /Kids [%b] >>" % (len(kids), b" ".join(kids))
    if padding:
        objects.append(b"<< /Length %d >>\nstream\n%b\nendstream" % (padding, bytes(padding)))
    made = bytearray(b"%PDF-1.4\n")
    places = []
    for number, content in enumerate(objects, 1):
        places.append(len(made))
        made += b"%d 0 obj\n%b\nendobj\n" % (number, content)
    start = len(made)
    made += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    made += b"".join(b"%010d 00000 n \n" % place for place in places)
    made += b"trailer << /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, start)
    return bytes(made)
