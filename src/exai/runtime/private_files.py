"""Files that hold secrets: read when nobody else can read them, replaced whole or not at all.

Windows has no such modes; there the user's folder protects the files.
"""

import errno
import os
import stat
import tempfile
from pathlib import Path
from typing import TextIO

from exai.errors import StartFault

__all__ = [
    "exposure",
    "make_private_folder",
    "open_private",
    "prove_writable",
    "read_private",
    "replace_private",
]

LARGEST = 2**20
"""Characters; no secret is longer, and a device or a log given by mistake is not read to its end."""


def exposure(status: os.stat_result) -> str | None:
    """Describe who else can read or change a file or folder, as words after "it"; `None` when nobody can.

    A file of another owner, such as a mounted secret of root, may be open to its group: how else is it read.
    """
    if os.name == "nt":
        return None
    mode = stat.S_IMODE(status.st_mode)
    is_ours = status.st_uid == os.geteuid()
    if mode & 0o007:
        return f"is open to every user of this machine (mode {mode:03o})"
    if mode & (0o070 if is_ours else 0o020):
        return f"is open to its group (mode {mode:03o})"
    return None


def read_private(file: Path) -> str:
    """Return the text of a file that holds a secret.

    Raises:
        StartFault: others can read or change it, it is no UTF-8 text, or far too large.
        OSError: it cannot be read.
    """
    with file.open("rb") as stream:
        if (exposed := exposure(os.fstat(stream.fileno()))) is not None:
            raise StartFault(f"{file} holds a secret and {exposed}; run `chmod 600 {file}`.")
        content = stream.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise StartFault(f"{file} is too large to hold a secret; name the right file.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise StartFault(f"{file} is not UTF-8 text; write it anew.") from None


def make_private_folder(folder: Path) -> None:
    """Make a folder with mode 700, and those above it that are missing.

    Raises:
        OSError: it cannot be made.
    """
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    for each in reversed(missing):
        each.mkdir(mode=0o700, exist_ok=True)
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))


def prove_writable(file: Path) -> None:
    """Make the folder of `file` where it is missing, with mode 700, and prove that `replace_private` can work in it.

    Raises:
        OSError: it cannot.
    """
    target = file.resolve()
    make_private_folder(target.parent)
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(target))
    with tempfile.NamedTemporaryFile(dir=target.parent, prefix=f".{target.name}."):
        pass


def open_private(file: Path) -> TextIO:
    """Make a file with mode 600 and open it for writing.

    Raises:
        FileExistsError: there is one of this name.
        OSError: it cannot be made.
    """
    return os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8")


def replace_private(file: Path, text: str) -> None:
    """Replace the file by one with `text` and mode 600; who reads meanwhile gets the old content or the new one.

    Raises:
        OSError: it cannot be written.
    """
    target = file.resolve()
    with tempfile.NamedTemporaryFile(
        "w", dir=target.parent, prefix=f".{target.name}.", delete=False
    ) as beside:
        written = Path(beside.name)  # made with mode 600
        try:
            beside.write(text)
            beside.flush()
            os.fsync(beside.fileno())
            written.replace(target)
        except BaseException:
            written.unlink(missing_ok=True)
            raise
