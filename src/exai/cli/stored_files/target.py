"""Where a fetched file is written: whole at its place, or not at all."""

import hashlib
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from exai.errors import StartFault
from exai.runtime.os_errors import reason_of

__all__ = ["Target", "replaced"]


class Target:
    """A file that is being written beside its place."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._digest = hashlib.sha256()

    def write(self, block: bytes) -> None:
        """Append a block."""
        self._digest.update(block)
        self._stream.write(block)

    @property
    def sha256(self) -> str:
        """Of what was written so far."""
        return self._digest.hexdigest()


@contextmanager
def replaced(place: Path, sha256: str) -> Iterator[Target]:
    """Write a file with this content; it is at its place at the end of the scope.

    Raises:
        StartFault: it cannot be written, or the content is another one.
    """
    part = place.with_name(f".{place.name[:100]}.{secrets.token_hex(4)}.part")
    try:
        with part.open("xb") as stream:
            target = Target(stream)
            yield target
        if target.sha256 != sha256:
            raise StartFault("What was sent is not what is stored (its SHA-256 differs); fetch it again.")
        part.replace(place)
    except OSError as error:
        raise StartFault(
            f"{place} cannot be written ({reason_of(error)}); name another by `--output FILE`."
        ) from None
    finally:
        part.unlink(missing_ok=True)
