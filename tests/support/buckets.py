"""Stores of contents for tests: in a folder, and in a bucket of the tests' S3 with copies in a folder."""

import itertools
import os
from collections.abc import AsyncIterator
from pathlib import Path

import obstore

from exai.files.store.blobs import BlobFolder
from exai.files.store.bucket import Bucket
from exai.files.store.copies import CopyFolder
from exai.files.store.s3 import S3Blobs
from support.s3_server import s3_settings

__all__ = ["CountedBucket", "OpenBucket"]

_numbers = itertools.count(1)


class CountedBucket(Bucket):
    """A bucket that counts the contents which are fetched from it."""

    fetched = 0

    async def blocks(self, digest: str, start: int, end: int) -> AsyncIterator[bytes]:
        self.fetched += 1
        async for block in super().blocks(digest, start, end):
            yield block


class OpenBucket:
    """A store in a prefix of its own, or in another one's, with its parts."""

    def __init__(
        self,
        endpoint: str,
        folder: Path,
        *,
        prefix: str | None = None,
        cache_bytes: int = 2**30,
        free: int = 0,
    ) -> None:
        self.prefix = prefix or f"test/{os.getpid()}-{next(_numbers)}"
        settings = s3_settings(endpoint, self.prefix)
        self.place = folder
        self.bucket = CountedBucket(settings.store, settings.s3)
        self.folder = BlobFolder(folder, "run", keep_free_bytes=free)
        self.copies = CopyFolder(folder / "copies", cache_bytes)
        self.blobs = S3Blobs(self.bucket, self.folder, self.copies)

    @property
    def files(self) -> list[Path]:
        """What lies on this machine."""
        return [file for file in self.place.rglob("*") if file.is_file()]

    @property
    def kept(self) -> set[str]:
        """The digests of the contents that are in the bucket."""
        return {
            str(each["path"]).rpartition("/")[2] for page in obstore.list(self.bucket.store) for each in page
        }

    async def close(self) -> None:
        await self.blobs.close()
        self.folder.close()
