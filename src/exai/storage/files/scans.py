"""Verdicts of the secret check, by content and version of the rules. They say where and which form, never the text."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, delete, select

from exai.storage.database import Database
from exai.storage.dialects import upsert
from exai.storage.files.rows import DELETING
from exai.storage.schema import blobs, file_scans
from exai.storage.write_operations import LockGroup, row_by_row

__all__ = ["ScanTable", "forget_scans"]


class ScanTable:
    """Finds and keeps verdicts."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, sha256: str, rules: str) -> str | None:
        """Find where the secrets of a content are, as JSON; `None`: it was not looked at by these rules."""
        query = select(file_scans.c.places).where(file_scans.c.sha256 == sha256, file_scans.c.rules == rules)
        return await self._database.read(lambda connection: connection.scalar(query))

    async def keep(self, sha256: str, rules: str, places: str, at: datetime) -> None:
        """Keep a verdict instead of those of other rules, unless the content is gone.

        What follows a slash in `rules` says of what of the content it is a verdict; others by the same rules stay.

        Raises:
            StoreFailed: it was not kept.
        """
        await self._database.write(_keep, (sha256, rules, places, at))


_UPSERT = upsert(file_scans, ("verdict", "places", "at"))


@row_by_row(LockGroup.FILES)
def _keep(connection: Connection, write: tuple[str, str, str, datetime]) -> None:
    sha256, rules, places, at = write
    state = connection.scalar(select(blobs.c.state).where(blobs.c.sha256 == sha256))
    if state is None or state == DELETING:
        return
    version = rules.partition("/")[0]
    is_other = (file_scans.c.rules != version) & ~file_scans.c.rules.startswith(
        f"{version}/", autoescape=True
    )
    connection.execute(delete(file_scans).where(file_scans.c.sha256 == sha256, is_other))
    verdict = "clean" if places == "[]" else "found"
    _UPSERT.execute(
        connection, {"sha256": sha256, "rules": rules, "verdict": verdict, "places": places, "at": at}
    )


def forget_scans(connection: Connection, digests: Sequence[str]) -> None:
    """Forget the verdicts on contents that are gone."""
    connection.execute(delete(file_scans).where(file_scans.c.sha256.in_(digests)))
