"""Which groups of faults changed lately, whichever process changed them: for what follows them in memory."""

from datetime import datetime

import msgspec
from sqlalchemy import or_, select

from exai.storage.database import Database
from exai.storage.error_tracking.rows import State
from exai.storage.error_tracking.schema import error_fingerprints, error_groups, error_turns, investigations

__all__ = ["FollowedGroup", "GroupChanges"]


class FollowedGroup(msgspec.Struct, frozen=True):
    """How a group stands, and one of the hashes by which it gathers."""

    project_id: int
    hash: str
    number: int
    state: State
    version: int
    seen: int
    code: str | None
    report: str | None = None
    """JSON: of its latest investigation whose cause is likely."""


class GroupChanges:
    """Reads what changed."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def since(self, moment: datetime | None, most: int) -> list[FollowedGroup]:
        """Read the groups that were seen, decided on or explained since a moment, newest first; a row per hash.

        Args:
            moment: `None`: all of them.

        Raises:
            StoreFailed: the database is out of reach.
        """
        group = error_groups.c
        query = _FOLLOWED.order_by(group.last_seen.desc(), error_fingerprints.c.hash).limit(most)
        if moment is not None:
            decided = select(error_turns.c.group_id).where(error_turns.c.at >= moment)
            explained = select(investigations.c.group_id).where(investigations.c.ended_at >= moment)
            query = query.where(
                or_(group.last_seen >= moment, group.group_id.in_(decided), group.group_id.in_(explained))
            )
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return [FollowedGroup(*row) for row in rows]

    async def find(self, project_id: int, hash_: str) -> FollowedGroup | None:
        """Find the group that gathers a hash.

        Raises:
            StoreFailed: the database is out of reach.
        """
        known = error_fingerprints.c
        query = _FOLLOWED.where(known.project_id == project_id, known.hash == hash_)
        row = await self._database.read(lambda connection: connection.execute(query).first())
        return None if row is None else FollowedGroup(*row)


_REPORT = (
    select(investigations.c.report)
    .where(
        investigations.c.group_id == error_groups.c.group_id,
        investigations.c.state == "done",
        investigations.c.level == "likely",
    )
    .order_by(investigations.c.asked_at.desc())
    .limit(1)
    .scalar_subquery()
)
_FOLLOWED = select(
    error_fingerprints.c.project_id,
    error_fingerprints.c.hash,
    error_groups.c.number,
    error_groups.c.state,
    error_groups.c.version,
    error_groups.c.seen,
    error_groups.c.code,
    _REPORT,
).join_from(error_groups, error_fingerprints, error_fingerprints.c.group_id == error_groups.c.group_id)
