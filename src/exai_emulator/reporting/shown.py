"""What a request shows of texts: its words, and the numbered lines of files in it."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from exai_emulator.calls import text_of
from exai_emulator.reader import lines_in_blocks

__all__ = ["material", "shown_lines"]

_DIFF_FILE = re.compile(r"^\+\+\+ (?:b/)?(\S+)")
_HUNK = re.compile(r"^@@ -\d+(?:,\d+)? \+(\d+)(?:,\d+)? @@")


def material(messages: Sequence[Mapping[str, Any]], documents: Sequence[tuple[str, str]]) -> list[str]:
    """Every text that the request shows, but for what the model said itself."""
    texts = [text for _, text in documents]
    return texts + [text_of(each.get("content")) for each in messages if each.get("role") != "assistant"]


def shown_lines(texts: Sequence[str]) -> dict[str, dict[int, str]]:
    """By the name of a file, the lines that blocks of numbered lines and unified diffs show of it."""
    found: dict[str, dict[int, str]] = {}
    for text in texts:
        for name, lines in (*lines_in_blocks(text), *_in_diffs(text)):
            found.setdefault(name, {}).update(lines)
    return found


def _in_diffs(text: str) -> Iterator[tuple[str, dict[int, str]]]:
    """The lines that a diff leaves or adds, by their numbers after it."""
    name, number = "", 0
    for line in text.split("\n"):
        if start := _DIFF_FILE.match(line):
            name, number = start[1], 0
        elif hunk := _HUNK.match(line):
            number = int(hunk[1])
        elif name and number and line[:1] in ("+", " "):
            yield name, {number: line[1:]}
            number += 1
        elif line[:1] != "-":
            number = 0
