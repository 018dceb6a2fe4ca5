"""Write operations, and the order in which a transaction takes its locks.

A write operation is what one commit does with all writes of a kind. The group writer (`group_writer`) hands it the
parameters of those writes in order of arrival, and gets a result for each. Most operations need not know of lists:
`row_by_row` calls a function once per write, `all_at_once` hands over the list and returns nothing.

Who waits for whom
------------------

SQLite: every write transaction begins with `BEGIN IMMEDIATE`, which takes the one write lock of the file. Transactions
of all processes wait for each other there, before they hold anything, for `sqlite.BUSY_TIMEOUT_MS` at most. They
cannot deadlock.

PostgreSQL: a process writes by one transaction at a time, that of its group writer; so only transactions of different
processes wait for one another. Each runs its operations group by group, in the order of `LockGroup`. It therefore
waits only while it holds locks of earlier groups or of the same one. Within a group one of three rules excludes a
circle:

* *alone*: the group begins with a lock of its own, which one transaction holds until it commits;
* *by key*: an operation locks the rows that others may want in the order of their primary keys, by one statement or
  one after the other, and other operations of the group touch only rows that are their process' own;
* *no wait*: rows that somebody else holds are left out (`FOR UPDATE SKIP LOCKED`).

===================  =======  ========================================================================================
group                rule     operations, with their tables in the order in which they are locked
===================  =======  ========================================================================================
`IDENTITY`           alone    add a token: principals (read), tokens, revocations, auth_revision, refresh_tokens;
                              renew: tokens (read), refresh_tokens, tokens; note a use: tokens, refresh_tokens;
                              revoke: auth_revision, principals, tokens, revocations;
                              add or replace signing keys: auth_revision, tokens (read), signing_keys;
                              prune: revocations, refresh_tokens, signing_keys, tokens
`TICKETS`            alone    add: dashboard_tickets or upload_tickets (delete expired, insert); take: the same
`IDEMPOTENT_CALLS`   by key   begin, end, free: idempotent_calls. A begin waits for another process' begin of its key;
                              ends and frees touch rows of calls of this process
`CALLS`              by key   begin, end: calls, then what belongs to a call. All are rows of calls of this process
`CONVERSATIONS`      by key   append: conversations, exchanges; begin and copy: the same, rows that nobody else knows
                              yet; rename, summarize: conversations, one row of each
`CALIBRATIONS`       alone    add: token_calibrations
`USE`                alone    add: use_counts; reserve, settle and release: guarded_calls; grant and settle of a
                              purse: budget_grants; prune: either of them
`WORKFLOWS`          alone    create a plan: plans, plan_items; change one: the same;
                              of runs of workflows begin: workflows, workflow_requests; change, leave: workflows;
                              begin or end a step: workflows, workflow_evidence, workflow_steps; set aside: workflows;
                              prune: workflows, workflow_evidence, workflow_requests, workflow_steps;
                              of reviews show: findings; judge: verdicts
`TASKS`              alone    create, take, end, prune: tasks
`FILES`              alone    reserve: files, blobs (read), file_uploads; claim: blobs, file_references; commit: blobs,
                              files, file_references, file_uploads; link: blobs, files, file_references; remove: files,
                              file_references, blobs; abandon: file_references, blobs, file_uploads; begin deleting,
                              mark damaged: blobs; end deleting, forget an extract: extracts, file_references, blobs,
                              file_scans; keep a verdict: blobs, file_scans;
                              keep an extract: blobs, extracts, file_references, file_uploads; of
                              resumable uploads begin: files, blobs (read), file_uploads; note: file_uploads; finish:
                              file_uploads, blobs, files, file_references; end, expire: file_references, blobs,
                              file_uploads; of snapshots commit: blobs, snapshots, file_references, file_uploads;
                              remove: snapshots, file_references, blobs; changes of copies: provider_file_uploads,
                              deletions
`ERRORS`             alone    count: replicas, error_groups, error_fingerprints, error_turns, releases,
                              error_occurrences, error_counts, error_callers, calls; recover: calls, then the same;
                              decide, merge, split, prune: those of them that they change. The calls are of this
                              process, or of one that is over, whose rows are written by nobody else; begin and end a
                              replica: replicas;
                              of investigations ask: error_groups (read), investigations; begin, note, postpone,
                              cancel: investigations; finish: evidence, error_occurrences, investigations; prune:
                              evidence
`AUDITOR`            alone    see, change and end quiet observations: auditor_observations; keep a window:
                              auditor_windows; prune: auditor_windows, auditor_observations
`CLEANING`           no wait  prune: idempotent_calls, calls; mark lost calls: calls;
                              delete conversations: conversations, idempotent_calls, exchanges
`DELIVERIES`         alone    let through, take, note, end, prune: deliveries. Operations of `USE`, `ERRORS` and
                              `AUDITOR` insert rows there, which nobody else knows yet
`BASELINES`          alone    replace and prune hours: call_rollups, rollup_hours; begin, end and freeze:
                              baseline_runs, baseline_reports
===================  =======  ========================================================================================

Outside the group writer: a migration holds lock 0 of the same kind and expects no daemon (`migrate`); a beat
(`fleet.beating`) locks the row of its own run, which the count of a batch of faults of the same process holds as its
last, and tries the row of a lease without waiting. Reads lock nothing.

A transaction that fails is run again write by write, and each of those is a transaction of one group; a deadlock with
a stranger, such as an operator's own session, costs a second and no write.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Generic, TypeVar

from sqlalchemy import Connection

from exai.storage.dialects import lock_until_commit

__all__ = ["LockGroup", "WriteOperation", "all_at_once", "row_by_row", "together"]

P = TypeVar("P")
R = TypeVar("R")


class LockGroup(IntEnum):
    """Tables that are locked together. A transaction takes the groups in this order; see the top."""

    IDENTITY = 1
    TICKETS = 2
    IDEMPOTENT_CALLS = 3
    CALLS = 4
    CONVERSATIONS = 5
    CALIBRATIONS = 6
    USE = 7
    WORKFLOWS = 8
    TASKS = 9
    FILES = 10
    ERRORS = 11
    AUDITOR = 12
    CLEANING = 13
    DELIVERIES = 14
    BASELINES = 15


ALONE = frozenset(
    {
        LockGroup.IDENTITY,
        LockGroup.TICKETS,
        LockGroup.CALIBRATIONS,
        LockGroup.USE,
        LockGroup.WORKFLOWS,
        LockGroup.TASKS,
        LockGroup.FILES,
        LockGroup.ERRORS,
        LockGroup.AUDITOR,
        LockGroup.DELIVERIES,
        LockGroup.BASELINES,
    }
)
"""Groups in which one transaction works at a time. Their rows are shared by processes, and written seldom."""


@dataclass(frozen=True, slots=True)
class WriteOperation(Generic[P, R]):
    """What one commit does with all writes of a kind: from their parameters to a result for each."""

    name: str
    group: LockGroup
    run: Callable[[Connection, list[P]], list[R]]
    frees_space: bool = False
    """Whether it is needed to free space, and so is written on a full disk as long as there is a reserve."""

    def lock_group(self, connection: Connection) -> None:
        """Take the lock of the operation's group, where it has one. Taking it twice is taking it once."""
        if self.group in ALONE:
            lock_until_commit(connection, self.group)


def row_by_row(
    group: LockGroup, *, frees_space: bool = False
) -> Callable[[Callable[[Connection, P], R]], WriteOperation[P, R]]:
    """Make an operation of a function that does one write and returns its result."""

    def operation(write: Callable[[Connection, P], R]) -> WriteOperation[P, R]:
        def run(connection: Connection, many: list[P]) -> list[R]:
            return [write(connection, parameters) for parameters in many]

        return WriteOperation(write.__qualname__, group, run, frees_space)

    return operation


def all_at_once(
    group: LockGroup,
) -> Callable[[Callable[[Connection, list[P]], None]], WriteOperation[P, None]]:
    """Make an operation of a function that does many writes and has no results, such as one statement for all."""

    def operation(write: Callable[[Connection, list[P]], None]) -> WriteOperation[P, None]:
        def run(connection: Connection, many: list[P]) -> list[None]:
            write(connection, many)
            return [None] * len(many)

        return WriteOperation(write.__qualname__, group, run)

    return operation


def together(
    group: LockGroup,
) -> Callable[[Callable[[Connection, list[P]], list[R]]], WriteOperation[P, R]]:
    """Make an operation of a function that does many writes and returns a result for each, in order."""
    return lambda write: WriteOperation(write.__qualname__, group, write)
