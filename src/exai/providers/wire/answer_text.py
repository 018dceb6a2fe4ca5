"""The text and the thinking of one answer, from its pieces."""

from exai.providers.base import DeltaKind, OnDelta
from exai.providers.profile import ThinkTags
from exai.providers.untrusted_json import well_formed
from exai.providers.wire.think_tags import ThinkTagSplitter, after_lone_close

__all__ = ["MAX_ANSWER_CHARACTERS", "AnswerText", "AnswerTooLongError", "BrokenAnswerError"]

MAX_ANSWER_CHARACTERS = 8 * 2**20
"""Text, thinking and tool calls together: twice the longest answer of any model."""


class BrokenAnswerError(Exception):
    """What was received is no answer."""


class AnswerTooLongError(BrokenAnswerError):
    """It is longer than any model's answer may be."""


class AnswerText:
    """Joins pieces, and calls `on_delta` with adjacent ones of one kind as one."""

    __slots__ = ("_halves", "_kept", "_on_delta", "_pending", "_pending_kind", "_tags", "characters")

    def __init__(self, on_delta: OnDelta | None, think_tags: ThinkTags) -> None:
        self._on_delta = on_delta
        self._kept: dict[DeltaKind, list[str]] = {DeltaKind.TEXT: [], DeltaKind.REASONING: []}
        self._pending: list[str] = []
        """Pieces of one kind that were not passed to `on_delta` yet."""
        self._pending_kind = DeltaKind.TEXT
        self._halves: dict[DeltaKind, str] = {}
        """The first half of a surrogate pair, by the kind of the piece that ended with it."""
        self._tags = None if think_tags == "off" else ThinkTagSplitter(think_tags)
        self.characters = 0

    @property
    def text(self) -> str:
        return "".join(self._kept[DeltaKind.TEXT])

    @property
    def reasoning(self) -> str | None:
        return "".join(self._kept[DeltaKind.REASONING]) or None

    def add(self, kind: DeltaKind, piece: str) -> None:
        """Add a piece; it is told with those that follow, at the next `flush`."""
        if self._pending_kind is not kind:
            self.flush()
            self._pending_kind = kind
        self._pending.append(piece)

    def count(self, characters: int) -> None:
        """Count characters of the answer.

        Raises:
            AnswerTooLongError: there are more than any model's answer may have.
        """
        self.characters += characters
        if self.characters > MAX_ANSWER_CHARACTERS:
            raise AnswerTooLongError

    def flush(self) -> None:
        """Keep the pending pieces, and pass them to `on_delta`."""
        if not self._pending:
            return
        kind, piece = self._pending_kind, "".join(self._pending)
        self._pending.clear()
        self._take(kind, self._joined(kind, piece))

    def end(self, *, cut: bool) -> None:
        """Keep what was held for a piece that did not come; `cut`: the answer was stopped before its end."""
        self.flush()
        for kind in tuple(self._halves):
            self._take(kind, well_formed(self._halves.pop(kind)))
        if self._tags is not None:
            for kind, piece in self._tags.end():
                self._keep(kind, piece)
            self._correct(self._tags, cut=cut)
            self._tags = None

    def _joined(self, kind: DeltaKind, piece: str) -> str:
        """Join a surrogate pair that is split over two pieces; half a pair at the end is held."""
        half = self._halves.pop(kind, "")
        if not half and piece.isascii():
            return piece
        piece = half + piece
        if "\ud800" <= piece[-1] <= "\udbff":
            self._halves[kind] = piece[-1]
            piece = piece[:-1]
        return well_formed(piece)

    def _take(self, kind: DeltaKind, piece: str) -> None:
        if kind is DeltaKind.TEXT and self._tags is not None:
            for of_kind, part in self._tags.feed(piece):
                self._keep(of_kind, part)
        elif piece:
            self._keep(kind, piece)

    def _keep(self, kind: DeltaKind, piece: str) -> None:
        self._kept[kind].append(piece)
        self.count(len(piece))
        self._tell(kind, piece)

    def _tell(self, kind: DeltaKind, piece: str) -> None:
        if self._on_delta is not None:
            self._on_delta(kind, piece)

    def _correct(self, tags: ThinkTagSplitter, *, cut: bool) -> None:
        """Move what the tags, or their absence, show only at the end of the answer."""
        if tags.found:
            return
        text, thought = self._kept[DeltaKind.TEXT], self._kept[DeltaKind.REASONING]
        if tags.thinks:
            # The thinking was never closed. An answer that came to its end all the same had none.
            if thought and not cut:
                text[:] = ["".join(thought)]
                thought.clear()
                self._tell(DeltaKind.TEXT, text[0])
        elif (split := after_lone_close("".join(text))) is not None:
            before, answer = split
            thought.append(before)
            text[:] = [answer]
