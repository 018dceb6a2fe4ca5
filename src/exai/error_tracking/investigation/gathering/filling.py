"""Fills a bundle in the order of importance until there is no more room; what finds none is named."""

import hashlib
from collections.abc import Callable

import msgspec

from exai.conversations.estimates import estimate_tokens
from exai.error_tracking.investigation.bundle import (
    LARGEST_PIECE,
    MOST_TOKENS,
    EvidenceBundle,
    EvidencePiece,
    LeftOut,
    Provenance,
)

__all__ = ["KINDS", "Draft", "Filling"]

KINDS = (
    "occurrence",
    "call",
    "alike",
    "source",
    "history",
    "blame",
    "settings",
    "provider",
    "provider_answer",
    "log",
    "load",
    "resolved",
)
"""In the order in which they are taken; a kind's place, from 1, is the number of its pieces."""
FRAME_TOKENS = 40
"""For the line with which a prompt begins and ends a piece."""


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """A piece that was gathered."""

    kind: str
    place: str
    text: str
    provenance: Provenance = "server"
    path: str = ""
    first: int = 0
    commit: str = ""
    is_failing_place: bool = False
    occurrence_id: str = ""


class Filling:
    """Takes drafts until they are as many tokens as may be."""

    def __init__(
        self,
        withhold: Callable[[str, str], str],
        bundle: EvidenceBundle | None = None,
        most_tokens: int = MOST_TOKENS,
    ) -> None:
        """Go on with a bundle, which may become larger by `most_tokens`.

        `withhold` is given a kind and a text of it, and returns the text without secrets.
        """
        self._withhold = withhold
        self.pieces = [] if bundle is None else list(bundle.pieces)
        self.left_out = [] if bundle is None else list(bundle.left_out)
        self._before = 0 if bundle is None else bundle.tokens
        self._most = most_tokens
        self._tokens = 0
        self._numbers: dict[str, int] = {}
        self._further = len(KINDS)

    @property
    def tokens(self) -> int:
        """Of all pieces."""
        return self._before + self._tokens

    def add(self, draft: Draft) -> None:
        """Take a draft as the next piece of its kind, or name it as left out."""
        self._take(draft, self._numbered(draft.kind))

    def add_further(self, draft: Draft) -> None:
        """Take what was asked for."""
        known = [int(each.evidence_id[1:]) for each in self.pieces if each.evidence_id[1:].isdigit()]
        self._take(draft, f"e{max([self._further, *known]) + 1}")

    def leave_out(self, kind: str, place: str, reason: str, tokens: int = 0) -> None:
        """Name what is not shown, and withhold secrets here too: a model may ask by any text, and reads the reason."""
        self.left_out.append(LeftOut(kind, self._withhold(kind, place), self._withhold(kind, reason), tokens))

    def _take(self, draft: Draft, evidence_id: str) -> None:
        if not draft.text.strip():
            return
        text = _cut(self._withhold(draft.kind, draft.text))
        tokens = estimate_tokens(text) + FRAME_TOKENS
        if self._tokens + tokens > self._most:
            self.leave_out(draft.kind, draft.place, "There was no room for it.", tokens)
            return
        self._tokens += tokens
        self._numbers[draft.kind] = self._numbers.get(draft.kind, 0) + 1
        self.pieces.append(
            EvidencePiece(
                evidence_id=evidence_id,
                kind=draft.kind,
                place=self._withhold(draft.kind, draft.place),
                sha256=hashlib.sha256(text.encode()).hexdigest(),
                provenance=draft.provenance,
                text=text,
                path=self._withhold(draft.kind, draft.path),
                first=draft.first,
                commit=self._withhold(draft.kind, draft.commit),
                is_failing_place=draft.is_failing_place,
                occurrence_id=draft.occurrence_id,
            )
        )

    def _numbered(self, kind: str) -> str:
        number, taken = KINDS.index(kind) + 1, self._numbers.get(kind, 0)
        return f"e{number}" if not taken else f"e{number}.{taken + 1}"


def _cut(text: str) -> str:
    """Cut a text to whole lines of at most so many bytes, in UTF-8 that any database takes."""
    text = text.encode(errors="replace").decode().replace("\x00", "\ufffd")
    data = text.encode()
    if len(data) <= LARGEST_PIECE:
        return text
    cut = data[:LARGEST_PIECE].decode(errors="ignore")
    whole, line_feed, _ = cut.rpartition("\n")
    return whole if line_feed else cut
