"""What checks signatures, and the secret that does so without a pair of keys."""

import hmac
from dataclasses import dataclass
from typing import Literal, Protocol

__all__ = ["OwnAlgorithm", "SharedSecret", "VerifyingKey"]

OwnAlgorithm = Literal["ES256", "EdDSA"]
"""How EXAI itself signs."""


class VerifyingKey(Protocol):
    """A key that checks signatures."""

    @property
    def algorithm(self) -> str:
        """The one algorithm that it is for."""
        ...

    def verifies(self, signed: bytes, signature: bytes) -> bool:
        """Whether `signature` is of these bytes and by this key."""
        ...


@dataclass(frozen=True, slots=True)
class SharedSecret:
    """HS256: who can check can also sign."""

    secret: bytes
    algorithm: str = "HS256"

    def verifies(self, signed: bytes, signature: bytes) -> bool:
        """Whether `signature` is of these bytes, compared in constant time."""
        return hmac.compare_digest(hmac.digest(self.secret, signed, "sha256"), signature)

    def __repr__(self) -> str:
        return "SharedSecret(********)"
