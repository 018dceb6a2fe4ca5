"""Documents that stand in a request as base64: read before the rules look at the request, and remembered."""

import base64
import binascii
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from exai_emulator.documents.extraction import extract
from exai_emulator.documents.kinds import Kind
from exai_emulator.uploads import UploadFolder

__all__ = ["InlineDocument", "InlineDocuments"]

_REMEMBERED = 16


@dataclass(frozen=True, slots=True)
class InlineDocument:
    """What was found in one."""

    size: int
    kind: Kind
    text: str
    trouble: str
    """Why it could not be read; empty when it could."""


_NOT_BASE64 = InlineDocument(0, "unknown", "", "no base64")


class InlineDocuments:
    """The documents that requests of late brought with them."""

    def __init__(self, uploads: UploadFolder) -> None:
        self._uploads = uploads
        self._known: dict[bytes, InlineDocument] = {}

    async def read(self, encoded: Iterable[str]) -> None:
        """Read those that are not known."""
        for data in encoded:
            key = _key(data)
            found = self._known.pop(key, None) or await self._found(data)
            self._known[key] = found
            while len(self._known) > _REMEMBERED:
                del self._known[next(iter(self._known))]

    def get(self, data: str) -> InlineDocument:
        """What was read of it."""
        return self._known.get(_key(data), _NOT_BASE64)

    async def _found(self, data: str) -> InlineDocument:
        head, comma, rest = data.partition(";base64,")
        try:
            content = base64.b64decode(rest if comma and head.startswith("data:") else data, validate=True)
        except (binascii.Error, ValueError):
            return _NOT_BASE64
        upload = self._uploads.filled(content)
        try:
            extracted = await extract(upload)
            return InlineDocument(upload.size, extracted.kind, extracted.text, extracted.trouble)
        finally:
            upload.delete()


def _key(data: str) -> bytes:
    return hashlib.blake2b(data.encode("utf-8", "surrogatepass")).digest()
