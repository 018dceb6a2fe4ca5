"""Searches text for a pattern, line by line, in time that grows with the text alone.

Patterns are others': a model writes them. RE2 has no backtracking, so none of them takes long.
"""

import re2

from exai.errors import BadArguments

__all__ = ["MOST_MATCHES", "LinePattern"]

MOST_MATCHES = 5_000
MOST_PATTERN = 500
MOST_MEMORY = 2**23


class LinePattern:
    """A pattern that is searched for within lines."""

    def __init__(self, pattern: str, *, ignores_case: bool = False) -> None:
        """Compile a pattern in RE2's syntax.

        Raises:
            BadArguments: it is none, or too long.
        """
        options = re2.Options()
        options.case_sensitive = not ignores_case
        options.log_errors = False
        options.max_mem = MOST_MEMORY
        options.encoding = re2.Options.Encoding.UTF8
        options.never_nl = True
        if len(pattern) > MOST_PATTERN:
            raise BadArguments(f"The pattern is longer than {MOST_PATTERN} characters; search for less.")
        try:
            self._found = re2.compile(f"(?m:{pattern})".encode(), options)
        except re2.error as error:
            reason = error.args[0].decode(errors="replace") if error.args else "it cannot be read"
            raise BadArguments(f"The pattern is no regular expression that RE2 knows: {reason}.") from None

    def places(self, text: bytes, most: int) -> list[int]:
        """Return where the matching lines of a text match first, at most `most` of them."""
        places: list[int] = []
        start = 0
        while len(places) < most and start < len(text):
            match = self._found.search(text, start)
            if match is None:
                break
            places.append(match.start())
            end = text.find(b"\n", match.start())
            if end < 0:
                break
            start = end + 1
        return places
