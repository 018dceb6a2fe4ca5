"""Rows of the tables of identity, and values made of several rows."""

from datetime import datetime
from typing import Literal

import msgspec

__all__ = ["Added", "IdentitySnapshot", "KeyRow", "Presented", "RefreshRow", "Renewal", "TokenRow"]

Added = Literal["kept", "nothing to replace", "outdated"]
"""What became of a token that was made; "outdated": meanwhile its principal's were revoked, and it with them."""


class KeyRow(msgspec.Struct, frozen=True):
    """A signing key's public half."""

    kid: str
    algorithm: str
    public_key: str
    created_at: datetime
    retired_at: datetime | None = None
    verifies_until: datetime | None = None


class TokenRow(msgspec.Struct, frozen=True, kw_only=True):
    """What was given to one client: an API key, or access tokens and the refresh tokens that renew them."""

    token_id: str
    kind: str
    name: str
    subject: str
    scopes: str
    access_s: float | None
    secret_sha256: str | None
    created_at: datetime
    expires_at: datetime | None
    access_until: datetime | None
    last_used_at: datetime | None = None
    revoked_at: datetime | None = None


class RefreshRow(msgspec.Struct, frozen=True, kw_only=True):
    """One refresh token."""

    refresh_id: str
    token_id: str
    parent_id: str | None
    secret_sha256: str
    created_at: datetime
    expires_at: datetime
    spent_at: datetime | None = None


class Presented(msgspec.Struct, frozen=True):
    """A refresh token that a client presents, with the token it renews."""

    refresh: RefreshRow
    token: TokenRow


class Renewal(msgspec.Struct, frozen=True):
    """What takes the place of a refresh token."""

    presented_id: str
    successor: RefreshRow
    access_until: datetime


class IdentitySnapshot(msgspec.Struct, frozen=True):
    """Everything that verifying needs, as of one revision."""

    revision: int
    keys: list[KeyRow]
    revoked: list[tuple[str, str]]
    """Issuer and token id."""
    epochs: dict[str, datetime]
    """By subject."""
