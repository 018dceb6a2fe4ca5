"""A bucket of contents in S3, through `obstore` (the extra `exai[s3]`): it is imported where `files.store` names one.

Each request is for a block, so that its time is bounded whatever a content's size is. A content is there once its last
request was answered, and never in part.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import obstore
from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import S3Store

from exai.config import ObjectStorage
from exai.files.faults import StoreUnavailable, damaged

if TYPE_CHECKING:
    from obstore.store import S3Config

__all__ = ["Bucket"]

BLOCK_BYTES = 8 * 2**20
BLOCKS_AT_ONCE = 4
REQUEST_S = 30
RETRIES = 3
RETRYING_S = 20


class Bucket:
    """The contents below one prefix."""

    def __init__(self, place: str, s3: ObjectStorage) -> None:
        """`place` is `s3://BUCKET/PREFIX`."""
        name, _, prefix = place.removeprefix("s3://").partition("/")
        self.store = S3Store(
            name,
            prefix=prefix or None,
            config=_config(s3),
            client_options={"allow_http": True, "timeout": timedelta(seconds=REQUEST_S)},
            retry_config={"max_retries": RETRIES, "retry_timeout": timedelta(seconds=RETRYING_S)},
        )

    async def put(self, digest: str, file: Path) -> None:
        """Store a file under its digest; what is there is replaced.

        Raises:
            StoreUnavailable: the bucket fails.
        """
        with _bucket_faults():
            await obstore.put_async(
                self.store, _key(digest), file, chunk_size=BLOCK_BYTES, max_concurrency=BLOCKS_AT_ONCE
            )

    async def size(self, digest: str) -> int | None:
        """Ask for the size of a content; `None` if it is not there.

        Raises:
            StoreUnavailable: the bucket fails.
        """
        with _bucket_faults():
            try:
                return int((await obstore.head_async(self.store, _key(digest)))["size"])
            except FileNotFoundError:
                return None

    async def blocks(self, digest: str, start: int, end: int) -> AsyncIterator[bytes]:
        """Fetch the bytes from `start` up to `end`.

        Raises:
            FileDamaged: the content is not there, or ends early.
            StoreUnavailable: the bucket fails.
        """
        for at in range(start, end, BLOCK_BYTES):
            with _bucket_faults():
                block = await obstore.get_range_async(
                    self.store, _key(digest), start=at, end=min(at + BLOCK_BYTES, end)
                )
            yield bytes(block)

    async def digests(self) -> list[str]:
        """List the contents.

        Raises:
            StoreUnavailable: the bucket fails.
        """
        found: list[str] = []
        with _bucket_faults():
            async for page in self.store.list():
                found += [str(each["path"]).rpartition("/")[2] for each in page]
        return found

    async def remove(self, digest: str) -> None:
        """Remove a content; it is gone when this returns, or was not there.

        Raises:
            StoreUnavailable: the bucket fails.
        """
        with _bucket_faults():
            await obstore.delete_async(self.store, _key(digest))


def _config(s3: ObjectStorage) -> "S3Config":
    given: S3Config = {"region": s3.region}
    if s3.endpoint is not None:
        given["endpoint"] = str(s3.endpoint).rstrip("/")
    if s3.access_key_id is not None and s3.secret_access_key is not None:
        given["access_key_id"] = s3.access_key_id.get_secret_value()
        given["secret_access_key"] = s3.secret_access_key.get_secret_value()
    return given


def _key(digest: str) -> str:
    return f"{digest[:2]}/{digest[2:4]}/{digest}"


@contextmanager
def _bucket_faults() -> Iterator[None]:
    """Translate what `obstore` raises; its messages name addresses and keys, so none of them goes on."""
    try:
        yield
    except FileNotFoundError:
        raise damaged() from None
    except (PermissionDeniedError, UnauthenticatedError):
        raise StoreUnavailable(
            "The bucket of the file store refuses the key. Nothing was lost; tell the operator (`files.s3`)."
        ) from None
    except (BaseError, OSError, ValueError) as error:
        raise StoreUnavailable(
            f"The bucket of the file store cannot be used now ({type(error).__name__}). Nothing was lost; try again "
            "later, and tell the operator if it goes on."
        ) from None
