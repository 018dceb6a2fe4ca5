"""Keeps large pictures of prompts in the provider's file store: sent once per owner and content, then named by id."""

import re
from collections.abc import AsyncIterator, Sequence

import structlog

from exai.errors import ContextOverflow, ProviderDenied, ProviderRefused, QuotaExhausted
from exai.messages import Image
from exai.providers.pictures import NO_PICTURES, Shown
from exai.providers.remote_files.copies import AccountCopies, Copy
from exai.providers.remote_files.faults import FileTooLargeForProvider, FileUnreadable, ProviderFilesFull
from exai.providers.remote_files.file_store import FileRequest
from exai.storage.files.copy_rows import Method

__all__ = ["PictureUploads"]

_log = structlog.get_logger(__name__)

PURPOSE = "image"
SCHEME = "ms://"
BLOCK_BYTES = 2**18
NOT_TAKEN = (
    ProviderRefused,
    ProviderDenied,
    QuotaExhausted,
    ContextOverflow,
    FileUnreadable,
    FileTooLargeForProvider,
    ProviderFilesFull,
)
"""What an upload that would be refused again is refused with."""


class _Picture:
    """A picture as a source."""

    def __init__(self, image: Image) -> None:
        self._image = image
        self.sha256 = image.sha256
        self.size = len(image.data)
        self.media_type = image.media_type
        self.file_owner = image.file_owner
        self.origin_sha256 = image.origin_sha256
        self.suffix = re.sub(r"[^a-z0-9]", "", image.media_type.partition("/")[2])

    async def blocks(self) -> AsyncIterator[bytes]:
        """Yield all of it."""
        for start in range(0, self.size, BLOCK_BYTES):
            yield self._image.data[start : start + BLOCK_BYTES]


class PictureUploads:
    """Shows the large pictures of a prompt by the ids of their copies."""

    def __init__(self, copies: AccountCopies, *, above_bytes: int) -> None:
        """Upload pictures above `above_bytes`."""
        self._copies = copies
        self._above_bytes = above_bytes

    async def shown(self, images: Sequence[Image], owner: str, request: FileRequest) -> Shown:
        """Return the URLs of the large ones among the `owner`'s `images`, after uploading new ones.

        For a refused upload there is a note, and the picture is sent inside the request.

        Raises:
            ProviderFault: the provider failed, or refused.
            StoreFailed: an upload's row could not be committed.
        """
        large = {image.sha256: image for image in images if len(image.data) > self._above_bytes}
        if not large:
            return NO_PICTURES
        urls: dict[str, str] = {}
        notes: list[str] = []
        uploaded = 0
        for digest, image in large.items():
            copy = await self._copy(image, owner, request)
            if copy is not None:
                urls[digest] = SCHEME + copy.file_id
                uploaded += copy.was_sent
            elif not notes:
                title = self._copies.files.names.title
                notes.append(f"{title} did not keep a large picture, so it was sent inside the request.")
        return Shown(urls=urls, notes=tuple(notes), uploaded=uploaded)

    async def forget_missing(self, shown: Shown, request: FileRequest) -> bool:
        """Forget those pictures that the provider no longer has; return whether there were any."""
        file_ids = [url.removeprefix(SCHEME) for url in shown.urls.values()]
        return await self._copies.forget_missing(file_ids, PURPOSE, request)

    async def _copy(self, image: Image, owner: str, request: FileRequest) -> Copy | None:
        try:
            return await self._copies.copy(owner, _Picture(image), PURPOSE, Method.PICTURE, request)
        except NOT_TAKEN as fault:
            _log.warning(
                "an upload was refused", provider=self._copies.files.store.provider, error=fault.code
            )
            return None
