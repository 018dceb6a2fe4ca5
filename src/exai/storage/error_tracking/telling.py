"""What webhooks are told of groups. Titles are names of EXAI's own code and settings, never words of an error."""

from datetime import datetime

from sqlalchemy import Connection, select

from exai.config.watching.notify import NoticeKind
from exai.storage.error_tracking.rows import Change, GroupRow, GroupTally
from exai.storage.error_tracking.schema import error_projects
from exai.storage.notices.writing import Notice, Targets, add_notice

__all__ = ["tell_of_group"]

OWN_PROJECT = 1


def tell_of_group(
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
    title = _title(connection, group)
    for kind in kinds:
        add_notice(connection, targets, Notice(kind, f"E-{group.number}", title, counts), at)


def _title(connection: Connection, group: GroupRow) -> str:
    """Name a group; what a program of others reported has that program's name alone."""
    if group.project_id == OWN_PROJECT:
        kind = group.code or group.kind.rpartition(".")[2]
        return f"{kind} in {group.culprit}" if group.culprit else kind
    row = error_projects.c
    name = connection.scalar(select(row.name).where(row.project_id == group.project_id))
    return f"An error that {name or 'a program'} reported"
