"""Puts a backup into an empty data folder: all of it is read and compared before the first file is at its place."""

import hashlib
import os
import shutil
import tarfile
import tempfile
from pathlib import Path
from typing import IO

import msgspec

from exai.cli.keeping.backup import BLOCK_BYTES, FORMAT, Manifest, Member
from exai.cli.keeping.places import DATABASE, MANIFEST, Places
from exai.cli.running import running_daemons
from exai.errors import StartFault
from exai.runtime.os_errors import reason_of
from exai.runtime.private_files import make_private_folder
from exai.runtime.version import __version__
from exai.storage import migrate
from exai.storage.copies.sqlite_copy import trouble_with

__all__ = ["restore_backup"]

LARGEST_MANIFEST = 512 * 2**20


def restore_backup(places: Places, file: Path) -> Manifest:
    """Put a backup at the places of an installation that has no database yet; return what it said of itself.

    Raises:
        StartFault: a daemon runs there, or a file is there; the backup is broken, or of another version.
    """
    if running := running_daemons(places.data_dir):
        raise StartFault(
            f"A daemon runs on {places.data_dir} (process {running[0].pid}). Stop it by `exai stop`, and move its data "
            "away: a restore replaces nothing."
        )
    for there in (places.database, places.jobs):
        if there.exists():
            raise StartFault(
                f"{there} exists already, and a restore replaces no file. Move it away, or name another folder with "
                "`--set data_dir=FOLDER`."
            )
    try:
        make_private_folder(places.data_dir)
        with tempfile.TemporaryDirectory(dir=places.data_dir, prefix="restore-") as folder:
            manifest = _unpacked(places, file, Path(folder))
            _put(places, Path(folder), manifest)
    except FileNotFoundError as error:
        raise StartFault(f"{error.filename} does not exist.") from error
    except OSError as error:
        raise StartFault(f"{file} cannot be restored into {places.data_dir} ({reason_of(error)}).") from error
    return manifest


def _unpacked(places: Places, file: Path, folder: Path) -> Manifest:
    """Write every member into `folder` under its number, and compare them with the manifest."""
    found: list[Member] = []
    manifest: Manifest | None = None
    try:
        with tarfile.open(file, "r:") as archive:
            for entry in archive:
                if manifest is not None or not entry.isreg():
                    raise _broken(file, f"`{entry.name[:80]}` has no place in it")
                source = archive.extractfile(entry)
                if source is None:
                    raise _broken(file, f"`{entry.name[:80]}` cannot be read")
                if entry.name == MANIFEST:
                    manifest = _manifest(file, source, entry.size)
                elif places.of(entry.name) is None:
                    raise _broken(file, f"`{entry.name[:80]}` has no place in it")
                else:
                    found.append(_member(entry.name, source, folder / str(len(found))))
    except tarfile.TarError as error:
        raise _broken(file, "it is no tar file, or is cut off") from error
    if manifest is None:
        raise _broken(file, "it is cut off: its list is missing")
    if tuple(found) != manifest.members:
        raise _broken(file, "its members are not those of its list")
    _check_version(file, manifest)
    names = [member.name for member in found]
    if DATABASE not in names:
        raise _broken(file, "it has no database")
    if (trouble := trouble_with(folder / str(names.index(DATABASE)))) is not None:
        raise _broken(file, f"its database is not sound: {trouble}")
    return manifest


def _manifest(file: Path, source: IO[bytes], size: int) -> Manifest:
    if size > LARGEST_MANIFEST:
        raise _broken(file, "its list is too large")
    try:
        return msgspec.json.decode(source.read(), type=Manifest)
    except msgspec.MsgspecError as error:
        raise _broken(file, "its list cannot be read") from error


def _member(name: str, source: IO[bytes], target: Path) -> Member:
    digest, size = hashlib.sha256(), 0
    with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        while block := source.read(BLOCK_BYTES):
            digest.update(block)
            size += len(block)
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
    return Member(name, size, digest.hexdigest())


def _check_version(file: Path, manifest: Manifest) -> None:
    if manifest.format == FORMAT and manifest.schema_version == migrate.head():
        return
    raise StartFault(
        f"{file} was made by EXAI {manifest.release} with schema {manifest.schema_version}, and this is EXAI "
        f"{__version__} with schema {migrate.head()}. Restore it with that version, then update and run `exai migrate`."
    )


def _put(places: Places, folder: Path, manifest: Manifest) -> None:
    """Move the members to their places, the database last: without it there is no installation."""
    for number, member in sorted(enumerate(manifest.members), key=lambda each: each[1].name == DATABASE):
        place = places.of(member.name)
        if place is not None:
            make_private_folder(place.parent)
            shutil.move(folder / str(number), place)


def _broken(file: Path, why: str) -> StartFault:
    return StartFault(f"{file} is no whole backup of EXAI: {why}. Nothing was restored.")
