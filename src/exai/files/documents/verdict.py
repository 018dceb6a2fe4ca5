"""What the extracting process says of a document when it ends, and the bounds that it keeps.

It is imported by that process, so it imports nothing that costs memory or time.
"""

import json
from collections.abc import Callable
from typing import Any, NamedTuple

__all__ = [
    "CPU_S",
    "MOST_BYTES",
    "MOST_CHARACTERS",
    "MOST_MEMBERS",
    "MOST_MEMORY_BYTES",
    "MOST_PAGES",
    "MOST_RATIO",
    "WALL_S",
    "Cut",
    "Refused",
    "TextSink",
    "Verdict",
]

MOST_BYTES = 256 * 2**20
"""Of a document."""
MOST_CHARACTERS = 20_000_000
"""Of its text."""
MOST_PAGES = 10_000
MOST_MEMBERS = 2_000
"""Of an Office document's archive."""
MOST_RATIO = 200
"""How many times its size a member of the archive may unpack to, beyond the first mebibyte."""
MOST_MEMORY_BYTES = 2**30
CPU_S = 30
WALL_S = 60


class Verdict(NamedTuple):
    """How an extraction ended."""

    pages: int = 0
    """Pages, sheets or slides."""
    cut: str | None = None
    """Why the text is not all of it."""
    refused: str | None = None
    """Why there is no text: a key of `extraction.REFUSALS`."""

    def encoded(self) -> str:
        """Write it as one line."""
        return json.dumps(self._asdict())

    @classmethod
    def decoded(cls, line: bytes) -> "Verdict | None":
        """Read what `encoded` wrote; `None`: it is something else."""
        try:
            found = json.loads(line)
        except ValueError:
            return None
        return cls(**found) if isinstance(found, dict) and found.keys() == set(cls._fields) else None


class Refused(Exception):
    """The document has no text that can be extracted; the message says why by a word."""


class Cut(Exception):
    """The bound of the text is reached; what was written stays."""


class TextSink:
    """Takes text, and writes it as UTF-8 up to the bound."""

    def __init__(self, write: Callable[[bytes], Any], most: int = MOST_CHARACTERS) -> None:
        self._write = write
        self._room = most
        self.has_text = False
        """Whether anything was written but space, marks of pages, and what stands beside the text."""

    def mark(self, mark: str) -> None:
        """Write a line that says where in the document the following text is.

        Raises:
            Cut: the bound is reached.
        """
        self._put(f"[{mark}]\n")

    def text(self, text: str) -> None:
        """Write a piece of the document's own text.

        Raises:
            Cut: the bound is reached.
        """
        self.has_text = self.has_text or bool(text.strip())
        self._put(text)

    def beside(self, text: str) -> None:
        """Write a piece of what stands beside the document's own text, and of which a scan may have some too.

        Raises:
            Cut: the bound is reached.
        """
        self._put(text)

    def _put(self, text: str) -> None:
        self._write(text[: self._room].encode("utf-8", "replace"))
        self._room -= len(text)
        if self._room <= 0:
            raise Cut(f"the text ends after {MOST_CHARACTERS:,} characters")
