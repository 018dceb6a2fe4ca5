"""Lists a folder of this machine for a snapshot: its files, hashed, as their paths are in a manifest.

The folder is walked from its descriptor down, and no link is followed. Left out are what `.gitignore` files exclude,
the folder `.git`, files whose names or contents say that they hold secrets, links, and what is no regular file.
"""

import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from pathspec import GitIgnoreSpec

from exai.errors import FileRefused
from exai.files.checks import secret_kind
from exai.files.snapshots.manifests import MOST_ENTRIES, ManifestEntry, checked
from exai.runtime.os_errors import reason_of

__all__ = ["LeftOut", "Listing", "list_folder"]

BLOCK_BYTES = 2**20
SEARCHED_BYTES = 2 * 2**20
"""Of each file for contents that are secret."""
IGNORE_FILE = ".gitignore"
LONGEST_IGNORE_FILE = 2**20
NEVER = {".git"}

Rule = tuple[str, GitIgnoreSpec]
"""The folder of a `.gitignore`, with a slash at its end unless it is the top, and what it says."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """What is in a folder, and not in its listing."""

    path: str
    why: str
    is_secret: bool = False


@dataclass
class Listing:
    """What a folder holds."""

    entries: list[ManifestEntry] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    """Files that seem to hold secrets, and what cannot be read; not what `.gitignore` excludes."""

    @property
    def secrets(self) -> list[str]:
        """Paths of files that seem to hold secrets."""
        return [each.path for each in self.left_out if each.is_secret]

    @property
    def unreadable(self) -> list[str]:
        """Paths of what cannot be read."""
        return [each.path for each in self.left_out if not each.is_secret]

    @property
    def bytes(self) -> int:
        """Of all files."""
        return sum(entry.bytes for entry in self.entries)


def list_folder(folder: Path) -> Listing:
    """List a folder; it blocks.

    Raises:
        FileRefused: it cannot be read.
        BadArguments: it has too many files, or names that some disk cannot keep apart.
    """
    listing, rules = Listing(), list[Rule]()
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise FileRefused(f"The folder cannot be read ({reason_of(error)}).") from error
    try:
        _list(descriptor, "", rules, listing, PurePosixPath(folder.name))
    finally:
        os.close(descriptor)
    listing.entries = checked(listing.entries)
    return listing


def _list(descriptor: int, prefix: str, rules: list[Rule], listing: Listing, top: PurePosixPath) -> None:
    own = _ignore_rule(descriptor, prefix)
    rules = [*rules, *own]
    for name, status in _children(descriptor):
        path = prefix + name
        is_folder = stat.S_ISDIR(status.st_mode)
        if name in NEVER or _is_ignored(path + "/" * is_folder, rules):
            continue
        if is_folder:
            _list_below(descriptor, name, path, rules, listing, top)
        elif stat.S_ISREG(status.st_mode) and len(listing.entries) <= MOST_ENTRIES:
            _take(descriptor, name, path, listing, top)


def _list_below(
    parent: int, name: str, path: str, rules: list[Rule], listing: Listing, top: PurePosixPath
) -> None:
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(name, flags, dir_fd=parent)
    except OSError as error:
        listing.left_out.append(_unreadable(path, error))
        return
    try:
        _list(descriptor, f"{path}/", rules, listing, top)
    finally:
        os.close(descriptor)


def _children(descriptor: int) -> Iterator[tuple[str, os.stat_result]]:
    with os.scandir(descriptor) as found:
        names = sorted(each.name for each in found)
    for name in names:
        try:
            yield name, os.stat(name, dir_fd=descriptor, follow_symlinks=False)
        except FileNotFoundError:
            continue


def _take(descriptor: int, name: str, path: str, listing: Listing, top: PurePosixPath) -> None:
    """Hash a file, unless it seems to hold a secret."""
    if (kind := secret_kind(top / path)) is not None:
        listing.left_out.append(_secret(path, kind))
        return
    try:
        found = _hashed(descriptor, name, path, top)
    except OSError as error:
        listing.left_out.append(_unreadable(path, error))
        return
    if isinstance(found, LeftOut):
        listing.left_out.append(found)
    else:
        listing.entries.append(found)


def _secret(path: str, kind: str) -> LeftOut:
    return LeftOut(path, f"looks as if it held {kind}", is_secret=True)


def _unreadable(path: str, error: OSError) -> LeftOut:
    return LeftOut(path, f"cannot be read: {reason_of(error)}")


def _hashed(parent: int, name: str, path: str, top: PurePosixPath) -> ManifestEntry | LeftOut:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
    descriptor = os.open(name, flags, dir_fd=parent)
    try:
        mode = os.fstat(descriptor).st_mode
        digest, size, head = hashlib.sha256(), 0, b""
        while block := os.read(descriptor, BLOCK_BYTES):
            digest.update(block)
            size += len(block)
            if len(head) < SEARCHED_BYTES:
                head += block
    finally:
        os.close(descriptor)
    if (kind := secret_kind(top / path, head.decode(errors="replace"))) is not None:
        return _secret(path, kind)
    return ManifestEntry(path, "755" if mode & stat.S_IXUSR else "644", size, digest.hexdigest())


def _ignore_rule(descriptor: int, prefix: str) -> list[Rule]:
    try:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        opened = os.open(IGNORE_FILE, flags, dir_fd=descriptor)
    except OSError:
        return []
    try:
        text = os.read(opened, LONGEST_IGNORE_FILE).decode(errors="replace")
    except OSError:
        return []
    finally:
        os.close(opened)
    return [(prefix, GitIgnoreSpec.from_lines(text.splitlines()))]


def _is_ignored(path: str, rules: list[Rule]) -> bool:
    """Judge by the deepest `.gitignore` that says something of the path."""
    for prefix, spec in reversed(rules):
        verdict = spec.check_file(path[len(prefix) :]).include
        if verdict is not None:
            return verdict
    return False
