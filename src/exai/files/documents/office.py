"""Text of Office documents (DOCX, XLSX, PPTX): their archive by `zipfile`, their XML by expat without entities.

Imported by the extracting process alone. What an archive says of its sizes is not believed: a member is unpacked
piece by piece, and ends the extraction when it grows beyond its bound. Archives inside it are not opened.
"""

import io
import posixpath
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from xml.parsers import expat

from exai.files.documents.child import run_child
from exai.files.documents.sheets import CommentReader, SheetReader, date_styles, shared_strings
from exai.files.documents.verdict import MOST_MEMBERS, MOST_PAGES, MOST_RATIO, Refused, TextSink, Verdict
from exai.files.documents.xml_events import Element, parse

__all__ = ["Archive", "extract_office", "telling_damage"]

PIECE_BYTES = 2**18
_FREE_BYTES = 2**20
_BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    NotImplementedError,
    LookupError,
    OSError,
    ArithmeticError,
    ValueError,
)
"""What `zipfile` raises of an archive whose sizes, offsets or names are wrong."""
_RELATION = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_MARGIN = re.compile(r"word/(header|footer)[0-9]*\.xml")


def extract_office(data: bytes, sink: TextSink) -> Verdict:
    """Write the text of a document by what its archive holds.

    Raises:
        Refused: it is no Office document, encrypted, broken, or unpacks to more than it may.
        Cut: the bound of the text is reached.
    """
    with telling_damage():
        archive = Archive(data)
        if "word/document.xml" in archive.names:
            return _document(archive, sink)
        if "xl/workbook.xml" in archive.names:
            return _workbook(archive, sink)
        if "ppt/presentation.xml" in archive.names:
            return _presentation(archive, sink)
    raise Refused("archive")


@contextmanager
def telling_damage() -> Iterator[None]:
    """Refuse an archive inside as broken or encrypted, by what reading it raises."""
    try:
        yield
    except (*_BROKEN, expat.ExpatError):
        raise Refused("damaged") from None
    except RuntimeError as error:  # a member that is encrypted
        raise Refused("encrypted" if "encrypted" in str(error) else "damaged") from None


def _ignore(element: Element, text: str) -> None:
    pass


class Archive:
    """An archive whose members are unpacked within bounds."""

    def __init__(self, data: bytes) -> None:
        self._zip = zipfile.ZipFile(io.BytesIO(data))
        if len(self._zip.infolist()) > MOST_MEMBERS:
            raise Refused("bomb")
        self.names = frozenset(self._zip.namelist())

    def pieces(self, name: str) -> Iterator[bytes]:
        """Unpack a member.

        Raises:
            Refused: it grows beyond its bound.
        """
        room = self._zip.getinfo(name).compress_size * MOST_RATIO + _FREE_BYTES
        with self._zip.open(name) as member:
            while piece := member.read(PIECE_BYTES):
                room -= len(piece)
                if room < 0:
                    raise Refused("bomb")
                yield piece

    def parse(self, name: str, begin: Callable[[Element], None], end: Callable[[Element, str], None]) -> None:
        """Parse a member; see `xml_events.parse`."""
        parse(self.pieces(name), begin, end)

    def related(self, part: str) -> Mapping[str, str]:
        """Map the relation ids of a part to the members that they name."""
        folder, name = posixpath.split(part)
        relations = f"{folder}/_rels/{name}.rels"
        found: dict[str, str] = {}

        def begin(element: Element) -> None:
            if element.name == "Relationship" and element.attributes.get("TargetMode") != "External":
                target = element.attributes.get("Target", "")
                path = target.lstrip("/") if target.startswith("/") else posixpath.join(folder, target)
                found[element.attributes.get("Id", "")] = posixpath.normpath(path)

        if relations in self.names:
            self.parse(relations, begin, _ignore)
        return found


class _Prose:
    """Writes paragraphs of text. In a table a row is a line, whose cells are separated by tabs."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._rows = 0
        self._skipped = 0

    def begin(self, element: Element) -> None:
        if element.name == "Fallback":  # says again what its alternative said
            self._skipped += 1
        if element.name == "tr":
            self._rows += 1

    def end(self, element: Element, text: str) -> None:
        if element.name == "Fallback":
            self._skipped -= 1
        if self._skipped:
            return
        match element.name:
            case "t":
                self._write(text)
            case "text" if text.strip():  # a comment of a slide
                self._write(f"{text}\n")
            case "tab" | "ptab":
                self._write("\t")
            case "br" | "cr":
                self._write(" " if self._rows else "\n")
            case "noBreakHyphen":
                self._write("-")
            case "p":
                self._write(" " if self._rows else "\n")
            case "tc":
                self._write("\t")
            case "tr":
                self._rows -= 1
                self._write("\n")


def _document(archive: Archive, sink: TextSink) -> Verdict:
    _write_prose(archive, "word/document.xml", sink.text)
    for kind in ("header", "footer"):
        _write_margins(archive, kind, sink)
    for kind in ("footnotes", "endnotes", "comments"):
        if (name := f"word/{kind}.xml") in archive.names:
            sink.mark(kind)
            _write_prose(archive, name, sink.text)
    return Verdict()


def _write_prose(archive: Archive, name: str, write: Callable[[str], None]) -> None:
    prose = _Prose(write)
    archive.parse(name, prose.begin, prose.end)


def _write_margins(archive: Archive, kind: str, sink: TextSink) -> None:
    """Write the headers or the footers of a document, each text once: sections and first pages repeat them."""
    written: set[str] = set()
    for name in sorted(archive.names, key=lambda name: (len(name), name)):
        if _MARGIN.fullmatch(name) is None or not name.startswith(f"word/{kind}"):
            continue
        pieces: list[str] = []
        _write_prose(archive, name, pieces.append)
        text = "".join(pieces)
        if text.strip() and text not in written:
            written.add(text)
            sink.mark(kind)
            sink.beside(text)


def _presentation(archive: Archive, sink: TextSink) -> Verdict:
    members = archive.related("ppt/presentation.xml")
    slides: list[str] = []

    def begin(element: Element) -> None:
        if element.name == "sldId":
            slides.append(members.get(element.attributes.get(f"{_RELATION} id", ""), ""))

    archive.parse("ppt/presentation.xml", begin, _ignore)
    present = [name for name in slides if name in archive.names]
    for number, name in enumerate(present[:MOST_PAGES], start=1):
        sink.mark(f"slide {number}")
        _write_prose(archive, name, sink.text)
        related = [part for part in archive.related(name).values() if part in archive.names]
        for folder, kind in (("ppt/notesSlides/", "notes"), ("ppt/comments/", "comments")):
            for part in related:
                if part.startswith(folder):
                    sink.mark(f"{kind} of slide {number}")
                    _write_prose(archive, part, sink.text)
    return Verdict(pages=len(present))


def _workbook(archive: Archive, sink: TextSink) -> Verdict:
    related = archive.related("xl/workbook.xml")
    sheets: list[tuple[str, str]] = []

    def begin(element: Element) -> None:
        if element.name == "sheet":
            member = related.get(element.attributes.get(f"{_RELATION} id", ""), "")
            sheets.append((element.attributes.get("name", ""), member))

    archive.parse("xl/workbook.xml", begin, _ignore)
    strings = shared_strings(archive.parse) if "xl/sharedStrings.xml" in archive.names else []
    dates = date_styles(archive.parse) if "xl/styles.xml" in archive.names else frozenset()
    present = [(" ".join(title.split()), member) for title, member in sheets if member in archive.names]
    for title, member in present[:MOST_PAGES]:
        sink.mark(f"sheet {title}")
        reader = SheetReader(sink, strings, dates)
        archive.parse(member, reader.begin, reader.end)
        for kind, text in reader.margins:
            sink.mark(f"{kind} of sheet {title}")
            sink.text(f"{text}\n")
        _write_comments(archive, member, title, sink)
    return Verdict(pages=len(present))


def _write_comments(archive: Archive, sheet: str, title: str, sink: TextSink) -> None:
    """Write the comments of a sheet; of a thread, whose first text the older form repeats, the thread alone."""
    parts = sorted(part for part in archive.related(sheet).values() if part in archive.names)
    comments = CommentReader()
    for folder in ("xl/threadedComments/", "xl/comments"):
        comments.begin_part()
        for part in parts:
            if part.startswith(folder):
                archive.parse(part, comments.begin, comments.end)
    if comments.lines:
        sink.mark(f"comments of sheet {title}")
        sink.text("".join(comments.lines))


if __name__ == "__main__":
    run_child(extract_office)
