"""Keeps large pictures in the provider's file store: uploaded once per account, caller and content, then named by id.

The file is uploaded first, then its row is committed. A crash between the two leaves a file without a row; its name is
`exai-<digest>`. A row whose file is gone is noticed when a request that names it is refused; then the row is deleted
and the picture uploaded again.

Deleting has the opposite order: the row is condemned, so that no request uses the file any more, then the file is
deleted, then the row.
"""

import asyncio
import hashlib
import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol
from weakref import WeakValueDictionary

import aiohttp
import structlog

from exai.errors import (
    ContextOverflow,
    ProviderDenied,
    ProviderFailed,
    ProviderFault,
    ProviderRefused,
    QuotaExhausted,
)
from exai.messages import Image
from exai.providers.faults import Names, Refusal, Row, fault_of
from exai.providers.pictures import NO_PICTURES, Shown
from exai.providers.untrusted_json import UnreadableJsonError, read_json
from exai.runtime.clock import Clock
from exai.storage.uploads import Store, UploadRow, UploadTable

__all__ = ["FileReply", "FileRequest", "PictureUploads", "account_fingerprint"]

_log = structlog.get_logger(__name__)

_REMOTE_ID = re.compile(r"[A-Za-z0-9_.-]{1,128}")
_AT_ONCE = 100
"""Files that are condemned in one transaction."""


@dataclass(frozen=True, slots=True)
class FileReply:
    """A complete response of the provider's file store."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class FileRequest(Protocol):
    """Sends one request to the provider's file store, within the time left to the call."""

    async def __call__(
        self, method: str, path: str, form: Callable[[], aiohttp.MultipartWriter] | None = None
    ) -> FileReply: ...


@dataclass(frozen=True, slots=True)
class _Entry:
    id: str
    status: Any = None

    @property
    def failed(self) -> bool:
        """Whether the provider could not process the file (`status`: `ready` or `error`)."""
        return bool(self.status == "error")


def account_fingerprint(base_url: str, key: str) -> str:
    """Return an id of the account that does not reveal its key."""
    return hashlib.sha256(f"{base_url}\0{key}".encode()).hexdigest()[:32]


class PictureUploads:
    """Uploads pictures to one account, and remembers them."""

    def __init__(
        self,
        *,
        table: UploadTable,
        store: Store,
        errors: Sequence[Row],
        clock: Clock,
        above_bytes: int,
        keep_days: int,
    ) -> None:
        """Upload pictures above `above_bytes`; delete those that were not used for `keep_days`."""
        self._table = table
        self._store = store
        self._errors = tuple(errors)
        self._clock = clock
        self._above_bytes = above_bytes
        self._keep_days = keep_days
        self._locks: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()

    async def shown(self, images: Sequence[Image], owner: str, request: FileRequest, names: Names) -> Shown:
        """Return the URLs of the large ones among the `owner`'s `images`, after uploading new ones.

        For a refused upload there is a note, and the picture is sent inside the request.

        Raises:
            ProviderFault: the provider failed, or refused.
            StoreFailed: an upload's row could not be committed.
        """
        heavy = [image for image in images if len(image.data) > self._above_bytes]
        if not heavy:
            return NO_PICTURES
        large = {image.sha256: image for image in heavy}
        known = await self._table.use(self._store, owner, list(large), self._clock.utc())
        notes: list[str] = []
        missing = large.keys() - known.keys()
        for digest in missing:
            uploaded = await self._uploaded_once(large[digest], owner, request, names)
            if uploaded is not None:
                known[digest] = uploaded
            elif not notes:
                notes.append(
                    f"{names.title} did not keep a large picture, so it was sent inside the request."
                )
        return Shown(
            urls={digest: f"ms://{remote_id}" for digest, remote_id in known.items()},
            notes=tuple(notes),
            uploaded=len(missing & known.keys()),
        )

    async def forget_missing(self, shown: Shown, request: FileRequest) -> bool:
        """Forget those pictures that the provider no longer has; return whether there were any."""
        found = False
        for url in shown.urls.values():
            remote_id = url.removeprefix("ms://")
            reply = await request("GET", f"/files/{remote_id}")
            if reply.status == 404 or (reply.status == 200 and _entry(reply).failed):
                await self._table.forget(self._store, remote_id)
                found = True
        return found

    @property
    def account(self) -> str:
        """The account, by its name in the table."""
        return self._store.account

    async def condemn_unused(self) -> int:
        """Condemn the files that were not used for long, and return how many.

        From then on no request uses them; they are deleted later.
        """
        now = self._clock.utc()
        since = now - timedelta(days=self._keep_days)
        count = condemned = await self._table.condemn_unused(self._store, since, now, _AT_ONCE)
        while condemned == _AT_ONCE:
            condemned = await self._table.condemn_unused(self._store, since, now, _AT_ONCE)
            count += condemned
        return count

    async def delete(self, remote_id: str, request: FileRequest, names: Names) -> None:
        """Delete a file at the provider; a missing one counts as deleted.

        Raises:
            ProviderFault: the provider failed, or refused.
        """
        reply = await request("DELETE", f"/files/{remote_id}")
        if reply.status not in {200, 204, 404}:
            raise self._fault(reply, names)

    async def _uploaded_once(
        self, image: Image, owner: str, request: FileRequest, names: Names
    ) -> str | None:
        """Upload the picture and return its id. Simultaneous calls with the same picture share one upload."""
        digest = image.sha256
        lock = self._locks.setdefault((owner, digest), asyncio.Lock())
        async with lock:
            known = await self._table.find(self._store, owner, [digest])
            if digest in known:
                return known[digest]
            remote_id = await self._upload(image, request, names)
            if remote_id is not None:
                row = UploadRow(digest, remote_id, len(image.data), self._clock.utc())
                await self._table.keep(self._store, owner, row)
            return remote_id

    async def _upload(self, image: Image, request: FileRequest, names: Names) -> str | None:
        reply = await request("POST", "/files", lambda: _form(image, self._store.purpose))
        if reply.status not in {200, 201}:
            fault = self._fault(reply, names)
            if _is_refusal(fault):
                _log.warning("an upload was refused", provider=self._store.provider, error=fault.code)
                return None
            raise fault
        created = _entry(reply)
        if _REMOTE_ID.fullmatch(created.id) is None:
            raise ProviderFailed(
                f"{names.title} took a picture but did not say under which id. Try again; if it stays so, check "
                f"{names.url_setting}."
            )
        if created.failed:
            _log.warning("an upload could not be processed", provider=self._store.provider)
            await request("DELETE", f"/files/{created.id}")
            return None
        return created.id

    def _fault(self, reply: FileReply, names: Names) -> ProviderFault:
        refusal = Refusal.read(reply.status, reply.headers, reply.body, self._clock.wall())
        return fault_of(refusal, self._errors, names)


def _entry(reply: FileReply) -> _Entry:
    """Parse a file's entry; a malformed one has no id."""
    try:
        entry = read_json(reply.body)
    except UnreadableJsonError:
        entry = None
    remote_id = entry.get("id") if isinstance(entry, dict) else None
    return _Entry(remote_id, entry.get("status")) if isinstance(remote_id, str) else _Entry("")


def _is_refusal(fault: ProviderFault) -> bool:
    """Return whether the same upload would be refused again."""
    return isinstance(fault, ProviderRefused | ProviderDenied | QuotaExhausted | ContextOverflow)


def _form(image: Image, purpose: str) -> aiohttp.MultipartWriter:
    form = aiohttp.MultipartWriter("form-data")
    form.append(purpose).set_content_disposition("form-data", name="purpose")
    suffix = image.media_type.partition("/")[2]
    content = form.append(io.BytesIO(image.data), {"Content-Type": image.media_type})
    content.set_content_disposition("form-data", name="file", filename=f"exai-{image.sha256}.{suffix}")
    return form
