"""The planned changes of files: made whole before the first of them is written."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path

from exai.cli.setup.clients import Client
from exai.cli.setup.documents import entry_text, with_entry
from exai.cli.setup.entries import difference, masked
from exai.cli.setup.server import JsonObject
from exai.errors import StartFault
from exai.runtime.os_errors import reason_of
from exai.runtime.private_files import prove_writable, replace_private

__all__ = ["ClientFile", "KeyFile", "planned"]


@dataclass(frozen=True)
class ClientFile:
    """The planned change of a client's file."""

    client: Client
    file: Path
    content: bytes | None
    """What the file has; `None` where there is none."""
    after: bytes
    shown: str
    """What changes, for the user."""
    changes: bool

    @property
    def what(self) -> str:
        if self.content is None:
            return f"Creates {self.file}"
        return f"Changes {self.file}; what it has now goes to {_backup(self.file).name}"

    def write(self) -> None:
        """Copy the old content beside the file, and replace it atomically.

        Raises:
            StartFault: it cannot be written.
        """
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            if self.content is not None:
                _replace(_backup(self.file), self.content, like=self.file)
            _replace(self.file, self.after, like=self.file)
        except OSError as error:
            raise StartFault(f"{self.file} cannot be written ({reason_of(error)}).") from error


@dataclass(frozen=True)
class KeyFile:
    """The planned file of a key."""

    file: Path
    text: str

    @property
    def what(self) -> str:
        return f"Saves the key of this shell in {self.file}, which only you can read"

    def write(self) -> None:
        """Write it, with mode 600.

        Raises:
            StartFault: it cannot be written.
        """
        try:
            prove_writable(self.file)
            replace_private(self.file, self.text)
        except OSError as error:
            raise StartFault(f"{self.file} cannot be written ({reason_of(error)}).") from error


def planned(client: Client, file: Path, entry: JsonObject) -> ClientFile:
    """Plan what to write for one client.

    Raises:
        StartFault: the file cannot be read, or not be written back without losing something.
    """
    file = file.resolve()
    content, text = None, None
    try:
        content = file.read_bytes()
        text = content.decode("utf-8-sig")
    except FileNotFoundError:
        pass
    except UnicodeDecodeError:
        raise StartFault(f"{file} is not UTF-8 text, so nothing was written; correct or remove it.") from None
    except OSError as error:
        raise StartFault(f"{file} cannot be read ({reason_of(error)}), so nothing was written.") from error
    change = with_entry(text, client, entry, place=str(file))

    def formatted(some: JsonObject) -> str:
        return entry_text(client, some).rstrip()

    is_new = change.before is None
    shown = formatted(masked(change.after)) if is_new else difference(change.before, change.after, formatted)
    return ClientFile(client, file, content, change.text.encode(), shown, change.changes)


def _backup(file: Path) -> Path:
    """Return a name beside the file that is free: an older backup stays."""
    suffixes: Iterator[str] = chain([""], (str(number) for number in count(2)))
    candidates = (file.with_name(f"{file.name}.bak{suffix}") for suffix in suffixes)
    return next(candidate for candidate in candidates if not candidate.exists())


def _replace(file: Path, content: bytes, *, like: Path) -> None:
    """Replace the file atomically, with the permissions of `like` if it exists."""
    with tempfile.NamedTemporaryFile(dir=file.parent, prefix=f".{file.name}.", delete=False) as temporary:
        beside = Path(temporary.name)
        try:
            temporary.write(content)
            temporary.flush()
            beside.chmod(like.stat().st_mode & 0o777 if like.exists() else 0o644)
            beside.replace(file)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise
