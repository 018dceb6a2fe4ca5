"""The tables of tokens and keys, of what was revoked, and of browsers that sign in."""

from sqlalchemy import BigInteger, Column, Double, ForeignKey, Index, Integer, Table, Text

from exai.storage.column_types import StorableText, UtcDateTime
from exai.storage.metadata import metadata

__all__ = [
    "auth_revision",
    "dashboard_tickets",
    "principals",
    "refresh_tokens",
    "revocations",
    "signing_keys",
    "tokens",
]

signing_keys = Table(
    "signing_keys",
    metadata,
    Column("kid", Text, primary_key=True),
    Column("algorithm", Text, nullable=False),
    Column("public_key", Text, nullable=False),  # PEM; the private half is a file in the data folder
    Column("created_at", UtcDateTime, nullable=False),
    Column("retired_at", UtcDateTime),  # null: it may sign
    Column("verifies_until", UtcDateTime),  # of a retired one: until the last token that it signed is over
)

tokens = Table(
    "tokens",
    metadata,
    Column("token_id", Text, primary_key=True),
    Column("kind", Text, nullable=False),  # `token` or `key`
    Column("name", StorableText, nullable=False),
    Column("subject", StorableText, nullable=False),
    Column("scopes", Text, nullable=False),
    Column("access_s", Double),  # how long an access token of it lives
    Column("secret_sha256", Text),  # of a key
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime),  # when nothing of it is good any more; null: never
    Column("access_until", UtcDateTime),  # when the last access token that was made ends
    Column("last_used_at", UtcDateTime),  # within minutes
    Column("revoked_at", UtcDateTime),
    Index(None, "subject"),
)

refresh_tokens = Table(
    "refresh_tokens",
    metadata,
    Column("refresh_id", Text, primary_key=True),
    Column("token_id", Text, ForeignKey("tokens.token_id", ondelete="CASCADE"), nullable=False),
    Column("parent_id", Text),  # the refresh token that it was exchanged for; null: the first
    Column("secret_sha256", Text, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    Column("spent_at", UtcDateTime),  # since one of its successors, or another of its parent's, has been used
    Index(None, "token_id"),
)

revocations = Table(
    "revocations",
    metadata,
    Column("issuer", Text, primary_key=True),
    Column("token_id", StorableText, primary_key=True),
    Column("revoked_at", UtcDateTime, nullable=False),
    Column("keep_until", UtcDateTime, nullable=False),  # when the token is over anyway
)

principals = Table(
    "principals",
    metadata,
    Column("subject", StorableText, primary_key=True),
    Column("epoch_at", UtcDateTime, nullable=False),  # what was issued up to then is over
)

auth_revision = Table(
    "auth_revision",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("revision", BigInteger, nullable=False),  # raised by whatever changes the tables above
)
"""One row: what every process looks at to learn that its picture of the tables above is old."""

dashboard_tickets = Table(
    "dashboard_tickets",
    metadata,
    Column("ticket_sha256", Text, primary_key=True),
    Column("subject", StorableText, nullable=False),
    Column("issuer", Text, nullable=False),  # this and the following: what the principal proved itself with
    Column("token_id", StorableText, nullable=False),
    Column("issued_at", UtcDateTime, nullable=False),
    Column("session_until", UtcDateTime, nullable=False),
    Column("kid", Text),
    Column("expires_at", UtcDateTime, nullable=False),
    Column("scopes", Text, nullable=False, server_default="dashboard"),  # with spaces
)
