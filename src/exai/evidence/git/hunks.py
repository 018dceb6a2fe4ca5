"""Changes of files as hunks: made of two texts, or read from a unified diff."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from pathlib import PurePosixPath

from exai.errors import BadArguments

__all__ = ["FileChange", "Hunk", "hunks_of", "read_patch"]

CONTEXT = 3
MOST_COMPARED = 4_000_000
"""Lines of one text times lines of the other; of more, all that lies between equal beginnings and ends is one hunk."""
MOST_PATCH_LINES = 50_000
_HEADER = re.compile(r"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")


@dataclass(frozen=True, slots=True)
class Hunk:
    """Lines that change together, with some around them."""

    first: int
    """Number of its first line after the change; where it leaves none, of the line behind it."""
    lines: tuple[str, ...]
    """Each behind its sign: a space, `-` or `+`."""

    @property
    def last(self) -> int:
        """Number of its last line after the change."""
        return self.first + sum(line[:1] != "-" for line in self.lines) - 1

    @property
    def changed(self) -> list[int]:
        """Numbers of the lines that it adds, and of those behind what it takes away."""
        numbers, number = [], self.first
        for line in self.lines:
            if line[:1] != " ":
                numbers.append(number)
            number += line[:1] != "-"
        return sorted(set(numbers))


@dataclass(slots=True)
class FileChange:
    """What a change does to a file."""

    path: str
    """After the change; before it where the file goes."""
    hunks: list[Hunk] = field(default_factory=list)
    status: str = "changed"
    """`added`, `deleted` or `changed`."""
    lines: tuple[str, ...] | None = None
    """The whole file after the change, without what looks like secrets; `None`: it is not known, or gone."""
    sha256: str = ""
    """Of that file."""

    @property
    def size(self) -> int:
        """How many lines it adds and takes away."""
        return sum(line[:1] != " " for hunk in self.hunks for line in hunk.lines)


def hunks_of(old: Sequence[str], new: Sequence[str]) -> list[Hunk]:
    """Compare two texts by lines."""
    return [
        Hunk(group[0][3] + 1, tuple(_signed(group, old, new))) for group in _grouped(_operations(old, new))
    ]


Operation = tuple[str, int, int, int, int]


def _operations(old: Sequence[str], new: Sequence[str]) -> list[Operation]:
    head = _common(old, new)
    tail = _common(old[head:][::-1], new[head:][::-1])
    before, after = old[head : len(old) - tail], new[head : len(new) - tail]
    if len(before) * len(after) > MOST_COMPARED:
        inner: list[Operation] = [("replace", 0, len(before), 0, len(after))]
    else:
        inner = list(SequenceMatcher(None, before, after, autojunk=True).get_opcodes())
    shifted = [(tag, a + head, b + head, c + head, d + head) for tag, a, b, c, d in inner]
    return [
        *([("equal", 0, head, 0, head)] if head else []),
        *shifted,
        *([("equal", len(old) - tail, len(old), len(new) - tail, len(new))] if tail else []),
    ]


def _grouped(operations: Sequence[Operation]) -> Iterator[list[Operation]]:
    """Group changes that are near one another, with a few equal lines around them."""
    group: list[Operation] = []
    for tag, a, b, c, d in operations:
        if tag != "equal":
            group.append((tag, a, b, c, d))
            continue
        if group:
            if b - a <= 2 * CONTEXT:
                group.append((tag, a, b, c, d))
                continue
            yield [*group, (tag, a, a + CONTEXT, c, c + CONTEXT)]
        start = max(a, b - CONTEXT)
        group = [(tag, start, b, d - (b - start), d)] if b > a else []
    if any(each[0] != "equal" for each in group):
        if group[-1][0] == "equal":
            tag, a, b, c, d = group[-1]
            group[-1] = (tag, a, min(b, a + CONTEXT), c, min(d, c + CONTEXT))
        yield group


def _signed(group: Sequence[Operation], old: Sequence[str], new: Sequence[str]) -> Iterator[str]:
    for tag, a, b, c, d in group:
        if tag == "equal":
            yield from (f" {line}" for line in new[c:d])
        else:
            yield from (f"-{line}" for line in old[a:b])
            yield from (f"+{line}" for line in new[c:d])


def _common(one: Sequence[str], other: Sequence[str]) -> int:
    count = 0
    for left, right in zip(one, other, strict=False):
        if left != right:
            break
        count += 1
    return count


def read_patch(lines: Sequence[str]) -> list[FileChange]:
    """Read a unified diff.

    Raises:
        BadArguments: it is none; the line that is wrong is named.
    """
    if len(lines) > MOST_PATCH_LINES:
        raise BadArguments(f"The patch has more than {MOST_PATCH_LINES:,} lines; review it in parts.")
    changes: list[FileChange] = []
    old = ""
    number = 0
    while number < len(lines):
        line = lines[number]
        number += 1
        following = lines[number] if number < len(lines) else ""
        if line.startswith("--- ") and following.startswith("+++ "):
            old = _name(line)
            changes.append(_begun(old, _name(following)))
            number += 1
        elif (match := _HEADER.match(line)) is not None and changes:
            hunk, number = _hunk(lines, number, match)
            changes[-1].hunks.append(hunk)
    if not any(change.hunks for change in changes):
        raise BadArguments(
            "The patch has no hunk. Give a unified diff: `--- a/file`, `+++ b/file`, `@@ -1,2 +1,3 @@`, and lines."
        )
    return [change for change in changes if change.hunks]


def _begun(old: str, new: str) -> FileChange:
    status = "added" if old == "/dev/null" else "deleted" if new == "/dev/null" else "changed"
    name = old if status == "deleted" else new
    path = name[2:] if name.startswith(("a/", "b/")) else name
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts:
        raise BadArguments("The patch names a file outside the workspace; paths in it are relative.")
    return FileChange(path, status=status)


def _name(line: str) -> str:
    return line[4:].split("\t", 1)[0].strip().strip('"')


def _hunk(lines: Sequence[str], number: int, header: re.Match[str]) -> tuple[Hunk, int]:
    old, new = int(header[2] or 1), int(header[4] or 1)
    taken: list[str] = []
    while (old > 0 or new > 0) and number < len(lines):
        line = lines[number] or " "
        sign = line[0]
        if sign not in " +-\\":
            break
        number += 1
        if sign == "\\":
            continue
        taken.append(line)
        old -= sign != "+"
        new -= sign != "-"
    if old or new:
        raise BadArguments(
            f"The patch is broken at line {number + 1}: a hunk has other lines than its head says."
        )
    return Hunk(int(header[3]) + (int(header[4] or 1) == 0), tuple(taken)), number
