"""What webhooks are told of groups. Titles are names of EXAI's own code and settings, never words of an error."""

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import Connection, select

from exai.config.watching.notify import NoticeKind
from exai.storage.error_tracking.rows import Change, GroupRow, GroupTally
from exai.storage.error_tracking.schema import error_groups, error_projects
from exai.storage.notices.writing import Notice, Targets, add_notice

__all__ = ["announce_group", "announce_investigation"]

OWN_PROJECT = 1


def announce_group(
    connection: Connection,
    targets: Targets,
    group: GroupRow,
    tally: GroupTally,
    change: Change | None,
    *,
    escalates: bool,
    at: datetime,
) -> None:
    """Write down what is to be told of a group as it was before what came.

    What was put right by a retry or another model is no news; a group is new with the first that was not.
    """
    seen, handled, _ = tally.sums
    kinds: list[NoticeKind] = []
    if group.seen == group.handled and seen > handled:
        kinds.append("error.new")
    if change is not None and change.state == "open":
        kinds.append("error.regressed")
    if escalates and group.state == "open":
        kinds.append("error.escalating")
    kinds = [kind for kind in kinds if targets.want(kind)]
    if not kinds:
        return
    counts = {"seen": group.seen + seen, "now": seen}
    title = _title(connection, group.project_id, group.code, group.kind, group.culprit)
    for kind in kinds:
        add_notice(connection, targets, Notice(kind, f"E-{group.number}", title, counts), at)


def announce_investigation(
    connection: Connection,
    targets: Targets,
    group_id: str,
    how: str,
    counts: Mapping[str, float],
    at: datetime,
) -> None:
    """Write down that an investigation of a group is over; what it found is for those who may read it."""
    if not targets.want("investigation.ended"):
        return
    row = error_groups.c
    group = connection.execute(
        select(row.number, row.project_id, row.code, row.kind, row.culprit).where(row.group_id == group_id)
    ).first()
    if group is None:
        return
    number, *named = group
    title = f"{_title(connection, *named)}: {how}"
    add_notice(connection, targets, Notice("investigation.ended", f"E-{number}", title, counts), at)


def _title(connection: Connection, project_id: int, code: str | None, kind: str, culprit: str) -> str:
    """Name a group; what a program of others reported has that program's name alone."""
    if project_id == OWN_PROJECT:
        short = code or kind.rpartition(".")[2]
        return f"{short} in {culprit}" if culprit else short
    row = error_projects.c
    name = connection.scalar(select(row.name).where(row.project_id == project_id))
    return f"An error that {name or 'a program'} reported"
