"""Separates thinking that a model writes into its answer, between `<think>` and `</think>`, from the answer.

    state      piece                                        → state
    START      blanks, or the beginning of `<think>`          START, held
    START      `<think>`                                      THINKING
    START      anything else                                  TEXT
    THINKING   up to `</think>`, which may come in pieces     AFTER
    AFTER      blanks                                         AFTER, dropped
    AFTER      anything else                                  TEXT
    TEXT       anything                                       TEXT

With `closing`, where the server's template has opened the thinking, an answer begins in THINKING. Without it, a
closing tag alone is found when the whole text is there (`after_lone_close`): what was told until then cannot be
taken back.
"""

import re
from enum import Enum, auto

from exai.providers.base import DeltaKind
from exai.providers.profile import ThinkTags

__all__ = ["ThinkTagSplitter", "after_lone_close"]

_OPEN, _CLOSE = "<think>", "</think>"
_LONE_CLOSE = re.compile(r"</think>[ \t]*(?:\n|\Z)")
MAX_BLANKS = 1_000
"""Before an opening tag; more than that is text."""

Split = list[tuple[DeltaKind, str]]


class _State(Enum):
    START = auto()
    THINKING = auto()
    AFTER = auto()
    TEXT = auto()


class ThinkTagSplitter:
    """Takes the text of one answer in pieces, and returns each piece with its kind."""

    __slots__ = ("_held", "_state", "found")

    def __init__(self, tags: ThinkTags) -> None:
        self._state = _State.THINKING if tags == "closing" else _State.START
        self._held = ""
        self.found = False
        """Whether a tag was read."""

    @property
    def thinks(self) -> bool:
        """Whether the answer is inside its thinking."""
        return self._state is _State.THINKING

    def feed(self, piece: str) -> Split:
        """Return what `piece` adds; the beginning of a tag is held until its rest arrives."""
        text, self._held = self._held + piece, ""
        split: Split = []
        if self._state is _State.START:
            text = self._start(text)
        if self._state is _State.THINKING:
            text = self._think(text, split)
        if self._state is _State.AFTER:
            text = text.lstrip()
            if text:
                self._state = _State.TEXT
        if text and self._state is _State.TEXT:
            split.append((DeltaKind.TEXT, text))
        return split

    def end(self) -> Split:
        """Return what was held when the answer ended."""
        held, self._held = self._held, ""
        kind = DeltaKind.REASONING if self._state is _State.THINKING else DeltaKind.TEXT
        return [(kind, held)] if held else []

    def _start(self, text: str) -> str:
        begun = text.lstrip()
        if begun.startswith(_OPEN):
            self._state, self.found = _State.THINKING, True
            return begun[len(_OPEN) :]
        if _OPEN.startswith(begun) and len(text) <= MAX_BLANKS:
            self._held = text
            return ""
        self._state = _State.TEXT
        return text

    def _think(self, text: str, split: Split) -> str:
        thought, closed, rest = text.partition(_CLOSE)
        if closed:
            self._state, self.found = _State.AFTER, True
        else:
            most = min(len(_CLOSE) - 1, len(text))
            size = next((n for n in range(most, 0, -1) if text.endswith(_CLOSE[:n])), 0)
            thought, self._held = text[: len(text) - size], text[len(text) - size :]
        if thought:
            split.append((DeltaKind.REASONING, thought))
        return rest


def after_lone_close(text: str) -> tuple[str, str] | None:
    """Split a text at a closing tag that nothing opened, which ends its line: thinking, answer."""
    found = _LONE_CLOSE.search(text)
    if found is None:
        return None
    thinking, answer = text[: found.start()], text[found.end() :].lstrip()
    return None if _OPEN in thinking or not answer else (thinking, answer)
