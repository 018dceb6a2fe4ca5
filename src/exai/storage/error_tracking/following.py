"""Which groups of faults changed lately, whichever process changed them: for what follows them in memory."""

from datetime import datetime

import msgspec
from sqlalchemy import or_, select

from exai.storage.database import Database
from exai.storage.error_tracking.rows import State
from exai.storage.error_tracking.schema import error_fingerprints, error_groups, error_turns

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


class GroupChanges:
    """Reads what changed."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def since(self, moment: datetime | None, most: int) -> list[FollowedGroup]:
        """Read the groups that were seen or decided on since a moment, those first that were seen last; a row per hash.

        Args:
            moment: `None`: all of them.

        Raises:
            StoreFailed: the database is out of reach.
        """
        group, known = error_groups.c, error_fingerprints.c
        query = (
            select(
                known.project_id,
                known.hash,
                group.number,
                group.state,
                group.version,
                group.seen,
                group.code,
            )
            .join_from(error_groups, error_fingerprints, known.group_id == group.group_id)
            .order_by(group.last_seen.desc(), known.hash)
            .limit(most)
        )
        if moment is not None:
            decided = select(error_turns.c.group_id).where(error_turns.c.at >= moment)
            query = query.where(or_(group.last_seen >= moment, group.group_id.in_(decided)))
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return [FollowedGroup(*row) for row in rows]
