"""Files that were compared with their SHA-256, and are trusted for as long as they stay as they were.

A file that is written to has another time or size; one whose bytes rot on the disk has not, so a comparison counts
for some time only.
"""

import hashlib
import threading
import time
from collections import OrderedDict
from pathlib import Path

from exai.runtime.open_file import OpenFile, identity_of

__all__ = ["ComparedFiles"]

BLOCK_BYTES = 2**20
MOST_KNOWN = 10_000
"""Comparisons that are remembered."""

Identity = tuple[int, ...]


class ComparedFiles:
    """Remembers comparisons. Its methods block; they run in threads, several at a time."""

    def __init__(self, trusted_s: float) -> None:
        """`trusted_s` is how long a comparison counts."""
        self._trusted_s = trusted_s
        self._known: OrderedDict[str, tuple[Identity, float]] = OrderedDict()
        self._lock = threading.Lock()

    def is_right(self, file: OpenFile, digest: str) -> bool:
        """Whether a file has this SHA-256; it is read, unless that was done lately.

        Raises:
            OSError: it cannot be read.
        """
        identity, now = file.identity, time.monotonic()
        known, at = self._known.get(digest, ((), 0.0))
        if known == identity and now - at <= self._trusted_s:
            return True
        if _sha256(file) != digest:
            return False
        self._note(digest, identity)
        return True

    def note(self, file: Path, digest: str) -> None:
        """Note that a file has just been compared."""
        self._note(digest, identity_of(file.stat()))

    def forget(self, digest: str) -> None:
        """Compare a content anew when it is opened next."""
        with self._lock:
            self._known.pop(digest, None)

    def _note(self, digest: str, identity: Identity) -> None:
        with self._lock:
            self._known[digest] = identity, time.monotonic()
            self._known.move_to_end(digest)
            if len(self._known) > MOST_KNOWN:
                self._known.popitem(last=False)


def _sha256(file: OpenFile) -> str:
    digest, at = hashlib.sha256(), 0
    while block := file.read(at, BLOCK_BYTES):
        digest.update(block)
        at += len(block)
    return digest.hexdigest()
