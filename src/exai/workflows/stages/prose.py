"""Places that prose names, such as `src/pool.py:41-44` and `E3, line 12`, compared with what its model was shown.

Nothing is quoted there, so a place is `plausible` where its lines were shown and something that the sentence names
stands within 3 lines of them, and is marked in the text where not; of the sentence, what is near the place is read. A
path that was not shown counts as a place if files of its suffix were shown: `example.com:80` is none. What stands in
fences of code is not looked at.
"""

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence

from exai.workflows.citations import Citation, ShownFile, check

__all__ = ["checked_prose"]

MARK = " (unverified)"
MOST_PLACES = 500
MOST_AROUND = 500
"""Characters of a sentence on each side of its place: a text without an end of a sentence is one for all its places."""

_FENCE = re.compile(r"^```.*?(?:^```|\Z)", re.MULTILINE | re.DOTALL)
_PLACE = re.compile(
    r"(?<![\w./-])(?P<path>E\d{1,4}|[\w./-]*\w\.[A-Za-z]\w{0,7})(?:,? lines? |:)"
    r"(?P<first>\d{1,6})(?:\s?[-–]\s?(?P<last>\d{1,6}))?(?!\w)"
)
_END_OF_SENTENCE = re.compile(r"[.!?]\s|\n")


def checked_prose(text: str, shown: Sequence[ShownFile]) -> tuple[str, dict[str, int]]:
    """Return a text with the places marked that were not found, and how many there are by what was found."""
    if not shown:
        return text, {}
    parts: list[str] = []
    states: Counter[str] = Counter()
    written = 0
    for place, sentence in _places(text, {_suffix(file.path) for file in shown}):
        first, last = int(place["first"]), int(place["last"] or place["first"])
        state = check(Citation(place["path"], first, last, sentence=sentence), shown).state
        states[state] += 1
        if state == "plausible":
            continue
        end = place.end() + (text[place.end() : place.end() + 1] == "`")
        parts += [text[written:end], MARK]
        written = end
    return "".join([*parts, text[written:]]), dict(states)


def _places(text: str, suffixes: set[str]) -> Iterator[tuple[re.Match[str], str]]:
    """Yield the places with the sentences that they are in."""
    fences = [fence.span() for fence in _FENCE.finditer(text)]
    begins = [first for first, _ in fences]
    ends = [0, *(end.end() for end in _END_OF_SENTENCE.finditer(text)), len(text)]
    for count, place in enumerate(_PLACE.finditer(text)):
        if count == MOST_PLACES:
            return
        fence = bisect_right(begins, place.start()) - 1
        if fence >= 0 and place.start() < fences[fence][1]:
            continue
        is_id = re.fullmatch(r"E\d+", place["path"]) is not None
        if is_id or _suffix(place["path"]) in suffixes:
            at = bisect_right(ends, place.start())
            first = max(ends[at - 1], place.start() - MOST_AROUND)
            last = min(ends[min(at, len(ends) - 1)], place.end() + MOST_AROUND)
            yield place, text[first:last]


def _suffix(path: str) -> str:
    return path.rpartition("/")[2].rpartition(".")[2].casefold()
