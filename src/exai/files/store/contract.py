"""What every store of contents does, in a folder or in a bucket. It knows bytes and digests, and no owners."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Protocol

from exai.files.store.blobs import ReceivedPart

__all__ = ["BlobStore", "Known", "OpenContent"]

Known = Callable[[list[str]], Awaitable[set[str]]]
"""Returns those of some digests whose content is kept."""


class OpenContent(Protocol):
    """A whole content that is open for reading."""

    size: int

    def read(self, start: int, end: int) -> AsyncGenerator[bytes, None]:
        """Yield the bytes from `start` up to `end`, and close the content.

        All of it is checked on the way; where a part is wanted, before, as by `compare`.

        Raises:
            FileDamaged: it is not what its digest says, or ends early.
            StoreUnavailable: the store fails.
        """
        ...

    async def compare(self) -> None:
        """Compare all of it with its digest, unless that was done lately, or the store does not allow it.

        Raises:
            FileDamaged: it is another one.
            StoreUnavailable: the store fails.
        """
        ...

    def close(self) -> None:
        """Let go of it; more than once does nothing."""
        ...


class BlobStore(Protocol):
    """Where whole contents are, each under its SHA-256."""

    async def publish(self, part: ReceivedPart, digest: str) -> None:
        """Put a received content at its place; it is kept when this returns. What is there is replaced.

        Raises:
            StoreFull, StoreUnavailable: the store fails.
        """
        ...

    async def has(self, digest: str, size: int) -> bool:
        """Whether there is a content of this size at its place.

        Raises:
            StoreUnavailable: the store fails.
        """
        ...

    async def open(self, digest: str) -> OpenContent:
        """Open a content.

        Raises:
            FileDamaged: it is not there, or known to be changed.
            StoreUnavailable: the store fails.
        """
        ...

    async def remove(self, digest: str) -> None:
        """Remove a content; it is gone when this returns, or was not there.

        Raises:
            StoreUnavailable: the store fails.
        """
        ...

    async def digests(self) -> list[str]:
        """List the contents that are at their places.

        Raises:
            StoreUnavailable: the store fails.
        """
        ...

    async def forget_removed(self, known: Known) -> None:
        """Remove this machine's copies of contents that are no more, where the store has such copies.

        Raises:
            StoreUnavailable: the disk fails.
        """
        ...
