"""Random tokens: API keys and refresh tokens. They mean nothing by themselves; the database knows their SHA-256."""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["OpaqueToken", "new_id"]

Prefix = Literal["exk", "exr"]

_FORM = re.compile(r"(?P<prefix>ex[kr])_(?P<id>[0-9a-f]{16})_(?P<secret>[A-Za-z0-9_-]{43})")


def new_id() -> str:
    """Make a random id, which is no secret."""
    return secrets.token_hex(8)


@dataclass(frozen=True, slots=True)
class OpaqueToken:
    """`exk_<id>_<secret>` is an API key, `exr_...` a refresh token; scanners for leaked secrets know them by it."""

    prefix: Prefix
    id: str
    secret: str = field(repr=False)

    @classmethod
    def new(cls, prefix: Prefix, token_id: str) -> "OpaqueToken":
        """Make a token with 256 random bits."""
        return cls(prefix, token_id, secrets.token_urlsafe(32))

    @classmethod
    def read(cls, text: str, prefix: Prefix) -> "OpaqueToken | None":
        """Parse a token; `None` for anything else."""
        found = _FORM.fullmatch(text)
        return (
            None if found is None or found["prefix"] != prefix else cls(prefix, found["id"], found["secret"])
        )

    @property
    def text(self) -> str:
        """What the client keeps."""
        return f"{self.prefix}_{self.id}_{self.secret}"

    @property
    def sha256(self) -> str:
        """What the database keeps. The secret is random, so that a slow hash would add nothing."""
        return hashlib.sha256(self.secret.encode("ascii")).hexdigest()

    def is_kept_as(self, sha256: str | None) -> bool:
        """Whether this is the secret whose hash was kept, compared in constant time."""
        return sha256 is not None and hmac.compare_digest(self.sha256, sha256)
