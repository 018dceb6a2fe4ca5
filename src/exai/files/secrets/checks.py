"""The secret check: what of a file may leave, as `files.secrets` says.

A content is looked at once per version of the rules; the verdict is kept by its SHA-256 and says places, never texts.
"""

import asyncio
import codecs
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import msgspec

from exai import config
from exai.files.documents.lines import StoredText
from exai.files.faults import DocumentUnreadable, FileTooLarge, NoText, SecretFound
from exai.files.paths.opening import shown
from exai.files.secrets.places import Place, places_of
from exai.files.secrets.scanner import SecretScanner
from exai.runtime.clock import Clock
from exai.storage.files.scans import ScanTable

__all__ = ["MOST_PLACES", "SecretCheck", "found_raw"]

CLEAN = "[]"
"""The verdict on a content without secrets, as it is kept."""
MOST_PLACES = 500
"""Of one content; one that has more is not shown at all."""
_CARRIED_BYTES = 2**15
_OVERLAP_BYTES = 4_096
"""Of two blocks: no form but a private key is longer, and that is found by its beginning."""
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

    async def of_document(self, owner: str, file_id: str) -> tuple[Place, ...]:
        """Find the secrets of a document that is to leave as it is: its packed bytes would not show them.

        What has no text that can be read here has none.
        """
        try:
            return await self.of_stored(owner, file_id)
        except (NoText, DocumentUnreadable, FileTooLarge):
            return ()

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


def _cut(held: bytes) -> int:
    """Return up to where a piece is looked at: to its last line feed, but not into a private key."""
    end = held.rfind(b"\n") + 1 or len(held)
    begin = held.rfind(_KEY, max(0, end - _CARRIED_BYTES), end)
    if begin > 0 and held.find(_KEY_END, begin, end) < 0:
        return begin
    return end
