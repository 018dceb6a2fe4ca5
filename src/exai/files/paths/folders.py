"""Lists the files of a folder for a prompt, as `walk` finds them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from exai.errors import FileRefused
from exai.files.paths.opening import shown
from exai.files.paths.walk import LeftOut, walking

__all__ = ["FolderFiles", "list_folder"]

MOST_ENTRIES = 20_000
"""Looked at in one folder, those of its folders included."""


@dataclass(slots=True)
class FolderFiles:
    """The files of a folder, and what of it is left out."""

    paths: list[str] = field(default_factory=list)
    """Absolute, in their order."""
    left_out: list[tuple[str, str]] = field(default_factory=list)
    """Paths and reasons; what `.gitignore` names is not among them."""


def list_folder(
    path: str, roots: Sequence[Path], most: int, *, with_secrets: bool = False
) -> FolderFiles | None:
    """List at most `most` files of the folder at an absolute path; `None` where there is a file.

    Args:
        with_secrets: whether files that exist to hold secrets are among them.

    Raises:
        FileRefused: it may not or cannot be read, or has more files.
    """
    with walking(path, roots, MOST_ENTRIES, with_secrets=with_secrets) as walk:
        if walk is None:
            return None
        files, prefix = FolderFiles(), f"{path.rstrip('/')}/"
        for found in walk:
            if isinstance(found, LeftOut):
                files.left_out.append((prefix + found.path, found.why))
                continue
            if len(files.paths) == most:
                raise FileRefused(
                    f"`{shown(path)}` has more files than one call may still name ({most}, of "
                    "`files.max_files`); name a folder in it, or files. What `.gitignore` names does not count."
                )
            files.paths.append(prefix + found.path)
        return files
