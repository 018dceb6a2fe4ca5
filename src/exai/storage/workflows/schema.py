"""The tables of plans and of workflows."""

from sqlalchemy import Column, Double, ForeignKey, Index, Integer, Table, Text

from exai.storage.column_types import StorableText, UtcDateTime
from exai.storage.metadata import metadata

__all__ = [
    "findings",
    "plan_items",
    "plans",
    "verdicts",
    "workflow_evidence",
    "workflow_requests",
    "workflow_steps",
    "workflows",
]

plans = Table(
    "plans",
    metadata,
    Column("plan_id", StorableText, primary_key=True),
    Column("owner", StorableText, nullable=False),
    Column("goal", StorableText, nullable=False),
    Column("revision", Integer, nullable=False),  # raised by each change of the plan or its items
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Index(None, "owner", "updated_at"),
)

plan_items = Table(
    "plan_items",
    metadata,
    Column("plan_id", Text, ForeignKey("plans.plan_id", ondelete="CASCADE"), primary_key=True),
    Column("item", Integer, primary_key=True),  # from 1, in the order in which they were added
    Column("parent", Integer),  # an item of the same plan
    Column("title", StorableText, nullable=False),
    Column("state", Text, nullable=False),
    Column("accept", StorableText, nullable=False),  # how one sees that it is done
    Column("note", StorableText, nullable=False),
    Column("step", Integer),  # of a plan that an agent makes by itself: which of its steps it is
    Column("branch", StorableText),  # the same: of which branch
)

workflows = Table(
    "workflows",
    metadata,
    Column("workflow_id", Text, primary_key=True),
    Column("owner", StorableText, nullable=False),
    Column("conversation_id", Text, nullable=False),
    Column("tool", Text, nullable=False),
    Column("version", Integer, nullable=False),  # of the tool's definition
    Column("form", Text, nullable=False),  # `server` or `guided`
    Column("state", Text, nullable=False),
    Column("stage", Text, nullable=False),  # that is at work, or was last
    Column("digest", Text, nullable=False),  # of what the call asked for
    Column(
        "process", Text, nullable=False
    ),  # which works at it, or did last; `runs` knows whether it is over
    Column("answer", StorableText),  # JSON
    Column("revision", Integer, nullable=False),  # raised by each change of the run or its steps
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Index(None, "owner", "digest"),
    Index(None, "owner", "conversation_id"),
)
"""One run of a workflow each."""

workflow_requests = Table(
    "workflow_requests",
    metadata,
    Column("workflow_id", Text, ForeignKey("workflows.workflow_id", ondelete="CASCADE"), primary_key=True),
    Column("arguments", StorableText, nullable=False),  # JSON, of the call that began it
)
"""What was asked for, of runs that can be asked for again."""

workflow_steps = Table(
    "workflow_steps",
    metadata,
    Column("workflow_id", Text, ForeignKey("workflows.workflow_id", ondelete="CASCADE"), primary_key=True),
    Column("step", Text, primary_key=True),  # the stage, or the number of a report
    Column("kind", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("digest", Text, nullable=False),  # of what was asked or reported
    Column("asked", Integer, nullable=False),  # how often it was begun
    Column("output", StorableText),  # JSON
    Column("model", StorableText),
    Column("usd", Double),
    Column("seconds", Double),
    Column("call_id", Text, nullable=False),
    Column("began_at", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime),
)

workflow_evidence = Table(
    "workflow_evidence",
    metadata,
    Column("workflow_id", Text, ForeignKey("workflows.workflow_id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True),  # an answer cites it as `E` and this
    Column("stage", Text, nullable=False),  # that gathered it
    Column("source", Text, nullable=False),  # the kind of evidence
    Column("path", StorableText, nullable=False),  # in the workspace; empty: of no one file
    Column("first", Integer, nullable=False),
    Column("last", Integer, nullable=False),
    Column("total", Integer, nullable=False),  # how many lines the whole file has
    Column("rev", StorableText, nullable=False),  # the commit; empty: the workspace as it was
    Column("sha256", Text, nullable=False),
    Column("tokens", Integer, nullable=False),
    Column("why", StorableText, nullable=False),
    Column("left_out", StorableText),  # why no model was shown it; null: one was
    Column("text", StorableText, nullable=False),  # as it was shown; empty of what was left out
)
"""What was gathered for a run, in the order of the prompt."""

findings = Table(
    "findings",
    metadata,
    Column("owner", StorableText, primary_key=True),
    Column("repository", StorableText, primary_key=True),  # a folder's path, or the name that a caller gives
    Column("fingerprint", Text, primary_key=True),
    Column("finding_id", Text, nullable=False),  # as callers name it
    Column("category", Text, nullable=False),
    Column("severity", Text, nullable=False),
    Column("path", StorableText, nullable=False),
    Column("symbol", StorableText, nullable=False),  # the part of the file that it stands in
    Column("quote", StorableText, nullable=False),
    Column("models", StorableText, nullable=False),  # who named it
    Column("kind", Text, nullable=False),  # of the review
    Column("month", Text, nullable=False),  # in which it was shown last
    Column("shown_at", UtcDateTime, nullable=False),
    Index(None, "owner", "finding_id"),
)
"""Findings that reviews showed."""

verdicts = Table(
    "verdicts",
    metadata,
    Column("owner", StorableText, primary_key=True),
    Column("repository", StorableText, primary_key=True),
    Column("fingerprint", Text, primary_key=True),
    Column("verdict", Text, nullable=False),
    Column("reason", StorableText, nullable=False),
    Column("at", UtcDateTime, nullable=False),
)
"""What became of findings."""
