"""XML as events of elements, by expat: no entities, no document types, no names of others' files."""

from collections.abc import Callable, Iterable
from typing import NamedTuple
from xml.parsers import expat

from exai.files.documents.verdict import Refused

__all__ = ["Element", "parse"]

MOST_DEPTH = 1_000


class Element(NamedTuple):
    """An element without its namespace; attributes with a namespace have it before their name, and a space."""

    name: str
    attributes: dict[str, str]


def parse(
    pieces: Iterable[bytes], begin: Callable[[Element], None], end: Callable[[Element, str], None]
) -> None:
    """Call `begin` and `end` for each element; `end` gets the text that stands directly in it.

    Raises:
        Refused: it declares a document type, or is nested too deeply.
        ExpatError: it is no XML.
    """
    open_elements: list[tuple[Element, list[str]]] = []

    def started(name: str, attributes: dict[str, str]) -> None:
        if len(open_elements) >= MOST_DEPTH:
            raise Refused("bomb")
        element = Element(name.rpartition(" ")[2], attributes)
        open_elements.append((element, []))
        begin(element)

    def ended(_: str) -> None:
        element, texts = open_elements.pop()
        end(element, "".join(texts))

    def characters(text: str) -> None:
        if open_elements:
            open_elements[-1][1].append(text)

    def declared(*_: object) -> None:
        raise Refused("damaged")

    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.StartElementHandler = started
    parser.EndElementHandler = ended
    parser.CharacterDataHandler = characters
    parser.StartDoctypeDeclHandler = declared
    parser.EntityDeclHandler = declared
    for piece in pieces:
        parser.Parse(piece, False)
    parser.Parse(b"", True)
