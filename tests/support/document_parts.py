"""Documents as other programs write them: PDF, DOCX, XLSX and PPTX, made here from their text."""

import io
import zipfile
from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

from PIL import Image

__all__ = ["archive_of", "docx_of", "pdf_of", "pptx_of", "scan", "xlsx_of"]

_W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
_S = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_A = "http://schemas.openxmlformats.org/drawingml/2006/main"
_P = "http://schemas.openxmlformats.org/presentationml/2006/main"
_R = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_RELATIONS = "http://schemas.openxmlformats.org/package/2006/relationships"


def pdf_of(*pages: Sequence[str], extra: bytes = b"", annotations: Sequence[bytes] = ()) -> bytes:
    """A PDF with these lines on its pages, each with these annotations."""
    objects = [b"<< /Type /Catalog /Pages 2 0 R >>", b""]
    objects.append(b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>")
    kids = []
    for lines in pages:
        shown = b" ".join(
            b"(%s) Tj 0 -14 Td"
            % line.encode("latin-1").replace(b"\\", b"\\\\").replace(b"(", b"\\(").replace(b")", b"\\)")
            for line in lines
        )
        stream = b"BT /F1 11 Tf 50 780 Td " + shown + b" ET"
        objects.append(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream))
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents %d 0 R "
            b"/Resources << /Font << /F1 3 0 R >> >> /Annots [%s] >>" % (len(objects), b" ".join(annotations))
        )
        kids.append(b"%d 0 R" % len(objects))
    objects[1] = b"<< /Type /Pages /Count %d /Kids [%s] >>" % (len(kids), b" ".join(kids))
    out = bytearray(b"%PDF-1.4\n" + extra)
    places = []
    for number, body in enumerate(objects, start=1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % place for place in places)
    out += b"trailer << /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, start)
    return bytes(out)


def scan() -> bytes:
    """A PDF whose only page is a picture."""
    file = io.BytesIO()
    Image.new("RGB", (60, 80), "white").save(file, "PDF")
    return file.getvalue()


def archive_of(members: Mapping[str, str | bytes]) -> bytes:
    """A ZIP archive, packed."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def _office(members: Mapping[str, str | bytes]) -> bytes:
    return archive_of({"[Content_Types].xml": "<Types/>", "_rels/.rels": "<Relationships/>", **members})


def docx_of(*paragraphs: str, body: str = "", **further: str) -> bytes:
    """A DOCX with these paragraphs, `body` behind them; `further` are parts by name without folder and suffix."""
    shown = "".join(f"<w:p><w:r><w:t>{escape(each)}</w:t></w:r></w:p>" for each in paragraphs)
    root = f'<w:document xmlns:w="{_W}"><w:body>{shown}{body}</w:body></w:document>'
    return _office(
        {"word/document.xml": root, **{f"word/{name}.xml": part for name, part in further.items()}}
    )


def xlsx_of(
    sheets: Mapping[str, str],
    strings: Sequence[str] = (),
    styles: str = "",
    margins: str = "",
    further: Mapping[str, str] | None = None,
) -> bytes:
    """An XLSX whose sheets have these rows, as XML, then these headers and footers; `further` belongs to the first."""
    named = "".join(
        f'<sheet name="{escape(name)}" sheetId="{n}" r:id="rId{n}"/>' for n, name in enumerate(sheets, 1)
    )
    shared = "".join(f"<si><t>{escape(each)}</t></si>" for each in strings)
    return _office(
        {
            "xl/workbook.xml": f'<workbook xmlns="{_S}" xmlns:r="{_R}"><sheets>{named}</sheets></workbook>',
            "xl/_rels/workbook.xml.rels": _related(
                {f"rId{n}": f"worksheets/sheet{n}.xml" for n in range(1, len(sheets) + 1)}
            ),
            "xl/sharedStrings.xml": f'<sst xmlns="{_S}">{shared}</sst>',
            "xl/styles.xml": f'<styleSheet xmlns="{_S}">{styles}</styleSheet>',
            **{
                f"xl/worksheets/sheet{n}.xml": (
                    f'<worksheet xmlns="{_S}"><sheetData>{rows}</sheetData>{margins}</worksheet>'
                )
                for n, rows in enumerate(sheets.values(), 1)
            },
            "xl/worksheets/_rels/sheet1.xml.rels": _related(
                {f"rId{n}": f"/{name}" for n, name in enumerate(further or (), 1)}
            ),
            **(further or {}),
        }
    )


def pptx_of(
    slides: Sequence[str], notes: Mapping[int, str] | None = None, comments: Mapping[int, str] | None = None
) -> bytes:
    """A PPTX whose slides have one text each, notes by the number of the slide, and comments (XML) likewise.

    Slides are stored backwards.
    """
    members: dict[str, str] = {
        "ppt/presentation.xml": (
            f'<p:presentation xmlns:p="{_P}" xmlns:r="{_R}"><p:sldIdLst>'
            + "".join(f'<p:sldId id="{255 + n}" r:id="rId{n}"/>' for n in range(1, len(slides) + 1))
            + "</p:sldIdLst></p:presentation>"
        ),
        "ppt/_rels/presentation.xml.rels": _related(
            {f"rId{n}": f"slides/slide{len(slides) - n}.xml" for n in range(1, len(slides) + 1)}
        ),
    }
    for n, text in enumerate(slides, 1):
        member = len(slides) - n
        members[f"ppt/slides/slide{member}.xml"] = _slide(text)
        related = {}
        if notes and n in notes:
            related["rId1"] = f"../notesSlides/notesSlide{n}.xml"
            members[f"ppt/notesSlides/notesSlide{n}.xml"] = _slide(notes[n])
        if comments and n in comments:
            related["rId2"] = f"../comments/comment{n}.xml"
            members[f"ppt/comments/comment{n}.xml"] = comments[n]
        if related:
            members[f"ppt/slides/_rels/slide{member}.xml.rels"] = _related(related)
    return _office(members)


def _slide(text: str) -> str:
    return f'<p:sld xmlns:p="{_P}" xmlns:a="{_A}"><a:p><a:r><a:t>{escape(text)}</a:t></a:r></a:p></p:sld>'


def _related(targets: Mapping[str, str]) -> str:
    rows = "".join(f'<Relationship Id="{key}" Target="{target}"/>' for key, target in targets.items())
    return f'<Relationships xmlns="{_RELATIONS}">{rows}</Relationships>'
