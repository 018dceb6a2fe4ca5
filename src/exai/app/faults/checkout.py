"""A checkout of git, as far as a start can afford to look at it: in which one a folder lies, its commit, its changes.

Files alone are read. Whether a file was changed is told by the index, as `git status` does: by size and time, and where
these differ by content. What is staged counts as committed.
"""

import hashlib
import os
import struct
from collections.abc import Iterator
from pathlib import Path

__all__ = ["checkout_of", "commit_of", "is_modified"]

CACHE = "__pycache__"

_HEADER = struct.Struct(">4sII")
_ENTRY = struct.Struct(">8xII8xI8xI20sH")
"""Of an entry of the index: seconds and nanoseconds of the change, mode, size, hash, flags."""
_EXTENDED = 0x4000
_SKIPPED = 0x8000
"""Flag of a file that git was told not to look at."""


def checkout_of(folder: Path) -> Path | None:
    """Find the checkout in which a folder lies; `None`: it lies in none."""
    return next((above for above in folder.parents if (above / ".git").is_dir()), None)


def commit_of(top: Path) -> str | None:
    """Read which commit is checked out; `None` where that cannot be read."""
    git = top / ".git"
    try:
        head = (git / "HEAD").read_text(encoding="ascii").strip()
        if not head.startswith("ref: "):
            return head
        ref = head.removeprefix("ref: ")
        if (git / ref).is_file():
            return (git / ref).read_text(encoding="ascii").strip()
        packed = (git / "packed-refs").read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return None
    return next((line.partition(" ")[0] for line in packed if line.endswith(f" {ref}")), None)


def is_modified(top: Path, package: Path) -> bool:
    """Whether a module of a package was changed, removed or added since it was staged or committed.

    `False` where the index cannot be read.
    """
    inside = package.relative_to(top).as_posix()
    prefix = f"{inside}/"
    try:
        found = _files(os.fspath(top), inside)
        for path, mtime_ns, size, sha in _entries((top / ".git" / "index").read_bytes()):
            if path.startswith(prefix):
                status = found.pop(path, None)
                if status is None or _differs(top / path, status, mtime_ns, size, sha):
                    return True
    except (OSError, ValueError, LookupError, struct.error):
        return False
    return any(path.endswith(".py") for path in found)


def _entries(index: bytes) -> Iterator[tuple[str, int, int, bytes]]:
    """Read the index of versions 2 to 4: paths with time in nanoseconds, size and hash."""
    signature, version, count = _HEADER.unpack_from(index)
    if signature != b"DIRC" or version not in {2, 3, 4}:
        raise ValueError
    at, path = _HEADER.size, b""
    for _ in range(count):
        began = at
        seconds, nanoseconds, _mode, size, sha, flags = _ENTRY.unpack_from(index, at)
        at += _ENTRY.size + (2 if flags & _EXTENDED else 0)
        if version == 4:  # a path is the end of the one before, shortened, and what follows
            dropped, at = _number(index, at)
            end = index.index(0, at)
            path = path[: len(path) - dropped] + index[at:end]
            at = end + 1
        else:
            end = index.index(0, at)
            path = index[at:end]
            at = began + (end - began + 8) // 8 * 8
        if not flags & _SKIPPED:
            yield os.fsdecode(path), seconds * 10**9 + nanoseconds, size, sha


def _number(index: bytes, at: int) -> tuple[int, int]:
    """Read a number of variable length, as packs spell offsets."""
    value = index[at] & 0x7F
    while index[at] & 0x80:
        at += 1
        value = ((value + 1) << 7) | (index[at] & 0x7F)
    return value, at + 1


def _differs(file: Path, status: os.stat_result, mtime_ns: int, size: int, sha: bytes) -> bool:
    if status.st_size & 0xFFFFFFFF == size and status.st_mtime_ns == mtime_ns:
        return False
    try:
        content = file.read_bytes()
    except OSError:
        return True
    return hashlib.sha1(b"blob %d\0%s" % (len(content), content), usedforsecurity=False).digest() != sha


def _files(top: str, folder: str) -> dict[str, os.stat_result]:
    """Return what a folder and those in it hold, by path from the top of the checkout."""
    found: dict[str, os.stat_result] = {}
    with os.scandir(f"{top}/{folder}") as entries:
        for entry in entries:
            path = f"{folder}/{entry.name}"
            if not entry.is_dir(follow_symlinks=False):
                found[path] = entry.stat()
            elif entry.name != CACHE:
                found |= _files(top, path)
    return found
