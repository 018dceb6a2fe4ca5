"""What `exai chat` sends: the words of the command line, what was piped in, and files."""

import base64
import mimetypes
import re
from collections.abc import Sequence
from pathlib import Path

from exai.errors import StartFault
from exai.files.store.handles import is_handle
from exai.runtime.os_errors import reason_of

__all__ = ["data_url", "is_picture", "is_stored", "prompt_of"]

PICTURES = frozenset({".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp"})

_STORED = re.compile(r"tree_[0-9a-f]{32}|exai://.*", re.DOTALL)


def is_stored(given: str) -> bool:
    """Whether this names a stored file, lines of one, or a snapshot; the daemon reads it then."""
    return is_handle(given) or _STORED.fullmatch(given) is not None


def is_picture(file: Path) -> bool:
    """Whether the file's name is that of a picture."""
    return file.suffix.lower() in PICTURES


def prompt_of(words: Sequence[str], piped: str, files: Sequence[Path]) -> str:
    """Put the prompt together. Files are read here: a daemon may run elsewhere, or not be allowed to read them.

    Raises:
        StartFault: there is nothing to ask, or a file cannot be read as text.
    """
    parts = [" ".join(words).strip(), piped.strip(), *(_quoted(file) for file in files)]
    prompt = "\n\n".join(part for part in parts if part)
    if not prompt:
        raise StartFault('There is nothing to ask. Say what: `exai chat "…"`, or pipe it in.')
    return prompt


def data_url(picture: Path) -> str:
    """Return a picture as a `data:` URL.

    Raises:
        StartFault: it cannot be read.
    """
    kind = mimetypes.guess_type(picture.name)[0] or "application/octet-stream"
    return f"data:{kind};base64,{base64.b64encode(_content(picture)).decode()}"


def _quoted(file: Path) -> str:
    try:
        text = _content(file).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise StartFault(f"{file} is not UTF-8 text, and its name is not that of a picture.") from None
    return f"--- {file} ---\n{text.rstrip()}\n--- end of {file} ---"


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise StartFault(f"{file} cannot be read ({reason_of(error)}).") from error
