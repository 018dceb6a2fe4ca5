"""What a call is at, on a terminal: one line on stderr, which goes when its answer is there."""

import shutil
import sys
from typing import IO

from exai.cli.reviewing.page import safe

__all__ = ["StageLine"]

ERASE = "\r\x1b[2K"


class StageLine:
    """Shows one sentence at a time, where stderr is a terminal."""

    def __init__(self, stream: IO[str] | None = None) -> None:
        self._stream = stream or sys.stderr
        self._shows = self._stream.isatty()
        self._shown = False

    def show(self, sentence: str) -> None:
        """Put a sentence in the place of the one before."""
        if not self._shows:
            return
        columns = shutil.get_terminal_size((80, 24)).columns
        line = safe(sentence).replace("\n", " ")
        self._stream.write(f"{ERASE}{line[: columns - 1]}")
        self._stream.flush()
        self._shown = True

    def end(self) -> None:
        """Take it away."""
        if self._shown:
            self._stream.write(ERASE)
            self._stream.flush()
            self._shown = False
