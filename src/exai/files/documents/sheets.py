"""Sheets of XLSX documents as lines of cells: the row's number, then its cells, separated by tabs; their comments."""

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Protocol

from exai.files.documents.verdict import TextSink
from exai.files.documents.xml_events import Element

__all__ = ["CommentReader", "SheetReader", "date_styles", "shared_strings"]

MOST_COLUMNS = 16_384
_BUILT_IN_DATES = frozenset({*range(14, 23), 45, 46, 47})
_LITERALS = re.compile(r'"[^"]*"|\\.|\[[^\]]*\]')
_DATE_LETTERS = re.compile(r"[ymdhs]", re.IGNORECASE)
_EPOCH = datetime(1899, 12, 30)  # noqa: DTZ001 - a sheet's dates have no zone
_LAST_DAY = 2_958_466
_COLUMN = re.compile(r"[A-Z]{1,3}")
_MARGINS = {
    f"{pages}{kind.title()}": kind for kind in ("header", "footer") for pages in ("odd", "even", "first")
}
_MARGIN_CODE = re.compile(r'&(?:"[^"]*"|K[0-9A-Fa-f]{6}|K[0-9]{2}[+-][0-9]{3}|[0-9]+|.)', re.DOTALL)
_MARGIN_CODES = {
    "&&": "&",
    "&P": "(page)",
    "&N": "(pages)",
    "&D": "(date)",
    "&T": "(time)",
    "&F": "(file)",
    "&A": "(sheet)",
    "&L": "\t",
    "&C": "\t",
    "&R": "\t",
}
"""What codes in headers and footers stand for; others say how the text looks."""


class Parse(Protocol):
    """Parses a member of the document."""

    def __call__(
        self, name: str, begin: Callable[[Element], None], end: Callable[[Element, str], None]
    ) -> None: ...


def shared_strings(parse: Parse) -> list[str]:
    """Read the texts that cells name by number."""
    strings: list[str] = []
    parts: list[str] = []
    phonetic = 0

    def begin(element: Element) -> None:
        nonlocal phonetic
        phonetic += element.name == "rPh"
        if element.name == "si":
            parts.clear()

    def end(element: Element, text: str) -> None:
        nonlocal phonetic
        phonetic -= element.name == "rPh"
        if element.name == "t" and not phonetic:
            parts.append(text)
        elif element.name == "si":
            strings.append("".join(parts))

    parse("xl/sharedStrings.xml", begin, end)
    return strings


def date_styles(parse: Parse) -> frozenset[int]:
    """Find the styles of cells that show a number as a date or time."""
    formats: dict[str, str] = {}
    dates: set[int] = set()
    styles = -1
    inside = False

    def begin(element: Element) -> None:
        nonlocal styles, inside
        if element.name == "numFmt":
            formats[element.attributes.get("numFmtId", "")] = element.attributes.get("formatCode", "")
        elif element.name == "cellXfs":
            inside = True
        elif element.name == "xf" and inside:
            styles += 1
            if _is_date(element.attributes.get("numFmtId", "0"), formats):
                dates.add(styles)

    def end(element: Element, _: str) -> None:
        nonlocal inside
        inside = inside and element.name != "cellXfs"

    parse("xl/styles.xml", begin, end)
    return frozenset(dates)


def _is_date(number: str, formats: dict[str, str]) -> bool:
    code = formats.get(number)
    if code is None:
        return number.isdigit() and int(number) in _BUILT_IN_DATES
    return _DATE_LETTERS.search(_LITERALS.sub("", code)) is not None


class SheetReader:
    """Writes the rows of one sheet, as its elements end."""

    def __init__(self, sink: TextSink, strings: list[str], dates: frozenset[int]) -> None:
        self._sink = sink
        self._strings = strings
        self._dates = dates
        self._row = 0
        self._column = 0
        self._cells: list[str] = []
        self._value = ""
        self._inline: list[str] = []
        self.margins: list[tuple[str, str]] = []
        """Headers and footers with their texts, each once."""

    def begin(self, element: Element) -> None:
        """Begin a row or a cell."""
        if element.name == "row":
            number = element.attributes.get("r", "")
            self._row = int(number) if number.isdigit() else self._row + 1
            self._cells = []
        elif element.name == "c":
            self._column = _column(element.attributes.get("r", ""), len(self._cells))
            self._value = ""
            self._inline = []

    def end(self, element: Element, text: str) -> None:
        """Note a value; write a row that has any."""
        match element.name:
            case "v":
                self._value = text
            case "t":
                self._inline.append(text)
            case "c":
                shown = self._shown(element.attributes)
                if shown:
                    self._cells += [""] * (self._column - len(self._cells))
                    self._cells.append(shown)
            case "row" if self._cells:
                self._sink.text("\t".join([str(self._row), *self._cells]) + "\n")
            case name if name in _MARGINS:
                margin = (_MARGINS[name], _margin_text(text))
                if margin[1] and margin not in self.margins:
                    self.margins.append(margin)

    def _shown(self, attributes: dict[str, str]) -> str:
        kind = attributes.get("t", "n")
        text = self._value
        if kind == "s":
            place = int(text) if text.isdigit() else -1
            text = self._strings[place] if 0 <= place < len(self._strings) else ""
        elif kind == "inlineStr":
            text = "".join(self._inline)
        elif kind == "b":
            text = "TRUE" if text == "1" else "FALSE"
        elif kind == "n" and attributes.get("s", "").isdigit() and int(attributes["s"]) in self._dates:
            text = _date(text)
        return " ".join(text.split()) if any(each in text for each in "\t\n\r") else text


class CommentReader:
    """Reads the comments of one sheet: lines of a cell's reference and what was said of it."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._known: frozenset[str] = frozenset()
        self._cells: set[str] = set()
        self._cell = ""
        self._texts: list[str] = []

    def begin_part(self) -> None:
        """Leave out from now on what is said of cells that have comments already."""
        self._known = frozenset(self._cells)

    def begin(self, element: Element) -> None:
        """Begin a comment."""
        if element.name in {"comment", "threadedComment"}:
            self._cell = element.attributes.get("ref", "")
            self._texts = []

    def end(self, element: Element, text: str) -> None:
        """Note a piece of its text; note the comment that ends."""
        if element.name in {"t", "text"}:
            self._texts.append(text)
        elif element.name in {"comment", "threadedComment"} and self._cell not in self._known:
            said = " ".join("".join(self._texts).split())
            if said:
                self._cells.add(self._cell)
                self.lines.append(f"{self._cell}\t{said}\n")


def _margin_text(text: str) -> str:
    """Return a header or footer as it is read: left, middle and right, separated by tabs."""
    shown = _MARGIN_CODE.sub(lambda code: _MARGIN_CODES.get(code[0], ""), text)
    parts = (" ".join(part.split()) for part in shown.split("\t"))
    return "\t".join(part for part in parts if part)


def _column(reference: str, following: int) -> int:
    """Return the place of a cell by its reference, such as `BC12`; without one it follows the one before."""
    letters = _COLUMN.match(reference)
    if letters is None:
        return following
    place = 0
    for letter in letters[0]:
        place = place * 26 + ord(letter) - ord("A") + 1
    return min(place, MOST_COLUMNS) - 1


def _date(text: str) -> str:
    """Show a number of days as date and time; what is none stays as it is."""
    try:
        days = float(text)
    except ValueError:
        return text
    if not 0 <= days < _LAST_DAY:
        return text
    moment = _EPOCH + timedelta(seconds=round(days * 86_400))
    if days < 1:
        return moment.time().isoformat()
    return moment.date().isoformat() if days == int(days) else moment.isoformat(sep=" ")
