"""Citations of a model's answer, compared with what it was shown.

    place resolved → quotation found at its lines? ──────────────────────────────────────→ verified
                        ├ elsewhere in the file, once, or nearest within 200 lines ──────→ moved, lines corrected
                        ├ elsewhere in the file, several times ──────────────────────────→ ambiguous
                        ├ once in another file that was shown ───────────────────────────→ wrong_file, corrected
                        ├ 92 % of it, of 20 characters and more ─────────────────────────→ near, with the true text
                        └ nowhere ───────────────────────────────────────────────────────→ unverified
    no quotation: the lines were shown, and something that the sentence names stands there → plausible, else unverified

Compared is text without the gutter of line numbers, code fences, carriage returns and blanks at ends of lines, in NFC;
a second look leaves out all blanks. `…` in a quotation stands for at most 40 lines. A quotation of fewer than 8
characters is no evidence, and one that begins or ends within a word of the file is none of it.
"""

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Collection, Iterator, Sequence
from difflib import SequenceMatcher
from typing import Literal

import msgspec

__all__ = ["CheckedCitation", "Citation", "ShownFile", "check", "shown_lines"]

State = Literal[
    "verified", "moved", "ambiguous", "wrong_file", "near", "plausible", "unverified", "unknown_file"
]

LEAST_CHARACTERS = 8
MOST_CHARACTERS = 2_048
NEAREST_LINES = 200
GAP_LINES = 40
NEAR_RATIO = 0.92
NEAR_CHARACTERS = 20
SYMBOL_LINES = 3

_GAP = "\0"
"""Stands for lines that were left out: no quotation matches over it."""

_GUTTER = re.compile(r"^\s*(\d+)\s*[│|] ?", re.MULTILINE)
_FENCE = re.compile(r"^\s*```\w*\s*$", re.MULTILINE)
_ELLIPSIS = re.compile(r"\s*(?:…|\[\.\.\.\]|^\s*\.\.\.\s*$)\s*", re.MULTILINE)
_BLANKS = re.compile(r"\s+")
_SYMBOL = re.compile(r"`([A-Za-z_]\w{2,})|\b([A-Za-z]\w*_\w+|[a-z]+[A-Z]\w*|[A-Za-z_]\w{2,}(?=\())")


class Citation(msgspec.Struct, frozen=True):
    """A place that an answer names."""

    path: str
    """Or the id of what was shown, as `E3`."""
    first: int | None = None
    last: int | None = None
    quote: str = ""
    sentence: str = ""
    """That the place is to prove, where nothing is quoted."""


class CheckedCitation(msgspec.Struct, frozen=True, omit_defaults=True):
    """A citation as it was found."""

    state: State
    path: str
    first: int | None = None
    last: int | None = None
    quote: str = ""
    """The true text, where that is another."""
    is_stale: bool = False
    """Whether the file no longer has it."""
    ignoring_blanks: bool = False


class ShownFile:
    """The lines of a file that a model was shown, and the file as it is now."""

    def __init__(
        self, ids: Collection[str], path: str, lines: Sequence[tuple[int, str]], now: str | None = None
    ) -> None:
        """`ids` are those under which it was shown, `now` is its text as it is; `None`: as it was shown."""
        self.ids = frozenset(ids)
        self.path = path
        self.numbers = [number for number, _ in lines]
        self.lines = [_normalized(text) for _, text in lines]
        self._now = None if now is None else _normalized(now)
        parts: list[str] = []
        self._starts: list[int] = []
        at = 0
        for place, (number, text) in enumerate(zip(self.numbers, self.lines, strict=True)):
            if place and number != self.numbers[place - 1] + 1:
                parts.append(_GAP)
                at += len(_GAP) + 1
            self._starts.append(at)
            parts.append(text)
            at += len(text) + 1
        self.text = "\n".join(parts)
        self._squeezed, self._places = _squeezed(self.text)

    def has(self, first: int, last: int) -> bool:
        """Whether all of these lines were shown."""
        return first <= last and {first, last} <= set(self.numbers)

    def near(self, first: int, last: int) -> str:
        """Return the text around these lines."""
        around = range(first - SYMBOL_LINES, last + SYMBOL_LINES + 1)
        return "\n".join(
            text for number, text in zip(self.numbers, self.lines, strict=True) if number in around
        )

    def find(self, quote: str, *, ignoring_blanks: bool) -> list[tuple[int, int]]:
        """Return the first and last lines of each place where a quotation stands."""
        first, *further = [part for part in _ELLIPSIS.split(quote) if part.strip()] or [""]
        found = list(dict.fromkeys(self._find(first, ignoring_blanks=ignoring_blanks)))
        for part in further:
            places = list(self._find(part, ignoring_blanks=ignoring_blanks))
            found = [
                (start, min(ends))
                for start, before in found
                if (ends := [end for begin, end in places if before <= begin <= before + GAP_LINES])
            ]
        return found

    def differs_now(self, quote: str) -> bool:
        """Whether the file no longer has a quotation that was shown of it."""
        if self._now is None:
            return False
        squeezed = _squeezed(self._now)[0]
        return any(_squeezed(part)[0] not in squeezed for part in _ELLIPSIS.split(quote))

    def nearest(self, quote: str) -> tuple[int, int, str] | None:
        """Return the lines and the text that are most like a quotation; `None`: none has enough of it."""
        size = quote.count("\n") + 1
        best, least = None, NEAR_RATIO
        matcher = SequenceMatcher(autojunk=False)
        matcher.set_seq2(quote)
        for at in range(len(self.lines) - size + 1):
            if self.numbers[at + size - 1] - self.numbers[at] != size - 1:
                continue
            text = "\n".join(self.lines[at : at + size]).strip()
            matcher.set_seq1(text)
            if matcher.real_quick_ratio() < least or matcher.quick_ratio() < least:
                continue
            ratio = matcher.ratio()
            if ratio >= least and (best is None or ratio > least):
                best, least = (self.numbers[at], self.numbers[at + size - 1], text), ratio
        return best

    def _find(self, part: str, *, ignoring_blanks: bool) -> Iterator[tuple[int, int]]:
        """Yield the lines of each place of a part that begins and ends where words do."""
        text, wanted = (self._squeezed, _squeezed(part)[0]) if ignoring_blanks else (self.text, part.strip())
        at = text.find(wanted) if wanted else -1
        while at >= 0:
            end = at + len(wanted) - 1
            first, last = (self._places[at], self._places[end]) if ignoring_blanks else (at, end)
            if not (_is_within_word(self.text, first) or _is_within_word(self.text, last + 1)):
                yield self._line(first), self._line(last)
            at = text.find(wanted, at + 1)

    def _line(self, at: int) -> int:
        return self.numbers[bisect_right(self._starts, at) - 1]


def shown_lines(block: str) -> list[tuple[int, str]]:
    """Read the numbered lines of a block as models are shown it."""
    numbered = (re.match(r" *(\d+)│(.*)$", line) for line in block.splitlines())
    return [(int(found[1]), found[2]) for found in numbered if found]


def check(citation: Citation, shown: Sequence[ShownFile]) -> CheckedCitation:
    """Compare a citation with what was shown."""
    quote = _normalized(_without_gutter(citation.quote[:MOST_CHARACTERS])).strip()
    files = _resolved(citation.path, shown)
    file = files[0] if len({each.path for each in files}) == 1 else None
    if len(_squeezed(quote)[0]) < LEAST_CHARACTERS or not re.search(r"\w", quote):
        return _unquoted(citation, file)
    if file is None:
        return _elsewhere(citation, quote, shown, None)
    for ignoring_blanks in (False, True):
        for each in files:  # of one path, as it was at several commits
            if places := each.find(quote, ignoring_blanks=ignoring_blanks):
                return _placed(citation, quote, each, places, ignoring_blanks=ignoring_blanks)
    return _elsewhere(citation, quote, [other for other in shown if other not in files], file)


def _placed(
    citation: Citation,
    quote: str,
    file: ShownFile,
    places: list[tuple[int, int]],
    *,
    ignoring_blanks: bool,
) -> CheckedCitation:
    """Tell whether a quotation that the file has stands where the citation says."""

    def at(state: State, place: tuple[int, int] | None) -> CheckedCitation:
        first, last = place or (citation.first, citation.last)
        return CheckedCitation(
            state, file.path, first, last, is_stale=file.differs_now(quote), ignoring_blanks=ignoring_blanks
        )

    if citation.first is None:
        return at("verified", places[0]) if len(places) == 1 else at("ambiguous", None)
    first, last = citation.first, citation.last or citation.first
    for start, end in places:
        if (first <= start and end <= last) or (start <= first and last <= end):
            return at("verified", (first, last))
    if len(places) == 1:
        return at("moved", places[0])
    distances = sorted((abs(start - first), (start, end)) for start, end in places)
    if distances[0][0] <= NEAREST_LINES and distances[0][0] < distances[1][0]:
        return at("moved", distances[0][1])
    return at("ambiguous", None)


def _elsewhere(
    citation: Citation, quote: str, others: Sequence[ShownFile], file: ShownFile | None
) -> CheckedCitation:
    """Look for a quotation in other files, and then for something like it."""
    found = [(other, place) for other in others for place in other.find(quote, ignoring_blanks=False)]
    if len(found) == 1:
        other, (first, last) = found[0]
        return CheckedCitation("wrong_file", other.path, first, last, is_stale=other.differs_now(quote))
    if file is None:
        return CheckedCitation("unknown_file", citation.path, citation.first, citation.last)
    if len(quote) >= NEAR_CHARACTERS and not found:
        nearest = file.nearest(quote)
        if nearest is not None:
            first, last, text = nearest
            return CheckedCitation("near", file.path, first, last, quote=text)
    return CheckedCitation("unverified", file.path, citation.first, citation.last)


def _unquoted(citation: Citation, file: ShownFile | None) -> CheckedCitation:
    """Judge a place without a quotation by what the sentence names."""
    if file is None:
        return CheckedCitation("unknown_file", citation.path, citation.first, citation.last)
    unverified = CheckedCitation("unverified", file.path, citation.first, citation.last)
    if citation.first is None:
        return unverified
    first, last = citation.first, citation.last or citation.first
    if not file.has(first, last):
        return unverified
    names = {name for found in _SYMBOL.findall(citation.sentence) for name in found if name}
    around = set(re.findall(r"\w+", file.near(first, last)))
    return CheckedCitation("plausible", file.path, first, last) if names & around else unverified


def _resolved(path: str, shown: Sequence[ShownFile]) -> list[ShownFile]:
    """Return the files that a path or an id names: by id, exactly, or by the end of the path."""
    named = [file for file in shown if path in file.ids or path == file.path]
    if named:
        return named
    end = path.removeprefix("./").strip("/")
    return [file for file in shown if file.path.endswith(f"/{end}") or end.endswith(f"/{file.path}")]


def _without_gutter(quote: str) -> str:
    return _GUTTER.sub("", _FENCE.sub("", quote))


def _normalized(text: str) -> str:
    if not text.isascii():
        text = unicodedata.normalize("NFC", text)
    return "\n".join(line.rstrip() for line in text.replace("\r\n", "\n").split("\n"))


def _squeezed(text: str) -> tuple[str, list[int]]:
    """Return a text without blanks, and where each of its characters stood."""
    places = [at for at, character in enumerate(text) if not character.isspace()]
    return "".join([text[at] for at in places]), places


def _is_within_word(text: str, at: int) -> bool:
    """Whether both sides of a place are of one word."""
    if not 0 < at < len(text):
        return False
    before, behind = text[at - 1], text[at]
    return (before.isalnum() or before == "_") and (behind.isalnum() or behind == "_")
