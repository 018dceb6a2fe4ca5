"""Walks a folder from its root down, without following a link and without running anything.

Each folder is opened relative to the descriptor of the one above, and none of them is a link (see `opening`). What
`.gitignore` files and `.git/info/exclude` name is passed over, those of the folders above up to the root included,
and so is `.git`; nothing of git is run. Everything comes in the order of its path, so the same folder is always the
same list.
"""

import errno
import os
import stat
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from pathspec import GitIgnoreSpec

from exai.errors import FileRefused
from exai.files.checks import secret_kind
from exai.files.paths.opening import open_folder, shown
from exai.protocol.surrogates import is_text
from exai.runtime.os_errors import reason_of

__all__ = [
    "NAME_NO_TEXT",
    "LeftOut",
    "WalkedFile",
    "left_out_as_secret",
    "left_out_as_unreadable",
    "walking",
]

NAME_NO_TEXT = "its name is not UTF-8"
MOST_DEPTH = 40
MOST_IGNORE_BYTES = 2**20
_OPEN = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY


@dataclass(frozen=True, slots=True)
class WalkedFile:
    """A regular file of a folder."""

    path: str
    """Relative to the folder that is walked, with slashes."""
    real: Path
    folder: int
    """The descriptor of the folder that it is in, open until the walk goes on."""

    def open(self) -> int:
        """Open it, unless it was replaced by something else.

        Raises:
            OSError: it cannot be opened, or is no regular file any more.
        """
        descriptor = os.open(self.real.name, _OPEN, dir_fd=self.folder)
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            return descriptor
        os.close(descriptor)
        raise OSError(errno.EINVAL, "no regular file any more")


@dataclass(frozen=True, slots=True)
class LeftOut:
    """What is in a folder, and not in its list."""

    path: str
    """As of a file."""
    why: str
    is_secret: bool = False


Walk = Generator[WalkedFile | LeftOut]


def left_out_as_secret(path: str, kind: str) -> LeftOut:
    """Say that a file seems to hold a secret of a kind."""
    return LeftOut(path, f"looks as if it held {kind}", is_secret=True)


def left_out_as_unreadable(path: str, error: OSError) -> LeftOut:
    """Say why a file or folder cannot be read."""
    return LeftOut(path, f"cannot be read: {reason_of(error)}")


@contextmanager
def walking(
    path: str, roots: Sequence[Path], most_entries: int, *, with_secrets: bool = False
) -> Iterator[Walk | None]:
    """Walk the folder at an absolute path; `None` where there is a file.

    Args:
        most_entries: how many are looked at, those of the folders in it included.
        with_secrets: whether files that exist to hold secrets are among the files.

    Raises:
        FileRefused: it may not or cannot be read, or has more entries.
    """
    with open_folder(path, roots) as opened:
        if opened is None:
            yield None
            return
        descriptor, real, root = opened
        walk = _Walk(path, real, most_entries, with_secrets=with_secrets)
        with closing(walk.all(descriptor, _rules_above(root, real))) as found:
            yield found


class _Rules:
    """The rules of one file, for what is below its folder."""

    def __init__(self, folder: str, lines: Sequence[str]) -> None:
        self._start = len(folder.rstrip("/")) + 1
        self._spec = GitIgnoreSpec.from_lines(lines)

    def verdict(self, path: str) -> bool | None:
        """Return whether they ignore a path, which ends in a slash if it is a folder's; `None`: they do not say."""
        return self._spec.check_file(path[self._start :]).include


def _rules_above(root: Path, folder: Path) -> tuple[_Rules, ...]:
    """Read the rules of the folders from the root down to the one above."""
    rules = []
    for above in reversed(folder.parents):
        if not above.is_relative_to(root):
            continue
        with open_folder(str(above), [root]) as opened:
            if opened is not None:
                rules += _rules_of(opened[0], str(above))
    return tuple(rules)


def _rules_of(descriptor: int, folder: str) -> list[_Rules]:
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

    def __init__(self, given: str, real: Path, most_entries: int, *, with_secrets: bool) -> None:
        self._given = given
        self._real = str(real).rstrip("/")
        self._left = self._most = most_entries
        self._with_secrets = with_secrets

    def all(self, descriptor: int, rules: tuple[_Rules, ...]) -> Walk:
        """Yield what is in the folder, which is open."""
        try:
            yield from self._below(descriptor, "", rules)
        except OSError as error:
            raise FileRefused(f"`{shown(self._given)}` cannot be read ({reason_of(error)}).") from error

    def _below(self, descriptor: int, prefix: str, rules: tuple[_Rules, ...]) -> Walk:
        rules = (*rules, *_rules_of(descriptor, f"{self._real}/{prefix}"))
        for name in self._names(descriptor):
            try:
                yield from self._visit(descriptor, name, prefix + name, rules)
            except FileNotFoundError:
                continue  # it went meanwhile
            except OSError as error:
                yield left_out_as_unreadable(prefix + name, error)

    def _names(self, descriptor: int) -> list[str]:
        """List a folder in the order of the paths of what is in it, for which a folder's name ends in a slash."""
        names = []
        with os.scandir(descriptor) as entries:
            for entry in entries:
                self._left -= 1
                if self._left < 0:
                    raise FileRefused(
                        f"`{shown(self._given)}` has more than {self._most:,} entries; name a folder in it, or files."
                    )
                names.append(entry.name + "/" * entry.is_dir(follow_symlinks=False))
        return [name.rstrip("/") for name in sorted(names)]

    def _visit(self, descriptor: int, name: str, path: str, rules: tuple[_Rules, ...]) -> Walk:
        mode = os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_mode
        is_folder = stat.S_ISDIR(mode)
        said = os.fsencode(path).decode(errors="backslashreplace")
        if name == ".git" or _is_ignored(f"{self._real}/{said}" + "/" * is_folder, rules):
            return
        if not is_text(path):
            yield LeftOut(said, NAME_NO_TEXT)
        elif stat.S_ISLNK(mode):
            yield LeftOut(path, "a link")
        elif is_folder and path.count("/") >= MOST_DEPTH:
            yield LeftOut(path, f"more than {MOST_DEPTH} folders deep")
        elif is_folder:
            inner = os.open(name, _OPEN | os.O_DIRECTORY, dir_fd=descriptor)
            try:
                yield from self._below(inner, f"{path}/", rules)
            finally:
                os.close(inner)
        elif not stat.S_ISREG(mode):
            yield LeftOut(path, "a device, pipe or socket")
        else:
            yield self._file(path, Path(f"{self._real}/{path}"), descriptor)

    def _file(self, path: str, real: Path, descriptor: int) -> WalkedFile | LeftOut:
        kind = None if self._with_secrets else secret_kind(real)
        return WalkedFile(path, real, descriptor) if kind is None else left_out_as_secret(path, kind)


def _is_ignored(path: str, rules: tuple[_Rules, ...]) -> bool:
    """Judge by the rules that are nearest and say something."""
    for each in reversed(rules):
        verdict = each.verdict(path)
        if verdict is not None:
            return verdict
    return False
