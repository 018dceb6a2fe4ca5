"""Ids and times of answers: made from a seed and a counter, so that equal runs give equal bodies."""

import hashlib
import time
from collections import Counter
from dataclasses import dataclass

__all__ = ["Identities", "Identity"]

_CHINA = 8 * 3600


@dataclass(frozen=True, slots=True)
class Identity:
    """What is particular to one answer."""

    created: int
    """Unix seconds."""
    digest: str
    """64 hexadecimal digits, different for every answer."""

    @property
    def glm_id(self) -> str:
        """`YYYYMMDDHHMMSS` in UTC+8 and 16 hexadecimal digits."""
        return time.strftime("%Y%m%d%H%M%S", time.gmtime(self.created + _CHINA)) + self.digest[:16]

    @property
    def uuid(self) -> str:
        digest = self.digest
        return f"{digest[:8]}-{digest[8:12]}-4{digest[13:16]}-8{digest[17:20]}-{digest[20:32]}"


class Identities:
    """The identities of each provider's answers, in order."""

    def __init__(self, *, seed: int, starts_at: int) -> None:
        self._seed = seed
        self._starts_at = starts_at
        self._given: Counter[str] = Counter()

    def reset(self) -> None:
        """Begin again."""
        self._given.clear()

    def next(self, provider: str) -> Identity:
        """The next answer's identity."""
        number = self._given[provider]
        self._given[provider] = number + 1
        digest = hashlib.blake2b(f"{self._seed}/{provider}/{number}".encode(), digest_size=32).hexdigest()
        return Identity(self._starts_at + number, digest)
