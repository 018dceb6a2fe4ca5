"""What may be shown of tokens and signing keys."""

from datetime import datetime

import msgspec

from exai.storage.identity.rows import KeyRow, TokenRow

__all__ = ["KeySummary", "TokenSummary", "summarize_key", "summarize_token"]


class TokenSummary(msgspec.Struct, frozen=True):
    """What may be shown of a token."""

    token_id: str
    kind: str
    name: str
    subject: str
    scopes: list[str]
    created_at: datetime
    expires_at: datetime | None
    """When nothing of it is good any more, unless it is renewed before."""
    last_used_at: datetime | None
    """Within ten minutes; `None`: never."""
    revoked_at: datetime | None
    state: str
    """`active`, `expired` or `revoked`."""


class KeySummary(msgspec.Struct, frozen=True):
    """What may be shown of a signing key."""

    kid: str
    algorithm: str
    created_at: datetime
    retired_at: datetime | None
    verifies_until: datetime | None
    state: str
    """`signs`, `verifies` or `over`."""


def summarize_token(row: TokenRow, now: datetime) -> TokenSummary:
    """Describe a token as it stands at a moment."""
    over = row.expires_at is not None and row.expires_at <= now
    return TokenSummary(
        token_id=row.token_id,
        kind=row.kind,
        name=row.name,
        subject=row.subject,
        scopes=row.scopes.split(),
        created_at=row.created_at,
        expires_at=row.expires_at,
        last_used_at=row.last_used_at,
        revoked_at=row.revoked_at,
        state="revoked" if row.revoked_at is not None else "expired" if over else "active",
    )


def summarize_key(row: KeyRow, now: datetime) -> KeySummary:
    """Describe a signing key as it stands at a moment."""
    if row.retired_at is None:
        state = "signs"
    else:
        state = "verifies" if row.verifies_until is None or row.verifies_until > now else "over"
    return KeySummary(row.kid, row.algorithm, row.created_at, row.retired_at, row.verifies_until, state)
