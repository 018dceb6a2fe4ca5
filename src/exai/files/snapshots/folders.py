"""Lists a folder of this machine for a snapshot: its files, hashed, as their paths are in a manifest.

What is in it is found by `paths.walk`. Left out are also files whose contents say that they hold secrets.
"""

import hashlib
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from exai.errors import FileRefused
from exai.files.checks import secret_kind
from exai.files.paths.opening import shown
from exai.files.paths.walk import LeftOut, WalkedFile, left_out_as_secret, left_out_as_unreadable, walking
from exai.files.snapshots.manifests import MOST_ENTRIES, ManifestEntry, checked

__all__ = ["Listing", "list_folder"]

BLOCK_BYTES = 2**20
SEARCHED_BYTES = 2 * 2**20
"""Of each file for contents that are secret."""
MOST_WALKED = 2 * MOST_ENTRIES
"""Files, folders and what is left out."""


@dataclass
class Listing:
    """What a folder holds."""

    entries: list[ManifestEntry] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    """What `.gitignore` excludes is not among it."""

    @property
    def bytes(self) -> int:
        """Of all files."""
        return sum(entry.bytes for entry in self.entries)


def list_folder(folder: Path, roots: Sequence[Path] = ()) -> Listing:
    """List a folder, whose path is resolved; it blocks.

    Args:
        roots: folders that may be read, whose `.gitignore` files count; the folder alone where there are none.

    Raises:
        FileRefused: it cannot be read, or has too many files.
        BadArguments: it has names that some disk cannot keep apart.
    """
    if not folder.is_dir():
        raise FileRefused(f"The folder `{shown(str(folder))}` cannot be read, as there is none.")
    listing = Listing()
    with walking(str(folder), roots or (folder,), MOST_WALKED) as walk:
        for found in walk or ():
            taken = found if isinstance(found, LeftOut) else _hashed(found)
            if isinstance(taken, LeftOut):
                listing.left_out.append(taken)
                continue
            if len(listing.entries) == MOST_ENTRIES:
                raise FileRefused(
                    f"The folder `{shown(str(folder))}` has more than {MOST_ENTRIES:,} files, the most of a snapshot; "
                    "name a folder in it. What `.gitignore` names does not count."
                )
            listing.entries.append(taken)
    listing.entries = checked(listing.entries)
    return listing


def _hashed(file: WalkedFile) -> ManifestEntry | LeftOut:
    """Hash a file, unless it cannot be read or holds a secret."""
    try:
        entry, head = _read(file)
    except OSError as error:
        return left_out_as_unreadable(file.path, error)
    kind = secret_kind(file.real, head.decode(errors="replace"))
    return entry if kind is None else left_out_as_secret(file.path, kind)


def _read(file: WalkedFile) -> tuple[ManifestEntry, bytes]:
    descriptor = file.open()
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
    mode_name = "755" if mode & stat.S_IXUSR else "644"
    return ManifestEntry(file.path, mode_name, size, digest.hexdigest()), head
