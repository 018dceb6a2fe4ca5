"""The secret check: what of a file may leave, as `files.secrets` says.

A content is looked at once per version of the rules; the verdict is kept by its SHA-256 and says places, never texts.
"""

import asyncio
import codecs
import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import msgspec

from exai import config
from exai.files.documents.lines import StoredText
from exai.files.faults import DocumentUnreadable, FileTooLarge, NoText, SecretFound, SecretsUnchecked
from exai.files.kinds import DOCUMENTS, PACKAGES, TEXT
from exai.files.paths.opening import shown
from exai.files.secrets.places import Place, places_of
from exai.files.secrets.scanner import SecretScanner
from exai.runtime.clock import Clock
from exai.storage.files.scans import ScanTable
from exai.storage.files.tables import FileRow

__all__ = ["MOST_PLACES", "SecretCheck", "found_raw"]

CLEAN = "[]"
"""The verdict on a content without secrets, as it is kept."""
MOST_PLACES = 500
"""Of one content; one that has more is not shown at all."""
_CARRIED_BYTES = 2**15
_OVERLAP_BYTES = 4_096
"""Of two blocks: no form but a private key is longer, and that is found by its beginning."""
PARTS_VERSION = 1
"""Raised where other parts of a document come to be looked at."""
_PART = re.compile(rb"^\[part ([^\n]*)\]$", re.MULTILINE)
_KEY = b"-----BEGIN "
_KEY_END = b"-----END "


class SecretCheck:
    """Looks for secrets, in threads."""

    def __init__(
        self, settings: config.Files, text: StoredText, table: ScanTable, scanner: SecretScanner, clock: Clock
    ) -> None:
        self.mode = settings.secrets
        self._text = text
        self._table = table
        self._scanner = scanner
        self._clock = clock

    async def of_lines(self, lines: Sequence[str]) -> tuple[Place, ...]:
        """Find the secrets of a text in memory."""
        if self.mode == "off":
            return ()
        return await asyncio.to_thread(self._places, "\n".join(lines).encode(errors="replace"), 1)

    async def of_stored(self, owner: str, file_id: str, by: str | None = None) -> tuple[Place, ...]:
        """Find the secrets of the text of an owner's file, as `by` read it or we; raises what reading it does."""
        if self.mode == "off":
            return ()
        content = (await self._text.text_of(owner, file_id, by)).content
        known = await self._table.find(content.sha256, self._scanner.rules)
        if known is not None:
            return msgspec.json.decode(known, type=tuple[Place, ...])
        places: list[Place] = []
        held, first, is_begun = b"", 1, False
        async for piece in self._text.pieces(content):
            held += piece if is_begun else piece.removeprefix(codecs.BOM_UTF8)
            is_begun = True
            end = _cut(held)
            places += await asyncio.to_thread(self._places, held[:end], first)
            first += held.count(b"\n", 0, end)
            held = held[end:]
            if len(places) > MOST_PLACES:
                break
        places += await asyncio.to_thread(self._places, held, first)
        kept = tuple(places[: MOST_PLACES + 1])
        encoded = msgspec.json.encode(kept).decode()
        await self._table.keep(content.sha256, self._scanner.rules, encoded, self._clock.utc())
        return kept

    async def check_document(self, owner: str, file: FileRow, name: str, *, sends_secrets: bool) -> None:
        """Check a document, or a text, that is to leave as it is: packed or wide, its bytes would not show its secrets.

        Of an Office document all parts are looked at, also those that its text here leaves out. An encrypted PDF and a
        scan have nothing that could be looked at.

        Raises:
            SecretFound: it holds a secret.
            SecretsUnchecked: it cannot be looked through to its end.
            FileDamaged, StoreFull, StoreUnavailable, StoreBusy, StoreFailed: the store's faults.
        """
        if file.kind not in DOCUMENTS | {TEXT.name} or self.passes_raw(sends_secrets=sends_secrets):
            return
        try:
            await self._check_text(owner, file, name)
            if file.kind in PACKAGES:
                await self._check_parts(owner, file, name)
        except (DocumentUnreadable, FileTooLarge) as fault:
            if file.kind == "pdf" and isinstance(fault, DocumentUnreadable) and fault.why == "encrypted":
                return
            raise _unchecked(name, str(fault)) from None

    async def _check_text(self, owner: str, file: FileRow, name: str) -> None:
        try:
            text = await self._text.text_of(owner, file.file_id)
        except NoText:
            return
        if places := await self.of_stored(owner, file.file_id):
            raise found_raw(name, places[0].rule, f"in line {places[0].line:,} of its text")
        if text.cut is not None:
            raise _unchecked(name, f"Only its beginning was: {text.cut}.")

    async def _check_parts(self, owner: str, file: FileRow, name: str) -> None:
        rules = f"{self._scanner.rules}/parts-{PARTS_VERSION}"
        if await self._table.find(file.sha256, rules) == CLEAN:
            return
        held, part = b"", ""
        async with aclosing(self._text.parts_of(owner, file)) as blocks:
            async for block in blocks:
                held += block
                spans = await asyncio.to_thread(self._scanner.spans, held)
                part = _part_at(held, spans[0].start if spans else len(held)) or part
                if spans:
                    raise found_raw(name, spans[0].rule, f"in its part {shown(part)}")
                held = held[-_OVERLAP_BYTES:]
        await self._table.keep(file.sha256, rules, CLEAN, self._clock.utc())

    async def check_raw(self, content: bytes, name: str, *, sends_secrets: bool) -> None:
        """Check bytes that leave as they are.

        Raises:
            SecretFound: they hold a secret.
        """
        if self.passes_raw(sends_secrets=sends_secrets):
            return
        spans = await asyncio.to_thread(self._scanner.spans, content)
        if spans:
            raise found_raw(name, spans[0].rule, f"at byte {spans[0].start:,}")

    async def check_blocks(
        self, blocks: AsyncGenerator[bytes, None], name: str, sha256: str, *, sends_secrets: bool
    ) -> None:
        """Check the bytes of a stored content that leave as they are, without having all of them in memory.

        That they are clean is remembered. Raises what `check_raw` does.
        """
        if self.passes_raw(sends_secrets=sends_secrets):
            return
        if await self._table.find(sha256, self._scanner.rules) == CLEAN:
            return
        held, at = b"", 0
        async with aclosing(blocks):
            async for block in blocks:
                held += block
                spans = await asyncio.to_thread(self._scanner.spans, held)
                if spans:
                    raise found_raw(name, spans[0].rule, f"at byte {at + spans[0].start:,}")
                at += max(0, len(held) - _OVERLAP_BYTES)
                held = held[-_OVERLAP_BYTES:]
        await self._table.keep(sha256, self._scanner.rules, CLEAN, self._clock.utc())

    def passes_raw(self, *, sends_secrets: bool) -> bool:
        """Whether what leaves as it is may hold secrets."""
        return sends_secrets or self.mode in {"off", "warn"}

    def refuse(self, name: str, places: Sequence[Place]) -> None:
        """Refuse a text with secrets, where these are to be blocked, or are too many to be replaced.

        Raises:
            SecretFound: it is not shown.
        """
        if places and (self.mode == "block" or len(places) > MOST_PLACES):
            raise SecretFound(
                f"`{shown(name)}` holds what looks like a secret in line {places[0].line:,} ({places[0].rule}"
                f"{f', and {len(places) - 1} more' if len(places) > 1 else ''}). Remove it there, set "
                '`files.secrets = "redact"`, or give `send_secrets` with a token that has the scope `files:secrets`.'
            )

    def _places(self, content: bytes, first: int) -> tuple[Place, ...]:
        return tuple(places_of(content, self._scanner.spans(content), first))


def found_raw(name: str, rule: str, place: str) -> SecretFound:
    """Make the fault of bytes that hold a secret and may not leave."""
    return SecretFound(
        f"`{shown(name)}` holds what looks like a secret ({rule}, {place}), and its bytes would be sent as they "
        "are. Remove it there, or give `send_secrets` with a token that has the scope `files:secrets`."
    )


def _unchecked(name: str, why: str) -> SecretsUnchecked:
    return SecretsUnchecked(
        f"`{shown(name)}` would be sent as it is, and could not be looked through for secrets. {why} Split it, or give "
        "`send_secrets` with a token that has the scope `files:secrets`."
    )


def _part_at(text: bytes, place: int) -> str | None:
    """Return the name of the part of a document in which a place is, as far as it stands in this text."""
    marks = list(_PART.finditer(text, 0, place))
    return marks[-1][1].decode(errors="replace") if marks else None


def _cut(held: bytes) -> int:
    """Return up to where a piece is looked at: to its last line feed, but not into a private key."""
    end = held.rfind(b"\n") + 1 or len(held)
    begin = held.rfind(_KEY, max(0, end - _CARRIED_BYTES), end)
    if begin > 0 and held.find(_KEY_END, begin, end) < 0:
        return begin
    return end
