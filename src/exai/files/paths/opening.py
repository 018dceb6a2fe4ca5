"""Opens a file inside given folders, and nothing outside, whatever is renamed meanwhile.

The path is resolved first. Then it is opened from the folder down, one component at a time relative to the descriptor
of the one before, and no component may be a symbolic link (`openat` with `O_NOFOLLOW`, the same on Linux and macOS).
So a component that is replaced by a link between check and use ends the walk.
"""

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from exai.errors import FileRefused
from exai.runtime.os_errors import reason_of

__all__ = ["OutsideRoots", "open_below", "open_folder", "open_inside", "open_known", "shown"]

_LONGEST_SHOWN = 300
_PLAIN = os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
_NEVER = (Path("/dev"), Path("/proc"), Path("/sys"))
"""Never read, even below a root: they contain this process's memory and environment."""


class OutsideRoots(FileRefused):
    """The path is below no folder that may be read."""


def shown(path: str) -> str:
    """Format the caller's path for a message: one line, of bounded length."""
    clean = path if path.isprintable() else ascii(path)[1:-1]
    return clean if len(clean) <= _LONGEST_SHOWN else f"{clean[:_LONGEST_SHOWN]}…"


@contextmanager
def open_inside(path: str, roots: Sequence[Path]) -> Iterator[tuple[int, Path]]:
    """Open the regular file at `path`; return its descriptor and its resolved path.

    Args:
        path: absolute, as the caller gave it; symbolic links in it are followed as long as they end inside.
        roots: folders, resolved.

    Raises:
        FileRefused: it is outside the roots, missing, no regular file or not readable. A path outside gets
            the same answer whether it exists or not.
    """
    real, root = _locate(path, roots)
    with ExitStack() as opened:
        try:
            descriptor = _walk(root, real.relative_to(root).parts, opened)
        except OSError as error:
            raise _refusal(path, error) from error
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise FileRefused(_not_regular(path, mode))
        yield descriptor, real


@contextmanager
def open_folder(path: str, roots: Sequence[Path]) -> Iterator[tuple[int, Path, Path] | None]:
    """Open the folder at `path`; return its descriptor, its resolved path and its root, or `None` where a file is.

    Raises:
        FileRefused: as of a file.
    """
    real, root = _locate(path, roots)
    with ExitStack() as opened:
        try:
            descriptor = _walk(root, real.relative_to(root).parts, opened)
        except OSError as error:
            raise _refusal(path, error) from error
        is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        yield (descriptor, real, root) if is_folder else None


@contextmanager
def open_known(root: Path, parts: Sequence[str]) -> Iterator[int]:
    """Open the regular file that a walk found below a root, which is resolved; return its descriptor.

    No link is followed, so nothing is resolved: where a part has become one, there is no such file.

    Raises:
        FileRefused: it is missing, no regular file or not readable.
    """
    path = "/".join(parts)
    if not parts or any(part in {"", ".", ".."} for part in parts):
        raise FileRefused(f"`{shown(path)}` is no path below a folder.")
    with ExitStack() as opened:
        try:
            descriptor = _walk(root, tuple(parts), opened)
        except (OSError, ValueError) as error:
            raise FileRefused(f"`{shown(path)}` cannot be opened.") from error
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise FileRefused(_not_regular(path, mode))
        yield descriptor


@contextmanager
def open_below(folder: int, parts: Sequence[str]) -> Iterator[int | None]:
    """Open the regular file below the descriptor of a folder that was opened here; `None` where there is none.

    Args:
        folder: of `open_folder`.
        parts: names that are no path, such as digits.
    """
    with ExitStack() as opened:
        try:
            descriptor = _descend(folder, parts, opened)
        except OSError:
            yield None
            return
        yield descriptor if stat.S_ISREG(os.fstat(descriptor).st_mode) else None


def _locate(path: str, roots: Sequence[Path]) -> tuple[Path, Path]:
    """Return the resolved path, and the root that it is under."""
    if not roots:
        raise FileRefused(
            "No file of this machine may be read, as `files.roots` is empty; "
            "start EXAI with `--root FOLDER`, or list the folder there."
        )
    if not Path(path).is_absolute():
        raise FileRefused(f"`{shown(path)}` is not an absolute path; name the file from `/` on.")
    try:
        real = Path(os.path.realpath(path))
        os.fsencode(path)
    except ValueError:
        raise FileRefused(f"`{shown(path)}` holds characters that no path can have.") from None
    except OSError:  # A link vanished while it was followed.
        raise OutsideRoots(_outside(path)) from None
    for root in roots:
        if real.is_relative_to(root) and not any(real.is_relative_to(never) for never in _NEVER):
            return real, root
    raise OutsideRoots(_outside(path))


def _walk(root: Path, parts: Sequence[str], opened: ExitStack) -> int:
    """Open each part in turn, and return the last descriptor. No open waits for a FIFO, or takes a terminal."""
    descriptor = os.open(root, _PLAIN | os.O_NOFOLLOW | os.O_DIRECTORY)
    opened.callback(os.close, descriptor)
    return _descend(descriptor, parts, opened)


def _descend(descriptor: int, parts: Sequence[str], opened: ExitStack) -> int:
    for depth, part in enumerate(parts, start=1):
        kind = os.O_DIRECTORY if depth < len(parts) else 0
        descriptor = os.open(part, _PLAIN | os.O_NOFOLLOW | kind, dir_fd=descriptor)
        opened.callback(os.close, descriptor)
    return descriptor


def _refusal(path: str, error: OSError) -> FileRefused:
    match error.errno:
        case errno.ENOENT:
            sentence = f"`{shown(path)}` does not exist; check the path."
        case errno.EACCES | errno.EPERM:
            sentence = (
                f"`{shown(path)}` may not be read by the user that EXAI runs as; change its permissions."
            )
        case errno.ELOOP:
            return OutsideRoots(_outside(path))
        case errno.ENOTDIR:
            sentence = f"`{shown(path)}` does not exist: a part of the path is no folder."
        case errno.ENXIO | errno.EOPNOTSUPP:
            sentence = f"`{shown(path)}` is a device, pipe or socket; only regular files are read."
        case _:
            sentence = f"`{shown(path)}` cannot be opened ({reason_of(error)})."
    return FileRefused(sentence)


def _not_regular(path: str, mode: int) -> str:
    if stat.S_ISDIR(mode):
        return f"`{shown(path)}` is a folder; name the files in it."
    return f"`{shown(path)}` is a device, pipe or socket; only regular files are read."


def _outside(path: str) -> str:
    return (
        f"`{shown(path)}` is not inside a folder that may be read; "
        "name a file below `files.roots`, or start EXAI with `--root FOLDER`, which adds one."
    )
