"""The tables as the code sees them. Migrations alone create and change them; a test holds both together.

Partial indexes say their condition for SQLite alone: for one of PostgreSQL, SQLAlchemy would import that dialect.
"""

from sqlalchemy import BigInteger, Column, Double, ForeignKey, Index, Integer, Table, Text, text

from exai.storage.auditor.schema import auditor_observations, auditor_windows
from exai.storage.baselines.schema import call_rollups
from exai.storage.calls.schema import budget_grants, guarded_calls, use_counts
from exai.storage.calls.task_schema import tasks
from exai.storage.column_types import StorableText, UtcDateTime
from exai.storage.error_tracking.schema import error_groups
from exai.storage.fleet.schema import leases, replicas
from exai.storage.identity.schema import (
    auth_revision,
    dashboard_tickets,
    principals,
    refresh_tokens,
    revocations,
    signing_keys,
    tokens,
)
from exai.storage.metadata import metadata
from exai.storage.workflows.schema import (
    findings,
    plan_items,
    plans,
    verdicts,
    workflow_evidence,
    workflow_requests,
    workflow_steps,
    workflows,
)

__all__ = [
    "REQUEST_TIMINGS",
    "TIMINGS",
    "UNCOUNTED",
    "auditor_observations",
    "auditor_windows",
    "auth_revision",
    "blobs",
    "budget_grants",
    "call_rollups",
    "calls",
    "conversations",
    "dashboard_tickets",
    "deletions",
    "error_groups",
    "exchanges",
    "extracts",
    "file_references",
    "file_scans",
    "file_uploads",
    "files",
    "findings",
    "guarded_calls",
    "idempotent_calls",
    "leases",
    "metadata",
    "plan_items",
    "plans",
    "principals",
    "provider_file_uploads",
    "refresh_tokens",
    "replicas",
    "requests",
    "revocations",
    "signing_keys",
    "snapshots",
    "tasks",
    "token_calibrations",
    "tokens",
    "upload_tickets",
    "use_counts",
    "verdicts",
    "workflow_evidence",
    "workflow_requests",
    "workflow_steps",
    "workflows",
]

TIMINGS = (
    "session_wait_ms",
    "global_sem_wait_ms",
    "provider_sem_wait_ms",
    "failed_requests_ms",
    "backoff_ms",
    "connect_ms",
    "first_token_ms",
    "generation_ms",
    "tools_ms",
    "store_ms",
    "processing_ms",
    "latency_ms",
)
"""Stages of a call, about in the order in which they happen; the last is their sum."""

REQUEST_TIMINGS = (
    "provider_sem_wait_ms",
    "failed_requests_ms",
    "backoff_ms",
    "connect_ms",
    "first_token_ms",
    "generation_ms",
)
"""Those of one request."""

UNCOUNTED = "error_counted IS NULL AND (error_hash IS NOT NULL OR outcome = 'lost')"
"""Failed calls that no group's counts have yet."""
GROUPED = "error_hash IS NOT NULL"

calls = Table(
    "calls",
    metadata,
    Column("call_id", Text, primary_key=True),
    Column("run_id", Text, nullable=False),  # the process that began it
    Column("owner", StorableText, nullable=False),
    Column(
        "token", StorableText
    ),  # as `exai token list` names it, of others `<issuer>:<jti>`; null: without one
    Column("door", Text, nullable=False),
    Column("client", StorableText, nullable=False),
    Column("tool", Text, nullable=False),
    Column("model_requested", StorableText),
    Column("model_used", Text),
    Column("provider", Text),
    Column("model_reason", StorableText),
    Column("requests", Integer),  # sent to providers: the attempts of its requests
    Column("conversation_id", StorableText),
    Column("began_at", UtcDateTime, nullable=False),
    Column("outcome", Text),  # null: not ended
    Column("error_code", Text),
    Column("input_tokens", Integer),
    Column("cached_tokens", Integer),
    Column("cache_write_tokens", Integer),
    Column("output_tokens", Integer),
    Column("reasoning_tokens", Integer),
    Column("cost_usd", Double),  # of all parts with a known price
    Column("without_price", Integer),  # requests of which a part has none, so that it is not in `cost_usd`
    Column(
        "emulated", Integer
    ),  # requests that a demonstration's emulator answered: nothing was charged for them
    *(Column(name, Double) for name in TIMINGS),
    Column("report", StorableText),  # JSON: how the answer came about, without content
    Column("error_hash", Text),  # by which its failure is grouped
    Column("error_counted", Integer),  # 1: the failure is in the counts of its group
    Index(None, "began_at", "call_id"),
    Index(None, "owner", "began_at", "call_id"),
    Index(None, "conversation_id"),
    Index(
        "ix_calls_error",
        "error_code",
        "began_at",
        "call_id",
        sqlite_where=text("error_code IS NOT NULL"),
    ),
    Index(
        "ix_calls_failed",
        "owner",
        "began_at",
        sqlite_where=text("outcome != 'ok'"),
    ),
    Index(
        "ix_calls_open",
        "run_id",
        sqlite_where=text("outcome IS NULL"),
    ),
    Index("ix_calls_error_hash", "error_hash", sqlite_where=text(GROUPED)),
    Index("ix_calls_uncounted", "run_id", sqlite_where=text(UNCOUNTED)),
)

requests = Table(
    "requests",
    metadata,
    Column("call_id", Text, ForeignKey("calls.call_id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True),  # within the call, from 1
    Column("purpose", Text, nullable=False),  # `chat`, `web-search` or `count`
    Column("provider", Text, nullable=False),
    Column("model", Text, nullable=False),  # of a search without a model `web-search`
    Column(
        "attempts", Integer, nullable=False
    ),  # sent to the provider: more than 1 after a retry, 0 if refused before
    Column("outcome", Text, nullable=False),  # `ok`, `cancelled`, or the code of the last failure
    Column("input_tokens", Integer),
    Column("cached_tokens", Integer),
    Column("cache_write_tokens", Integer),
    Column("output_tokens", Integer),
    Column("reasoning_tokens", Integer),
    Column(
        "unreported", Integer, nullable=False, server_default="0"
    ),  # attempts that may be charged for, whose usage the provider did not tell
    Column(
        "services", Text
    ),  # used beside tokens and charged by the piece: JSON, how often by name; null: none
    Column("cost_usd", Double),  # of all parts with a known price
    Column(
        "without_price", Integer, nullable=False, server_default="0"
    ),  # 1 where a part has none, so that it is not in `cost_usd`
    Column(
        "emulated", Integer, nullable=False, server_default="0"
    ),  # 1 where a demonstration's emulator answered: nothing was charged
    *(Column(name, Double) for name in REQUEST_TIMINGS),
    Column("began_at", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime, nullable=False),
    sqlite_with_rowid=False,
)
"""What a call asked of providers, a row per request; `calls` has the sums."""

conversations = Table(
    "conversations",
    metadata,
    Column("conversation_id", StorableText, primary_key=True),
    Column("owner", StorableText, nullable=False),
    Column("exchanges", Integer, nullable=False),
    Column("last_model", Text, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("title", StorableText),
    Column("summary_to", Integer),  # the last exchange that the summary stands for
    Column("summary_tokens", BigInteger),  # estimate
    Column("summary", StorableText),
    Index(None, "owner", "updated_at"),
)

exchanges = Table(
    "exchanges",
    metadata,
    Column(
        "conversation_id",
        StorableText,
        ForeignKey("conversations.conversation_id", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("number", Integer, primary_key=True),
    # The large texts come last: SQLite reads a row from its front, and a budget asks only for the counts.
    Column("tokens", BigInteger, nullable=False),  # estimate for question and answer, counted once
    Column("reasoning_tokens", BigInteger, nullable=False),
    Column("model", Text, nullable=False),
    Column("call_id", Text, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("question", StorableText, nullable=False),
    Column("answer", StorableText, nullable=False),
    Column("reasoning", StorableText),
)

idempotent_calls = Table(
    "idempotent_calls",
    metadata,
    Column("owner", StorableText, primary_key=True),
    Column("idempotency_key", StorableText, primary_key=True),
    Column("digest", Text, nullable=False),  # SHA-256 of the tool and its arguments
    Column("tool", Text, nullable=False),
    Column("call_id", Text, nullable=False),  # the journal's row of the call that ran
    Column("run_id", Text, nullable=False),  # the process that began it
    Column("began_at", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime),  # null: it runs, or its process died
    Column("result", StorableText),  # null in an ended one: too large to be kept, or deleted
    Index(None, "began_at"),
)

token_calibrations = Table(
    "token_calibrations",
    metadata,
    Column("model", Text, primary_key=True),
    Column("samples", BigInteger, nullable=False),
    Column("estimated", Double, nullable=False),  # this and the following: sums that forget slowly
    Column("reported", Double, nullable=False),
    Column("error", Double, nullable=False),
    Column("weight", Double, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
)

provider_file_uploads = Table(
    "provider_file_uploads",
    metadata,
    Column("copy_id", Text, primary_key=True),
    Column("provider", Text, nullable=False),
    Column("account", Text, nullable=False),  # a fingerprint of address and key
    Column("purpose", Text, nullable=False),
    Column("owner", StorableText, nullable=False),  # empty: shared by all, see `files.share_copies`
    Column("sha256", Text),  # of the content as it was sent; null where that is not known any more
    Column("provider_file_id", StorableText),  # null: no answer was received
    Column("filename", StorableText, nullable=False),  # as it was sent; the provider may append to it
    Column("upload_method", Text, nullable=False),  # this and the next: see `storage.files.copies`
    Column("status", Text, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False),  # how often its deletion was given up and begun again
    Column("error_code", Text),
    Column("run_id", Text),  # the process that sends it
    Column("uploaded_at", UtcDateTime, nullable=False),  # from the row's commit, before the request
    Column("used_at", UtcDateTime, nullable=False),
    Column("verified_at", UtcDateTime),  # when the provider said last that it has it
    Column("expires_at", UtcDateTime),  # when the provider deletes it by itself, where it says so
    Column("ended_at", UtcDateTime),  # when it was gone, missing or failed
    Column("origin_sha256", Text),  # of the content from which what was sent is made; null: it is as it was
    Index(
        "ix_provider_file_uploads_live",
        "provider",
        "account",
        "purpose",
        "owner",
        "sha256",
        unique=True,
        sqlite_where=text("status IN ('sending', 'ready', 'unverified')"),
    ),
    Index(None, "provider", "account", "provider_file_id"),
    Index(None, "provider", "account", "used_at"),
    Index(None, "owner", "sha256"),
    Index(None, "owner", "origin_sha256"),
    Index(None, "status"),
)
"""Copies at providers, also those that were: a row stays for a while as proof of what became of it."""

deletions = Table(
    "deletions",
    metadata,
    Column("what", Text, primary_key=True),  # file, copy or blob
    Column("subject", Text, primary_key=True),  # its id; of a blob the SHA-256
    Column("owner", StorableText),
    Column("sha256", Text),
    Column("place", Text, nullable=False),  # the store, or a provider
    Column("asked_at", UtcDateTime, nullable=False),
    Column("confirmed_at", UtcDateTime),
    Column("confirmed_by", Text),
    Column("error_code", Text),
    Index(None, "asked_at"),
)
"""What was to be deleted, and how that was confirmed."""

blobs = Table(
    "blobs",
    metadata,
    Column("sha256", Text, primary_key=True),
    Column("bytes", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("media_type", Text, nullable=False),
    Column("state", Text, nullable=False),  # see `storage.files.tables`
    Column("run_id", Text),  # the process that deletes it
    Column("last_referenced_at", UtcDateTime, nullable=False),
    Index(None, "state", "last_referenced_at"),
)

files = Table(
    "files",
    metadata,
    Column("file_id", StorableText, primary_key=True),
    Column("owner", StorableText, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("name", StorableText, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("removed_at", UtcDateTime),  # null: it is there
    Index(None, "owner", "created_at"),
    Index(None, "sha256"),
)

file_references = Table(
    "file_references",
    metadata,
    Column("sha256", Text, primary_key=True),
    Column("owner", StorableText, primary_key=True),
    Column("reason", Text, primary_key=True),
    Column("subject", Text, primary_key=True),
    Column("at", UtcDateTime, nullable=False),
    Index(None, "reason", "subject"),
    Index(None, "owner", "reason"),
)

file_uploads = Table(
    "file_uploads",
    metadata,
    Column("upload_id", StorableText, primary_key=True),
    Column("owner", StorableText, nullable=False),
    Column("length", BigInteger, nullable=False),
    Column("run_id", Text, nullable=False),  # the process that receives it, or began to
    Column("began_at", UtcDateTime, nullable=False),
    Column("state", Text),  # of a resumable upload, as are the following; see `storage.files.resumable`
    Column("received", BigInteger),  # bytes that are on the disk for sure
    Column("name", StorableText),
    Column("expected_sha256", Text),
    Column("metadata", StorableText),  # as its client sent it
    Column("expires_at", UtcDateTime),
    Column("file_id", Text),  # what became of it
    Index(None, "owner"),
    Index(None, "expires_at"),
)
"""Space that is reserved for what is being received; and resumable uploads, also when they are over."""

extracts = Table(
    "extracts",
    metadata,
    Column("sha256", Text, primary_key=True),  # of the content that was read
    Column("method", Text, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("text_sha256", Text),  # null: it has no text
    Column("text_bytes", BigInteger, nullable=False),
    Column("pages", Integer, nullable=False),
    Column("cut", Text),
    Column("refused", Text),
    Column("at", UtcDateTime, nullable=False),
)
"""Texts that were read from documents."""
snapshots = Table(
    "snapshots",
    metadata,
    Column("tree_id", StorableText, primary_key=True),
    Column("owner", StorableText, nullable=False),
    Column("manifest_sha256", StorableText, nullable=False),
    Column("entries", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),  # of its contents, each counted once
    Column("created_at", UtcDateTime, nullable=False),
    Index(None, "owner", "created_at"),
)
"""Folders as they were; `file_references` has their contents."""

upload_tickets = Table(
    "upload_tickets",
    metadata,
    Column("ticket_sha256", Text, primary_key=True),
    Column("owner", StorableText, nullable=False),
    Column("name", StorableText),
    Column("bytes", BigInteger),
    Column("sha256", Text),
    Column("expires_at", UtcDateTime, nullable=False),
)
"""Each lets whoever holds it put one file of its owner, once."""

file_scans = Table(
    "file_scans",
    metadata,
    Column("sha256", Text, primary_key=True),
    Column("rules", Text, primary_key=True),  # their version
    Column("verdict", Text, nullable=False),  # `clean` or `found`
    Column("places", Text, nullable=False),  # JSON: rule, lines and columns; never what stands there
    Column("at", UtcDateTime, nullable=False),
)
"""What the secret check found in texts."""
