"""The messages of progress notifications: each can stand alone, for clients show the latest one and no other.

    glm-5.3 answers, 1204 characters: … herons stand in shallow water and wait for
    glm-5.3 thinks, 310 characters: … the user asks for birds, so

What a model thinks is never shown without that word.
"""

from exai.providers.base import DeltaKind

__all__ = ["Telling"]

LAST_CHARACTERS = 72
"""Of the text so far, at the end of a message; with the rest it fits a line of most screens."""

VERBS = {DeltaKind.TEXT: "answers", DeltaKind.REASONING: "thinks"}


class Telling:
    """What one model has said so far, of one kind: how much, and the last words, as a terminal may be shown them."""

    __slots__ = ("_last", "characters", "kind", "writer")

    def __init__(self, writer: str, kind: DeltaKind) -> None:
        self.writer = writer
        self.kind = kind
        self.characters = 0
        self._last = ""

    def add(self, text: str) -> None:
        """Take the next piece."""
        self.characters += len(text)
        # Twice as much as is shown, as runs of white space become one space.
        last = text[-2 * LAST_CHARACTERS :]
        if not last.isprintable():
            last = "".join([_shown(letter) for letter in last])
        self._last = (self._last + last)[-2 * LAST_CHARACTERS :]

    @property
    def summary(self) -> str:
        """Say who writes, and how far it is."""
        return f"{self.writer} {VERBS[self.kind]}, {self.characters} characters"

    @property
    def message(self) -> str:
        """Say who writes, how far it is, and the last words."""
        words = " ".join(self._last.split())
        shown = words[-LAST_CHARACTERS:]
        if len(shown) < len(words):
            first, space, rest = shown.partition(" ")
            shown = rest if space and len(first) < LAST_CHARACTERS // 2 else shown
        gap = "… " if self.characters > len(self._last) or len(shown) < len(words) else ""
        return f"{self.summary}: {gap}{shown}" if shown else self.summary


def _shown(letter: str) -> str:
    """Return a space for what a terminal might obey instead of showing it."""
    return letter if letter.isprintable() else " "
