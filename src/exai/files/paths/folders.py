"""Lists the files of a folder for a prompt, without following a link and without running anything.

A folder is walked by descriptors: each one is opened relative to its parent, and none of them is a link (see
`opening`). What `.gitignore` files name is left out, those of the folders above up to the root included, and `.git`
itself; nothing of git is run. Paths come in the order of their names, so that the same folder is the same prompt.
"""

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from pathspec import GitIgnoreSpec

from exai.errors import FileRefused
from exai.files.checks import secret_kind
from exai.files.paths.opening import open_folder, shown

__all__ = ["FolderFiles", "list_folder"]

MOST_ENTRIES = 20_000
"""Looked at in one folder, those of its folders included."""
MOST_DEPTH = 40
MOST_IGNORE_BYTES = 2**20
_OPEN = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


@dataclass(slots=True)
class FolderFiles:
    """The files of a folder, and what of it is left out."""

    paths: list[str] = field(default_factory=list)
    """Absolute, in the order of their names."""
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
    with open_folder(path, roots) as opened:
        if opened is None:
            return None
        descriptor, real, root = opened
        walk = _Walk(path, real, most, with_secrets=with_secrets)
        walk.enter(descriptor, PurePosixPath(), _rules_above(root, real))
        return walk.found


class _Rules:
    """The rules of one `.gitignore`, for what is below its folder."""

    def __init__(self, folder: Path, lines: Sequence[str]) -> None:
        self._folder = folder
        self._spec = GitIgnoreSpec.from_lines(lines)

    def verdict(self, path: Path, *, is_folder: bool) -> bool | None:
        """Return whether they ignore a path; `None`: they say nothing of it."""
        relative = path.relative_to(self._folder).as_posix()
        return self._spec.check_file(relative + "/" if is_folder else relative).include


def _rules_above(root: Path, folder: Path) -> tuple[_Rules, ...]:
    """Read the rules of the folders from the root down to the one above."""
    rules = []
    for above in reversed(folder.parents):
        if not above.is_relative_to(root):
            continue
        with open_folder(str(above), [root]) as opened:
            if opened is not None:
                rules += _rules_of(opened[0], above)
    return tuple(rules)


def _rules_of(descriptor: int, folder: Path) -> list[_Rules]:
    """Read the rules of a folder that is open, those of its repository's `.git/info/exclude` first."""
    names = (".git/info/exclude", ".gitignore")
    return [_Rules(folder, lines) for lines in (_lines(descriptor, name) for name in names) if lines]


def _lines(descriptor: int, name: str) -> list[str]:
    opened: list[int] = []
    try:
        for part in name.split("/"):
            descriptor = os.open(part, _OPEN, dir_fd=descriptor)
            opened.append(descriptor)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return []
        return os.read(descriptor, MOST_IGNORE_BYTES).decode(errors="replace").splitlines()
    except OSError:
        return []
    finally:
        for each in opened:
            os.close(each)


class _Walk:
    """A walk through one folder."""

    def __init__(self, given: str, real: Path, most: int, *, with_secrets: bool) -> None:
        self._given = given
        self._real = real
        self._most = most
        self._with_secrets = with_secrets
        self._entries = 0
        self.found = FolderFiles()

    def enter(self, descriptor: int, below: PurePosixPath, rules: tuple[_Rules, ...]) -> None:
        """List what is in an open folder."""
        rules = (*rules, *_rules_of(descriptor, self._real / below))
        for name in self._names(descriptor):
            path = below / name
            try:
                self._visit(descriptor, path, rules)
            except OSError as error:
                self._leave_out(path, os.strerror(error.errno or 0).lower())

    def _visit(self, descriptor: int, path: PurePosixPath, rules: tuple[_Rules, ...]) -> None:
        mode = os.stat(path.name, dir_fd=descriptor, follow_symlinks=False).st_mode
        is_folder = stat.S_ISDIR(mode)
        if path.name == ".git" or _is_ignored(self._real / path, rules, is_folder=is_folder):
            return
        if stat.S_ISLNK(mode):
            self._leave_out(path, "a link")
        elif is_folder and len(path.parts) > MOST_DEPTH:
            self._leave_out(path, f"more than {MOST_DEPTH} folders deep")
        elif is_folder:
            inner = os.open(path.name, _OPEN | os.O_DIRECTORY, dir_fd=descriptor)
            try:
                self.enter(inner, path, rules)
            finally:
                os.close(inner)
        elif not stat.S_ISREG(mode):
            self._leave_out(path, "a device, pipe or socket")
        elif not self._with_secrets and (kind := secret_kind(self._real / path)) is not None:
            self._leave_out(path, f"looks as if it held {kind}")
        else:
            self._add(path)

    def _names(self, descriptor: int) -> Iterator[str]:
        names = sorted(os.listdir(descriptor))
        self._entries += len(names)
        if self._entries > MOST_ENTRIES:
            raise FileRefused(
                f"`{shown(self._given)}` has more than {MOST_ENTRIES:,} entries; name a folder in it, or files."
            )
        yield from names

    def _add(self, path: PurePosixPath) -> None:
        if len(self.found.paths) == self._most:
            raise FileRefused(
                f"`{shown(self._given)}` has more files than one call may still name ({self._most}, of "
                "`files.max_files`); name a folder in it, or files. What `.gitignore` names does not count."
            )
        self.found.paths.append(f"{self._given.rstrip('/')}/{path}")

    def _leave_out(self, path: PurePosixPath, why: str) -> None:
        self.found.left_out.append((f"{self._given.rstrip('/')}/{path}", why))


def _is_ignored(path: Path, rules: tuple[_Rules, ...], *, is_folder: bool) -> bool:
    """Judge by the rules that are nearest and say something."""
    for each in reversed(rules):
        verdict = each.verdict(path, is_folder=is_folder)
        if verdict is not None:
            return verdict
    return False
