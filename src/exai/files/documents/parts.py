"""All text of an Office document or another archive, for the secret check, also what no reader shows.

That is each member that is text, with the values of its attributes: headers and footers, notes, comments, layouts,
defined names, properties, links. Imported by the extracting process alone. Archives inside are opened, two deep.
"""

import codecs
from collections.abc import Iterator
from itertools import chain
from xml.parsers import expat

from exai.files.documents.child import run_child
from exai.files.documents.office import Archive, telling_damage
from exai.files.documents.verdict import Refused, TextSink, Verdict
from exai.files.documents.xml_events import Element

__all__ = ["extract_parts"]

MOST_DEEP = 2
LEAST_ATTRIBUTE = 16
"""Characters of an attribute's value that is looked at: no form of a secret is shorter."""
_ARCHIVE = b"PK\x03\x04"
_WIDE_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_RUNS = frozenset({"t", "delText", "instrText"})
"""Elements whose texts continue one another: a word is cut wherever its format changes."""
_BREAKS = frozenset({"p", "si", "is", "text", "c", "tc", "tr", "br", "cr", "tab", "ptab"})


def extract_parts(data: bytes, sink: TextSink) -> Verdict:
    """Write the text of each member behind a mark with its name.

    Raises:
        Refused: it is encrypted, broken, or unpacks to more than it may.
        Cut: the bound of the text is reached.
    """
    with telling_damage():
        _write_archive(Archive(data), sink, "", 0)
    return Verdict()


def _write_archive(archive: Archive, sink: TextSink, within: str, depth: int) -> None:
    for name in sorted(archive.names):
        pieces = archive.pieces(name)
        first = next(pieces, b"")
        whole = chain((first,), pieces)
        path = within + " ".join(name.split())
        if first.startswith(_ARCHIVE):
            if depth == MOST_DEEP:
                raise Refused("bomb")
            _write_archive(Archive(b"".join(whole)), sink, f"{path}/", depth + 1)
        elif b"\0" not in first or first.startswith(_WIDE_MARKS):
            sink.mark(f"part {path}")
            if not _write_xml(archive, name, sink):
                _write_plain(whole, sink)
            sink.text("\n")


def _write_xml(archive: Archive, name: str, sink: TextSink) -> bool:
    """Write a member by its elements; whether it is XML that can be read."""
    words = _Words(sink)
    try:
        archive.parse(name, words.begin, words.end)
    except expat.ExpatError:
        return False
    except Refused as refused:
        if str(refused) != "damaged":  # as which a document type counts
            raise
        return False
    words.flush()
    return True


def _write_plain(pieces: Iterator[bytes], sink: TextSink) -> None:
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    for piece in pieces:
        sink.text(decoder.decode(piece))
    sink.text(decoder.decode(b"", final=True))


class _Words:
    """Writes the texts and the attributes of elements, each in a line."""

    def __init__(self, sink: TextSink) -> None:
        self._sink = sink
        self._runs: dict[str, list[str]] = {name: [] for name in _RUNS}

    def begin(self, element: Element) -> None:
        if element.name in _BREAKS:
            self.flush()
        for name, value in element.attributes.items():
            if len(value) >= LEAST_ATTRIBUTE:
                self._sink.text(f"{name.rpartition(' ')[2]}={value}\n")

    def end(self, element: Element, text: str) -> None:
        if element.name in _RUNS:
            self._runs[element.name].append(text)
        elif element.name == "noBreakHyphen":
            self._runs["t"].append("-")
        elif text.strip():
            self._sink.text(f"{text}\n")
        if element.name in _BREAKS:
            self.flush()

    def flush(self) -> None:
        for runs in self._runs.values():
            if runs:
                self._sink.text("".join(runs) + "\n")
                runs.clear()


if __name__ == "__main__":
    run_child(extract_parts)
