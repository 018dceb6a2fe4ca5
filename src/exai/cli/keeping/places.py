"""Where a SQLite installation keeps what a backup holds, and what its members are called there."""

import re
from dataclasses import dataclass
from pathlib import Path

from exai.config import Settings
from exai.errors import StartFault
from exai.storage.database import sqlite_file
from exai.storage.jobs_file import JOBS_FILE_NAME

__all__ = ["DATABASE", "JOBS", "MANIFEST", "Places", "places_of"]

DATABASE = "database.sqlite"
JOBS = "jobs.sqlite"
MANIFEST = "manifest.json"
_KEY = re.compile(r"keys/[0-9a-f]{24}\.pem")
_BLOB = re.compile(r"blobs/[0-9a-f]{64}")


@dataclass(frozen=True)
class Places:
    """The files of an installation."""

    data_dir: Path
    database: Path
    jobs: Path
    blobs: Path | None
    """`None`: a bucket has them, and no backup of ours."""

    @property
    def keys(self) -> Path:
        """The folder of private keys."""
        return self.data_dir / "keys"

    def blob(self, sha256: str) -> Path:
        """Where a content lies in the folder."""
        return (self.blobs or self.data_dir) / sha256[:2] / sha256[2:4] / sha256

    def of(self, member: str) -> Path | None:
        """Where a member of a backup belongs; `None` for a name that no backup has."""
        if member in {DATABASE, JOBS}:
            return self.database if member == DATABASE else self.jobs
        if _KEY.fullmatch(member):
            return self.data_dir / member
        if _BLOB.fullmatch(member):
            return self.blob(member.removeprefix("blobs/"))
        return None


def places_of(settings: Settings) -> Places:
    """Find the files of these settings.

    Raises:
        StartFault: the database is on a server.
    """
    database = sqlite_file(settings.database, settings.data_dir)
    if database is None:
        raise StartFault(
            "`database.url` names PostgreSQL, which has backups of its own: `pg_dump --format=custom`, "
            "and `pg_restore`; docs/operations.md says what else to keep."
        )
    is_folder = settings.files.store == "folder"
    blobs = settings.data_dir / "files" / "blobs" if is_folder else None
    return Places(
        settings.data_dir, database, settings.jobs.file or settings.data_dir / JOBS_FILE_NAME, blobs
    )
