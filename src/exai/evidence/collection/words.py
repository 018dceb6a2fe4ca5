"""The parts of code that share words with a problem: what nobody named, and is about the same.

    words of the problem → files that have them, by their bytes → the best of them parsed → their parts, best first

A word counts by its stem and wherever it stands, so that "balances" finds `raw_balance`, and counts the more, the fewer
files have it. Tests come behind. The best files follow whole where they are small: what
stands beside the parts belongs to them.
"""

import math
import re
import time
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from exai.evidence.collection.excerpts import Excerpts
from exai.evidence.collection.names import is_test
from exai.evidence.pieces import Bounds, Piece
from exai.evidence.reading import Reader

__all__ = ["parts_by_words", "stems_of"]

SOURCE = "words_of_problem"
MOST_STEMS = 40
LEAST_STEM = 3
MOST_FILES = 30
MOST_PARTS = 60
MOST_BYTES = 400_000
"""Of a file that is looked through."""
SCAN_S = 2.0
TEST_SHARE = 0.4
PATH_BONUS = 1.5
LINES = 40
"""By so many lines of a part its score is halved."""
_ENDINGS = """
.bash .c .cc .clj .cpp .cs .cxx .dart .ex .exs .go .h .hpp .hs .java .js .jsx .kt .lua .m .mjs .php .pl .py .rb .rs
.scala .sh .sql .swift .ts .tsx .vue
"""
_CODE = frozenset(_ENDINGS.split())
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d{3,}")
_ENDING = re.compile(r"(?:ings?|edly|ed|es|s|ly|e)$")
_COMMON_WORDS = """
the and that this with from which who whom what when where why how for are was were been being not but its their they
them then than there here have has had does did done can cannot could would should shall will may might must one two
any all some each every both other another same such only also just even more most less least very into onto over under
out off about after before again because while until though although else nor yet error errors fail fails failed
failure wrong bug test tests file line lines code expected got true false none null
"""
_COMMON = frozenset(_COMMON_WORDS.split())


def stems_of(text: str) -> list[str]:
    """Return the stems of a text's words, without those that say nothing."""
    words = (word.lower() for word in _WORD.findall(text))
    stems = (_ENDING.sub("", word) if len(word) > 4 else word for word in words if word not in _COMMON)
    return [stem for stem in dict.fromkeys(stems) if len(stem) >= LEAST_STEM][:MOST_STEMS]


def parts_by_words(reader: Reader, text: str, bounds: Bounds) -> Iterator[Piece]:
    """Yield the parts that share most with a text, and then the files that do, the best first."""
    stems = [stem.encode() for stem in stems_of(text)]
    counts = _counts(reader, stems) if stems else {}
    weights = _weights(stems, list(counts.values()))
    scores = {path: _score(count, weights) * _rank(path, stems) for path, count in counts.items()}
    best = sorted(scores, key=lambda path: (-scores[path], path))[:MOST_FILES]
    parts: list[tuple[float, Excerpts, int]] = []
    files: list[Excerpts] = []
    for path in best:
        document = reader.tree.read(path)
        if document is None:
            continue
        excerpts = Excerpts(SOURCE, document, reader.syntax.of(document), bounds.lines)
        files.append(excerpts)
        for number, symbol in enumerate(excerpts.parsed.symbols):
            if symbol.kind == "heading":
                continue
            body = document.text(symbol.first, symbol.last).lower().encode(errors="replace")
            score = _score([body.count(stem) for stem in stems], weights) * _rank(path, stems)
            size = symbol.last - symbol.first + 1
            if score:
                parts.append((score / (1 + size / LINES), excerpts, number))
    parts.sort(key=lambda each: -each[0])
    for _, excerpts, number in parts[:MOST_PARTS]:
        symbol = excerpts.parsed.symbols[number]
        yield excerpts.symbol(symbol, f"`{symbol.qualified}` has words of the problem")
    for excerpts in files:
        if excerpts.is_small:
            yield excerpts.whole("it has words of the problem, and is small")
        elif (head := excerpts.head("it has words of the problem")) is not None:
            yield head


def _counts(reader: Reader, stems: Sequence[bytes]) -> dict[str, list[int]]:
    """Count stems in the files of code that have any."""
    until = time.monotonic() + SCAN_S
    counts: dict[str, list[int]] = {}
    files = reader.tree.files
    for path in sorted(files):
        if files[path] > MOST_BYTES or not _is_code(path):
            continue
        data = (reader.tree.bytes_of(path) or b"").lower()
        found = [data.count(stem) for stem in stems]
        if any(found):
            counts[path] = found
        if time.monotonic() > until:
            break
    return counts


def _weights(stems: Sequence[bytes], counts: Sequence[Sequence[int]]) -> list[float]:
    """Return how much each stem says: the more, the fewer files have it."""
    having = [sum(count[place] > 0 for count in counts) for place in range(len(stems))]
    return [math.log(1 + len(counts) / each) if each else 0.0 for each in having]


def _score(counts: Sequence[int], weights: Sequence[float]) -> float:
    return sum(weight * (1 + math.log(count)) for count, weight in zip(counts, weights, strict=True) if count)


def _rank(path: str, stems: Sequence[bytes]) -> float:
    name = path.lower().encode(errors="replace")
    rank = PATH_BONUS if any(stem in name for stem in stems) else 1.0
    return rank * TEST_SHARE if is_test(path) else rank


def _is_code(path: str) -> bool:
    return PurePosixPath(path).suffix.lower() in _CODE
