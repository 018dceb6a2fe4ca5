"""The tables of faults and their groups, and of what is kept of calls to judge them by."""

from sqlalchemy import BigInteger, Column, Double, ForeignKey, Index, Integer, Table, Text, text

from exai.storage.column_types import StorableText, UtcDateTime
from exai.storage.metadata import metadata

__all__ = [
    "call_spans",
    "error_callers",
    "error_counts",
    "error_fingerprints",
    "error_groups",
    "error_intake",
    "error_occurrences",
    "error_projects",
    "error_turns",
    "evidence",
    "investigations",
    "releases",
    "samples",
]

call_spans = Table(
    "call_spans",
    metadata,
    Column("call_id", Text, ForeignKey("calls.call_id", ondelete="CASCADE"), primary_key=True),
    Column("spans", Text, nullable=False),  # JSON, see `routing.timeline`
)
"""In which order a call spent its time; of failed calls, of slow ones, and of a share of all."""

samples = Table(
    "samples",
    metadata,
    Column("minute", UtcDateTime, primary_key=True),
    Column("run_id", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("mean", Double, nullable=False),
    Column("max", Double, nullable=False),
    Column("full", Double, nullable=False),  # share of its seconds in which the limit was reached
)
"""How busy a process was, minute by minute."""

error_projects = Table(
    "error_projects",
    metadata,
    Column("project_id", Integer, primary_key=True, autoincrement=True),  # 1 is EXAI itself
    Column("name", StorableText, nullable=False),
    Column("trust", Text, nullable=False),  # own, private or public
    Column("dsn_key_sha256", Text),  # of the key that reports; null: nobody may
    Column("repository", StorableText),
    Column("path_prefix", StorableText),
    Index(None, "name", unique=True),
)

error_groups = Table(
    "error_groups",
    metadata,
    Column("group_id", Text, primary_key=True),
    Column("number", Integer, nullable=False),  # shown as E-17
    Column("project_id", Integer, nullable=False),
    Column("title", StorableText, nullable=False),
    Column("kind", StorableText, nullable=False),  # type of the exception, or the logger
    Column("culprit", StorableText, nullable=False),  # where it was raised
    Column("code", Text),
    Column("fixable_by", Text),
    Column("own_doing", Integer, nullable=False),  # 1: nobody but callers of EXAI itself met it
    Column("state", Text, nullable=False),  # open, resolved or archived
    Column("version", Integer, nullable=False),  # raised by each change of the state
    Column("seen", BigInteger, nullable=False),
    Column("handled", BigInteger, nullable=False),  # of these, put right by a retry or another model
    Column("stored", BigInteger, nullable=False),  # occurrences that were kept, pruned ones included
    Column("lost", BigInteger, nullable=False),  # refused, or dropped by their sender
    Column("callers", Integer, nullable=False),
    Column("first_seen", UtcDateTime, nullable=False),
    Column("last_seen", UtcDateTime, nullable=False),
    Column("first_release", StorableText, nullable=False),
    Column("last_release", StorableText, nullable=False),
    Column("resolved_at", UtcDateTime),
    Column("resolved_in", StorableText),  # a release, or `next`; null: now
    Column("archived_until", UtcDateTime),
    Column("archived_count", BigInteger),  # of `seen`, at which it opens again
    Column("archived_rate", Integer),  # occurrences within an hour, at which it opens again
    Index(None, "number", unique=True),
    Index(None, "state", "last_seen"),
)

error_fingerprints = Table(
    "error_fingerprints",
    metadata,
    Column("project_id", Integer, primary_key=True),
    Column("rule", Integer, primary_key=True),
    Column("hash", Text, primary_key=True),
    Column("group_id", Text, ForeignKey("error_groups.group_id", ondelete="CASCADE"), nullable=False),
    Column("why", StorableText, nullable=False),  # JSON: which line decided, with which parts
    Column("seen", BigInteger, nullable=False),  # these four are its share of those of its group
    Column("handled", BigInteger, nullable=False),
    Column("stored", BigInteger, nullable=False),
    Column("lost", BigInteger, nullable=False),
    Index(None, "group_id"),
)

error_counts = Table(
    "error_counts",
    metadata,
    Column("group_id", Text, ForeignKey("error_groups.group_id", ondelete="CASCADE"), primary_key=True),
    Column("hour", UtcDateTime, primary_key=True),
    Column("hash", Text, primary_key=True),
    Column("release", StorableText, primary_key=True),
    Column("seen", BigInteger, nullable=False),
    Column("handled", BigInteger, nullable=False),
    Column("lost", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

error_callers = Table(
    "error_callers",
    metadata,
    Column("group_id", Text, ForeignKey("error_groups.group_id", ondelete="CASCADE"), primary_key=True),
    Column("subject", StorableText, primary_key=True),
    sqlite_with_rowid=False,
)
"""Who met a group, up to a bound."""

error_occurrences = Table(
    "error_occurrences",
    metadata,
    Column("occurrence_id", Text, primary_key=True),
    Column("group_id", Text, ForeignKey("error_groups.group_id", ondelete="CASCADE"), nullable=False),
    Column("hash", Text, nullable=False),  # that decided, so that a split finds its own
    Column("at", UtcDateTime, nullable=False),
    Column("release", StorableText, nullable=False),
    Column("run_id", Text),
    Column("call_id", Text),
    Column("incident_id", Text),
    Column("event_id", StorableText),
    Column("keep", Integer, nullable=False),  # 1: never pruned by noise
    Column("noise", Double, nullable=False),  # how many like it there are: the noisiest goes first
    Column("body", StorableText, nullable=False),  # JSON, redacted
    Index(None, "group_id", "at"),
    Index(None, "at"),
    Index(None, "event_id"),
)

error_intake = Table(
    "error_intake",
    metadata,
    Column("project_id", Integer, primary_key=True, autoincrement=False),
    Column("hour", UtcDateTime, primary_key=True),
    Column("events", BigInteger, nullable=False),  # faults that were taken
    Column("repeated", BigInteger, nullable=False),  # of an id that was taken before
    Column("not_kept", BigInteger, nullable=False),  # items that nobody reads here
    Column("broken", BigInteger, nullable=False),
    Column("lost", BigInteger, nullable=False),  # refused, or dropped by their sender as it said
)
"""What became of what programs sent."""

error_turns = Table(
    "error_turns",
    metadata,
    Column("group_id", Text, ForeignKey("error_groups.group_id", ondelete="CASCADE"), primary_key=True),
    Column("seq", Integer, primary_key=True),
    Column("at", UtcDateTime, nullable=False),
    Column("actor", StorableText, nullable=False),  # a subject, or `exai`
    Column("kind", Text, nullable=False),
    Column("from_state", Text),
    Column("to_state", Text),
    Column("note", StorableText, nullable=False),
    Column("facts", StorableText, nullable=False),  # JSON
)
"""What happened to a group, besides being seen again."""

releases = Table(
    "releases",
    metadata,
    Column("project_id", Integer, primary_key=True),
    Column("release", StorableText, primary_key=True),
    Column("ordinal", Integer, nullable=False),  # by first sight
    Column("first_seen", UtcDateTime, nullable=False),
    Column("commit", StorableText),
)

investigations = Table(
    "investigations",
    metadata,
    Column("investigation_id", Text, primary_key=True),
    Column("group_id", Text, ForeignKey("error_groups.group_id", ondelete="CASCADE"), nullable=False),
    Column("reason", Text, nullable=False),  # new, regressed, escalated, changed or asked
    Column("asked_by", StorableText, nullable=False),  # a subject, or `exai`
    Column("state", Text, nullable=False),  # asked, running, postponed, done, failed or cancelled
    Column("stage", Text, nullable=False),  # what a running one does, for who waits for it
    Column("round", Integer, nullable=False),  # how often it was postponed; a job per round
    Column("taken_up", Integer, nullable=False),  # how often a process has begun this round
    Column("asked_at", UtcDateTime, nullable=False),
    Column("run_id", Text),  # of the process that began the round
    Column("began_at", UtcDateTime),  # of the round
    Column("ended_at", UtcDateTime),
    Column("seen", BigInteger, nullable=False),  # of the group, when it was asked for
    Column("release", StorableText, nullable=False),  # of the group then, the latest
    Column("requests", Integer, nullable=False),  # that providers were asked, or may have been
    Column("tokens", Integer, nullable=False),
    Column("cost_usd", Double),  # null: not known
    Column("duration_ms", Integer),  # of the round that ended it
    Column("models", StorableText, nullable=False),  # names of those that answered, with commas
    Column("level", Text),  # likely, possible, disputed or unknown
    Column("fix", StorableText, nullable=False),  # what it proposes, in short
    Column("why", StorableText, nullable=False),  # why it failed, was postponed or cancelled; a sentence
    Column("report", StorableText),  # JSON
    Index(None, "group_id", "asked_at"),
    Index(
        "ix_investigations_unfinished",
        "group_id",
        unique=True,
        sqlite_where=text("ended_at IS NULL"),
    ),
)
"""Questions to models about groups; one at a time of each."""

evidence = Table(
    "evidence",
    metadata,
    Column(
        "investigation_id",
        Text,
        ForeignKey("investigations.investigation_id", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("evidence_id", Text, primary_key=True),  # as reports cite it
    Column("kind", Text, nullable=False),
    Column("place", StorableText, nullable=False),
    Column("sha256", Text, nullable=False),  # of the text
    Column("provenance", Text, nullable=False),  # server, own or outside
    Column("text", StorableText, nullable=False),
)
"""What the models of an investigation were shown."""
