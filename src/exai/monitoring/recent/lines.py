"""The latest lines of the log, as they were written: redacted, without what a terminal colours them by."""

import re
from collections import deque

__all__ = ["MOST_CHARACTERS", "MOST_LINES", "RecentLines"]

MOST_LINES = 5_000
MOST_CHARACTERS = 2 * 2**20
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


class RecentLines:
    """Holds the latest lines; a line longer than all of them may be together is not held."""

    def __init__(self, most_lines: int = MOST_LINES, most_characters: int = MOST_CHARACTERS) -> None:
        self._most_lines = most_lines
        self._most_characters = most_characters
        self._lines: deque[tuple[float, str]] = deque()
        self._characters = 0

    def add(self, at: float, line: str) -> None:
        """Hold a line that is redacted already; `at` is in seconds since 1970."""
        lines = self._lines
        lines.append((at, line))
        self._characters += len(line)
        while len(lines) > self._most_lines or self._characters > self._most_characters:
            self._characters -= len(lines.popleft()[1])

    def naming(self, name: str, most: int) -> list[str]:
        """Return the latest lines that name something, oldest first."""
        found = [line for _, line in self._lines.copy() if name in line]
        return [_COLOURS.sub("", line) for line in found[-most:]]

    def around(self, at: float, seconds: float, *naming: str | None, most: int = 200) -> list[str]:
        """Return the lines that name one of these ids, and those so near to a moment, oldest first.

        Of more than `most`, the ones that name an id come before the others, and then the nearest.
        """
        ids = [each for each in naming if each]
        lines = list(self._lines.copy())
        ranked = [
            (not any(each in line for each in ids), abs(written - at), place)
            for place, (written, line) in enumerate(lines)
            if abs(written - at) <= seconds or any(each in line for each in ids)
        ]
        kept = sorted(ranked)[:most]
        return [_COLOURS.sub("", lines[place][1]) for place in sorted(place for *_, place in kept)]
