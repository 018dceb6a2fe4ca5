"""The blocks of files in a prompt: one per file, and each line of content behind its number.

So no content begins a line of ours, the same content is the same bytes, and an answer can cite `E3, line 12`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from exai.consulting.files.text_items import ReadableText, TextItem
from exai.files.documents.numbering import Numbered, framed_name, numbered
from exai.files.documents.search import MOST_MATCHES, LinePattern

__all__ = ["Block", "excerpt_block", "whole_block"]

HEAD_LINES = 60
TAIL_LINES = 40
OUTLINE_LINES = 60
LINE_CHARACTERS = 400
"""What an excerpt shows of a line."""
OUTLINE_CHARACTERS = 120
_OUTLINE = (
    r"^\s{0,4}(#{1,6} |(pub |export |async |static |public |private |default )*"
    r"(def|class|function|func|fn|impl|struct|interface|trait|enum|module|package|type|message|service) )"
    r"|^\[(page|slide|sheet|notes of slide) "
)
"""Beginnings of parts, in code, Markdown and documents."""


@dataclass(frozen=True, slots=True)
class Block:
    """What a model is shown of one text."""

    item: TextItem
    text: str
    hidden: int
    """Characters that cannot be seen and stand as `\\u202e`."""
    is_whole: bool
    lines: str
    """Which lines it shows, as `1-60, 175-214`."""
    unshown_from: int | None = None
    """The first line that it does not show, of those that were wanted."""


def whole_block(item: TextItem) -> Block | None:
    """Show all lines of a text; `None` where it is too large for that."""
    if item.whole is None:
        return None
    body = item.whole.body
    lines = f"{item.first}-{item.last}" if item.last >= item.first else "none"
    return Block(item, _framed(item, lines, body.text), body.hidden, is_whole=True, lines=lines)


async def excerpt_block(item: TextItem, *, can_read: bool) -> Block:
    """Show the beginning, the end and an outline of a text, and say how the rest is read."""
    head_end = min(item.last, item.first + HEAD_LINES - 1)
    tail_start = max(head_end + 1, item.last - TAIL_LINES + 1)
    head = await _read(item.source, item.first, head_end)
    tail = await _read(item.source, tail_start, item.last)
    skipped = f"{head_end + 1}-{tail_start - 1}"
    how = "read_lines and search_file read them" if can_read else "this model cannot read them"
    outline = await _outline(item, head_end + 1, tail_start - 1)
    parts = [head.text, f"<<<NOT SHOWN {item.id} lines {skipped}; {how}>>>\n"]
    if outline.text:
        parts.append(
            f"<<<OUTLINE {item.id}, of the lines that are not shown>>>\n{outline.text}<<<END OUTLINE>>>\n"
        )
    parts.append(tail.text)
    lines = f"{item.first}-{head_end}, {tail_start}-{item.last}"
    hidden = head.hidden + tail.hidden + outline.hidden
    return Block(item, _framed(item, lines, "".join(parts)), hidden, False, lines, head_end + 1)


def _framed(item: TextItem, lines: str, body: str) -> str:
    digest = f"sha256:{item.sha256[:12]}"
    heading = f"FILE {item.id} {framed_name(item.name)} lines {lines} of {item.total}"
    goes_on = item.cut is not None and item.last == item.total
    cut = f"<<<CUT {item.id}, this is not the end of the document: {item.cut}>>>\n" if goes_on else ""
    return f"<<<{heading} {digest}>>>\n{body}{cut}<<<END {item.id} {digest}>>>\n"


async def _read(source: ReadableText, first: int, last: int) -> Numbered:
    """Read lines for an excerpt, in which long ones are cut."""
    lines: list[str] = []
    while first + len(lines) <= last:
        read = await source.lines(first + len(lines), last)
        if not read:
            break
        lines += (_shortened(line, LINE_CHARACTERS) for line in read)
    return numbered(first, lines)


async def _outline(item: TextItem, first: int, last: int) -> Numbered:
    """Find the beginnings of parts between two lines, evenly thinned; where there are none, sample lines."""
    if last < first:
        return numbered(first, ())
    pattern = LinePattern(_OUTLINE)
    matches = await item.source.search(pattern, first, MOST_MATCHES)
    step = max(1, (last - first + 1) // OUTLINE_LINES)
    numbers = range(first + step // 2, last + 1, step)
    if not matches.lines:
        found = [(number, line) for number in numbers for line in await item.source.lines(number, number)]
    elif matches.has_more:
        nearest = {
            each for number in numbers for each in (await item.source.search(pattern, number, 1)).lines
        }
        found = sorted(nearest)
    else:
        found = _thinned(matches.lines)
    found = [each for each in found if each[0] <= last]
    spelled = [numbered(number, [_shortened(line, OUTLINE_CHARACTERS)]) for number, line in found]
    return Numbered("".join(each.text for each in spelled), sum(each.hidden for each in spelled))


def _thinned(found: Sequence[tuple[int, str]]) -> list[tuple[int, str]]:
    if len(found) <= OUTLINE_LINES:
        return list(found)
    return [found[place * len(found) // OUTLINE_LINES] for place in range(OUTLINE_LINES)]


def _shortened(line: str, most: int) -> str:
    return line if len(line) <= most else f"{line[:most]}… [{len(line) - most} more characters]"
