"""Writes a backup of a SQLite installation: one tar file, private, of one moment, checked before it is done.

The order is what makes it one moment. The file of jobs comes first: a job that ended since is run once more after a
restore, and finds its work done. Then the database; keys and contents come after it, so that each row has its own. A
content that was deleted in between is missing, and then the database is copied once more.
"""

import hashlib
import io
import os
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

import msgspec

from exai.cli.keeping.places import DATABASE, JOBS, MANIFEST, Places
from exai.errors import StartFault
from exai.runtime.os_errors import reason_of
from exai.runtime.version import __version__
from exai.storage.copies.sqlite_copy import contents_of, copy_sqlite, schema_of, trouble_with

__all__ = ["FORMAT", "Manifest", "Member", "Written", "write_backup"]

FORMAT = 1
TRIES = 3
"""Copies of the database, until contents that are missing were missing before."""
BLOCK_BYTES = 2**20


class Member(msgspec.Struct, frozen=True):
    """A file of a backup."""

    name: str
    bytes: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup holds; its last member."""

    format: int
    release: str
    schema_version: str
    made_at: datetime
    members: tuple[Member, ...]


class Written(msgspec.Struct, frozen=True):
    """What was written."""

    bytes: int
    contents: int
    missing: tuple[str, ...]
    """Contents whose bytes were not there before either."""


def write_backup(places: Places, file: Path) -> Written:
    """Write a backup into a new file, mode 600.

    Raises:
        StartFault: the file is there already, or cannot be written; there is nothing to back up, or it is not sound.
    """
    if not places.database.exists():
        raise StartFault(f"There is nothing to back up: {places.database} does not exist.")
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise StartFault(f"{file} exists already, and a backup replaces no file. Name another one.") from None
    except OSError as error:
        raise StartFault(f"{file} cannot be written ({reason_of(error)}).") from error
    try:
        with os.fdopen(descriptor, "wb") as target, tempfile.TemporaryDirectory(dir=file.parent) as copies:
            written = _write(places, Path(copies), target)
            target.flush()
            os.fsync(target.fileno())
    except BaseException as error:
        with suppress(OSError):
            file.unlink()
        if isinstance(error, OSError):
            raise StartFault(f"{file} cannot be written ({reason_of(error)}).") from error
        raise
    return written


def _write(places: Places, copies: Path, target: IO[bytes]) -> Written:
    jobs, database = copies / JOBS, copies / DATABASE
    if places.jobs.exists():
        _copied(places.jobs, jobs)
    for _ in range(TRIES):
        database.unlink(missing_ok=True)
        _copied(places.database, database)
        if not (missing := _missing(places, database)):
            break
    schema = schema_of(database)
    if schema is None:
        raise StartFault(f"{places.database} is no database of EXAI.")
    members: list[Member] = []
    with tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, source in _sources(places, jobs, database, missing):
            members.append(_add(archive, name, source))
        manifest = Manifest(
            format=FORMAT,
            release=__version__,
            schema_version=schema,
            made_at=datetime.now(UTC),
            members=tuple(members),
        )
        body = msgspec.json.encode(manifest)
        archive.addfile(_entry(MANIFEST, len(body)), io.BytesIO(body))
    contents = sum(member.name.startswith("blobs/") for member in members)
    return Written(target.tell(), contents, tuple(missing))


def _copied(source: Path, target: Path) -> None:
    copy_sqlite(source, target)
    if (trouble := trouble_with(target)) is not None:
        raise StartFault(f"{source} is not sound, so its copy was not kept: {trouble}.")


def _missing(places: Places, database: Path) -> list[str]:
    if places.blobs is None:
        return []
    return [
        sha256
        for sha256, size in contents_of(database)
        if not places.blob(sha256).is_file() or places.blob(sha256).stat().st_size != size
    ]


def _sources(
    places: Places, jobs: Path, database: Path, missing: Sequence[str]
) -> Iterator[tuple[str, Path]]:
    if jobs.exists():
        yield JOBS, jobs
    yield DATABASE, database
    for key in sorted(places.keys.glob("*.pem")):
        if places.of(f"keys/{key.name}") is not None:
            yield f"keys/{key.name}", key
    if places.blobs is not None:
        for sha256, _ in contents_of(database):
            if sha256 not in missing:
                yield f"blobs/{sha256}", places.blob(sha256)


def _add(archive: tarfile.TarFile, name: str, source: Path) -> Member:
    """Write a file as it is, and what it was; of a content its name must be what it was."""
    try:
        opened = source.open("rb")
    except FileNotFoundError:
        raise StartFault(f"{source} was deleted while it was backed up. Back up again.") from None
    with opened as file:
        size = os.fstat(file.fileno()).st_size
        reading = _Hashed(file)
        archive.addfile(_entry(name, size), reading)
    if name.startswith("blobs/") and reading.sha256 != name.removeprefix("blobs/"):
        raise StartFault(
            f"The content {source.name} is damaged: run `exai files check --mend`, then back up again."
        )
    return Member(name, size, reading.sha256)


def _entry(name: str, size: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = size, 0o600
    return entry


class _Hashed(io.RawIOBase):
    """Reads a file and hashes what was read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._hash = hashlib.sha256()

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self._hash.update(data)
        return data
