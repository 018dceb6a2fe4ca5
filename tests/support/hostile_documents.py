"""Documents that are bombs, loops or cut, made from a seed."""

import io
import random
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from itertools import cycle, islice

from support.document_parts import archive_of, docx_of, pdf_of, pptx_of, xlsx_of

__all__ = ["damaged_archive", "hostile_documents"]

Make = Callable[[random.Random], bytes]

ROW = '<row r="1"><c r="A1" t="s"><v>{}</v></c><c r="{}" s="1"><v>46000</v></c></row>'
STYLES = '<cellXfs><xf numFmtId="0"/><xf numFmtId="14"/></cellXfs>'
ENTITIES = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10 if n else "ha"}">' for n in range(10))
ANNOUNCED = struct.Struct("<I")


def hostile_documents(count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """Yield so many documents, each with a name that ends in its kind."""
    draw = random.Random(seed)
    for number, (kind, make) in enumerate(islice(cycle(MAKERS), count)):
        yield f"{number}-{make.__name__}.{kind}", make(draw)


def damaged_archive(document: bytes, draw: random.Random) -> bytes:
    """Return an archive cut, with other bytes, or with a member that has been changed and packed again."""
    way = draw.randrange(3)
    if way == 0:
        return document[: draw.randrange(len(document))]
    if way == 1:
        return _with_other_bytes(document, draw)
    with zipfile.ZipFile(io.BytesIO(document)) as archive:
        members = {name: bytearray(archive.read(name)) for name in archive.namelist()}
    content = members[draw.choice(sorted(members))]
    for _ in range(draw.randrange(1, 6)):
        at = draw.randrange(len(content) + 1)
        content[at : at + draw.randrange(30)] = draw.choice(
            [b"", b"<", b"<a>", b"</t>", b"\xff", b"&x;", b'"']
        )
    return archive_of({name: bytes(each) for name, each in members.items()})


def _with_other_bytes(document: bytes, draw: random.Random) -> bytes:
    changed = bytearray(document)
    for _ in range(draw.randrange(1, 12)):
        changed[draw.randrange(len(changed))] = draw.randrange(256)
    return bytes(changed)


def _pdf_of_objects(*objects: bytes, trailer: bytes = b"") -> bytes:
    """A PDF of these objects; the first is its catalogue."""
    out = bytearray(b"%PDF-1.5\n")
    places = []
    for number, content in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % place for place in places)
    trailer = trailer.replace(b"START", b"%d" % start)
    out += b"trailer << /Size %d /Root 1 0 R %s >>\n" % (len(objects) + 1, trailer)
    return bytes(out + b"startxref\n%d\n%%%%EOF\n" % start)


def _stream(content: bytes, entries: bytes = b"") -> bytes:
    return b"<< /Length %d %s >>\nstream\n%s\nendstream" % (len(content), entries, content)


CATALOGUE = b"<< /Type /Catalog /Pages 2 0 R >>"
PAGES = b"<< /Type /Pages /Count 1 /Kids [3 0 R] >>"


def _page(resources: bytes = b"") -> bytes:
    return (
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] /Contents 4 0 R /Resources << %s >> >>" % resources
    )


def cut_pdf(draw: random.Random) -> bytes:
    document = pdf_of(["one", "two"], ["three"])
    return document[: draw.randrange(9, len(document))]


def changed_pdf(draw: random.Random) -> bytes:
    return b"%PDF-" + _with_other_bytes(pdf_of(["one", "two"], ["three"]), draw)[5:]


def page_loop(draw: random.Random) -> bytes:
    kids = b"2 0 R " * draw.randrange(1, 50)
    return _pdf_of_objects(
        CATALOGUE, b"<< /Type /Pages /Count %d /Kids [%s] >>" % (draw.choice((1, 10**9)), kids)
    )


def table_loop(_: random.Random) -> bytes:
    return _pdf_of_objects(CATALOGUE, PAGES, _page(), _stream(b""), trailer=b"/Prev START")


def form_that_draws_itself(draw: random.Random) -> bytes:
    form = b"/Type /XObject /Subtype /Form /BBox [0 0 9 9] /Resources << /XObject << /F 5 0 R >> >>"
    times = draw.randrange(1, 4)
    return _pdf_of_objects(
        CATALOGUE,
        PAGES,
        _page(b"/XObject << /F 5 0 R >>"),
        _stream(b"/F Do"),
        _stream(b"/F Do " * times, form),
    )


def unpacking_page(draw: random.Random) -> bytes:
    packed = zlib.compress(b" " * draw.randrange(2**22, 2**25), 9)
    return _pdf_of_objects(CATALOGUE, PAGES, _page(), _stream(packed, b"/Filter /FlateDecode"))


def deep_array(draw: random.Random) -> bytes:
    return _pdf_of_objects(CATALOGUE, PAGES, _page(), b"[" * draw.randrange(10_000, 200_000))


def damaged_docx(draw: random.Random) -> bytes:
    return damaged_archive(docx_of("one", "two"), draw)


def damaged_xlsx(draw: random.Random) -> bytes:
    return damaged_archive(xlsx_of({"A": ROW.format(0, "B1"), "B": ROW.format(0, "B1")}, ["x"], STYLES), draw)


def damaged_pptx(draw: random.Random) -> bytes:
    return damaged_archive(pptx_of(["one", "two"], {1: "note"}), draw)


def _docx(document: str | bytes, **further: str) -> bytes:
    """A DOCX with this as its main part."""
    members = {"[Content_Types].xml": "<Types/>", "_rels/.rels": "<Relationships/>", **further}
    return archive_of({**members, "word/document.xml": document})


def entities(_: random.Random) -> bytes:
    return _docx(f"<!DOCTYPE d [{ENTITIES}]><d>&e9;</d>")


def entity_of_a_file(draw: random.Random) -> bytes:
    place = draw.choice(("file:///etc/passwd", "http://127.0.0.1:1/x"))
    return _docx(f'<!DOCTYPE d [<!ENTITY a SYSTEM "{place}">]><d>&a;</d>')


def unpacking_docx(draw: random.Random) -> bytes:
    return docx_of("x" * draw.randrange(2**21, 2**25))


def many_members(draw: random.Random) -> bytes:
    return _docx("<d/>", **{f"{n}": "" for n in range(draw.randrange(1_980, 2_100))})


def deep_docx(draw: random.Random) -> bytes:
    return _docx("<a>" * draw.randrange(100, 200_000))


def archive_in_archive(draw: random.Random) -> bytes:
    inner = docx_of("x")
    for _ in range(draw.randrange(1, 20)):
        inner = _docx(inner)
    return inner


def size_that_is_a_lie(draw: random.Random) -> bytes:
    document = bytearray(docx_of("x" * 1_000))
    at = document.find(b"PK\x01\x02")
    while at >= 0:
        ANNOUNCED.pack_into(document, at + 24, draw.choice((0, 1, 2**32 - 1)))
        at = document.find(b"PK\x01\x02", at + 1)
    return bytes(document)


def far_cells(draw: random.Random) -> bytes:
    place = draw.choice(("ZZZZZZZ1", "A99999999999999999999", "", "1", "\u00e9"))
    return xlsx_of({"A": ROW.format(draw.choice(("-1", "10" * 50, "x")), place)}, ["x"], STYLES)


def slides_that_lead_out(draw: random.Random) -> bytes:
    target = draw.choice(("../../../../etc/passwd", "/etc/passwd", "presentation.xml", ""))
    document = pptx_of(["one"])
    with zipfile.ZipFile(io.BytesIO(document)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    relations = "ppt/_rels/presentation.xml.rels"
    members[relations] = members[relations].replace(b"slides/slide0.xml", target.encode())
    return archive_of(members)


MAKERS: tuple[tuple[str, Make], ...] = (
    *(
        ("pdf", make)
        for make in (
            cut_pdf,
            changed_pdf,
            page_loop,
            table_loop,
            form_that_draws_itself,
            unpacking_page,
            deep_array,
        )
    ),
    *(
        ("docx", make)
        for make in (
            damaged_docx,
            entities,
            entity_of_a_file,
            unpacking_docx,
            many_members,
            deep_docx,
            archive_in_archive,
            size_that_is_a_lie,
        )
    ),
    ("xlsx", damaged_xlsx),
    ("xlsx", far_cells),
    ("pptx", damaged_pptx),
    ("pptx", slides_that_lead_out),
)
