"""Speaks to the file store of one account at one provider: upload, look, list, read, delete.

Contents are sent in blocks as they are read; nothing holds one whole. What a provider answers is not trusted: an entry
without a usable id is none.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, Protocol
from urllib.parse import quote

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from typing_extensions import override

from exai.errors import ProviderFailed, ProviderFault, ProviderRefused, ProviderUnreachable, ToolFault
from exai.messages import Source
from exai.providers.faults import Names, Refusal, Row, Verdict, fault_of
from exai.providers.file_limits import FileDialect
from exai.providers.remote_files.faults import FileEmpty, FileTooLargeForProvider, PurposeUnknown
from exai.providers.untrusted_json import UnreadableJsonError, as_count, read_json, well_formed
from exai.runtime.clock import Clock
from exai.storage.files.copy_rows import Store

__all__ = [
    "FileReply",
    "FileRequest",
    "FileStore",
    "RemoteEntry",
    "safe_suffix",
]

_REMOTE_ID = re.compile(r"[A-Za-z0-9_.-]{1,128}")
_SAFE_SUFFIX = re.compile(r"[a-z0-9]{1,8}")
ENTRY_BYTES = 64 * 2**10
"""How much of an answer about one file is read; it has a few hundred bytes."""
PAGE_BYTES = 4 * 2**20
"""How much of a page of a list is read."""
CONTENT_BYTES = 64 * 2**20
"""How much of a file's text is read."""
MOST_PAGES = 100
_TEXT_FIELDS = {"content", "file_type", "filename"}
"""Of the object that holds a file's text."""
LATEST_MOMENT = 253_402_300_799.0
"""The last second of the year 9999."""


@dataclass(frozen=True, slots=True)
class FileReply:
    """A complete response of the provider's file store."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    is_cut: bool = False
    """Whether the body was longer than what was read of it."""


class FileRequest(Protocol):
    """Sends one request to the provider's file store, within the time left to the call."""

    async def __call__(
        self,
        method: str,
        path: str,
        form: Callable[[], aiohttp.MultipartWriter] | None = None,
        *,
        most_bytes: int = ENTRY_BYTES,
    ) -> FileReply: ...


@dataclass(frozen=True, slots=True)
class RemoteEntry:
    """A file as the provider lists it."""

    id: str
    filename: str = ""
    purpose: str = ""
    bytes: int | None = None
    failed: bool = False
    """Whether the provider could not process it."""
    expires_at: datetime | None = None


class FileStore:
    """The file store of one account. Every method sends its requests through the `request` that it is given."""

    def __init__(
        self, store: Store, dialect: FileDialect, errors: Sequence[Row], names: Names, clock: Clock
    ) -> None:
        self.store = store
        self.dialect = dialect
        self.names = names
        self._errors = tuple(errors)
        self._clock = clock

    def check(self, source: Source, purpose: str) -> None:
        """See that the provider takes a content of this size and kind, before anything is read.

        Raises:
            PurposeUnknown: it keeps no files for this purpose, or none of this kind.
            FileEmpty: there is nothing to send.
            FileTooLargeForProvider: it is too large.
        """
        title = self.names.title
        taken = self.dialect.purposes.get(purpose)
        if taken is None:
            known = ", ".join(sorted(self.dialect.purposes))
            raise PurposeUnknown(f"{title} keeps no files for the purpose {purpose!r}; it does for {known}.")
        if taken.suffixes and source.suffix not in taken.suffixes:
            raise PurposeUnknown(
                f"{title} takes no {source.suffix or 'such'} file for {purpose}; it takes "
                f"{', '.join(sorted(taken.suffixes))}."
            )
        if not source.size:
            raise FileEmpty(f"The file is empty, and {title} takes no empty ones.")
        if source.size > taken.max_bytes:
            raise FileTooLargeForProvider(
                f"{title} takes files of at most {taken.max_bytes / 2**20:g} MB for {purpose} ({self.dialect.source}), "
                f"and this one has {source.size / 2**20:.1f} MB. Send a smaller one, or a part of it."
            )

    async def upload(self, source: Source, filename: str, purpose: str, request: FileRequest) -> RemoteEntry:
        """Send a content under a name.

        Raises:
            ProviderFault: the provider failed, or refused.
            FileDamaged: the stored bytes are not the content; the upload was broken off.
        """
        faults: list[ToolFault] = []
        try:
            reply = await request("POST", "/files", lambda: _form(source, filename, purpose, faults))
        except ProviderUnreachable:
            if faults:
                raise faults[0] from None
            raise
        if reply.status not in {200, 201}:
            raise self._upload_fault(reply)
        entry = _entry(_content_of(reply))
        if entry is None:
            raise ProviderFailed(
                f"{self.names.title} took a file but did not say under which id. Try again; if it stays so, check "
                f"{self.names.url_setting}."
            )
        return entry

    async def look(self, file_id: str, purpose: str, request: FileRequest) -> RemoteEntry | None:
        """Ask for a file; `None` if it is not there.

        Raises:
            ProviderFault: the provider failed, or refused.
        """
        if self.dialect.lists_by == "purpose":
            return next((each for each in await self.entries(request, purpose) if each.id == file_id), None)
        reply = await request("GET", f"/files/{file_id}")
        if reply.status == 404:
            return None
        if reply.status != 200:
            raise self._fault(reply)
        return _entry(_content_of(reply)) or RemoteEntry(file_id)

    async def find(self, filename: str, purpose: str, request: FileRequest) -> RemoteEntry | None:
        """Look a file up by the name under which it was sent; the provider may have appended to it.

        Raises:
            ProviderFault: the provider failed, or refused.
        """
        stem = filename.rpartition(".")[0] or filename
        return next(
            (each for each in await self.entries(request, purpose) if each.filename.startswith(stem)), None
        )

    async def entries(self, request: FileRequest, purpose: str | None = None) -> list[RemoteEntry]:
        """List the account's files, of one purpose or of all.

        Raises:
            ProviderFault: the provider failed, or refused.
        """
        if self.dialect.lists_by == "token":
            return await self._pages("/files?page_size=1000", "page_token", request)
        found: list[RemoteEntry] = []
        for each in self.dialect.purposes if purpose is None else (purpose,):
            found += await self._pages(f"/files?purpose={quote(each)}&limit=100", "after", request)
        return found

    async def text(self, file_id: str, request: FileRequest) -> str | None:
        """Read the text of a file; `None` if there is none yet.

        Raises:
            ProviderFault: the provider failed, or refused.
            FileTooLargeForProvider: it is longer than what is read.
        """
        reply = await request("GET", f"/files/{file_id}/content", most_bytes=CONTENT_BYTES)
        if reply.status == 404:
            return None
        if reply.status != 200:
            raise self._fault(reply)
        if reply.is_cut:
            raise FileTooLargeForProvider(
                f"The text of this file at {self.names.title} has more than {CONTENT_BYTES // 2**20} MB. Send a "
                "part of it."
            )
        return _text(reply.body)

    async def delete(self, file_id: str, request: FileRequest) -> Literal["deleted", "not_found"]:
        """Delete a file; how it is known that it is gone.

        Raises:
            ProviderFault: the provider failed, or refused.
        """
        reply = await request("DELETE", f"/files/{file_id}")
        if reply.status == 204 or (reply.status == 200 and _content_of(reply).get("deleted") is True):
            return "deleted"
        if reply.status == 404:
            return "not_found"
        if reply.status == 200:
            # Something between may have answered, and a list may be late: asked again, the provider says it.
            raise ProviderFailed(f"{self.names.title} did not say whether it deleted a file. Try again.")
        if reply.status == 400 and not any(each.id == file_id for each in await self.entries(request)):
            return "not_found"
        raise self._fault(reply)

    async def _pages(self, path: str, cursor: str, request: FileRequest) -> list[RemoteEntry]:
        found: dict[str, RemoteEntry] = {}
        after: str | None = None
        for _ in range(MOST_PAGES):
            further = "" if after is None else f"&{cursor}={quote(after)}"
            reply = await request("GET", path + further, most_bytes=PAGE_BYTES)
            if reply.status != 200:
                raise self._fault(reply)
            page = _content_of(reply)
            entries = page.get("data")
            if reply.is_cut or not isinstance(entries, list):
                raise ProviderFailed(
                    f"{self.names.title} sent something that is no list of files. Try again."
                )
            before = len(found)
            found |= {each.id: each for each in map(_entry, entries) if each is not None}
            after = page.get("next_page_token") if cursor == "page_token" else None
            if cursor == "after" and page.get("has_more") is True and entries:
                after = next(reversed(found), None)
            if not isinstance(after, str) or not after or len(found) == before:
                return list(found.values())
        raise ProviderFailed(f"{self.names.title} lists more files than an account may have.")

    def _upload_fault(self, reply: FileReply) -> ProviderFault:
        """Make the error of an upload; a refusal for no other reason may be of an account that others have filled."""
        fault = self._fault(reply)
        if type(fault) is not ProviderRefused:
            return fault
        refused = Verdict(
            ProviderRefused,
            "{title} refused the file ({code}): it takes none like it, or the account holds as many files as it may: "
            f"{self.dialect.max_files:,} ({self.dialect.source}). `exai files check` counts those of others too.",
        )
        return refused.about(self.names, self._refusal(reply).label)

    def _fault(self, reply: FileReply) -> ProviderFault:
        return fault_of(self._refusal(reply), self._errors, self.names)

    def _refusal(self, reply: FileReply) -> Refusal:
        return Refusal.read(reply.status, reply.headers, reply.body, self._clock.wall())


class _SourcePayload(aiohttp.Payload):
    """A source as a part of a form, with a known length, read block by block while it is sent."""

    def __init__(self, source: Source, faults: list[ToolFault]) -> None:
        """What goes wrong with the source is added to `faults`: for the client it is a broken connection."""
        super().__init__(source, content_type=source.media_type)
        self._source = source
        self._size = source.size
        self._faults = faults

    @override
    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        raise TypeError("A content is sent in blocks, and not decoded.")

    @override
    async def write(self, writer: AbstractStreamWriter) -> None:
        try:
            async for block in self._source.blocks():
                await writer.write(block)
        except ToolFault as fault:
            self._faults.append(fault)
            raise


def _form(source: Source, filename: str, purpose: str, faults: list[ToolFault]) -> aiohttp.MultipartWriter:
    form = aiohttp.MultipartWriter("form-data")
    form.append(purpose).set_content_disposition("form-data", name="purpose")
    content = form.append_payload(_SourcePayload(source, faults))
    content.set_content_disposition("form-data", name="file", filename=filename)
    return form


def safe_suffix(suffix: str) -> str:
    """Return a suffix that every provider takes: of a file's kind, never of the name that its owner gave."""
    return suffix if _SAFE_SUFFIX.fullmatch(suffix) else "bin"


def _content_of(reply: FileReply) -> dict[str, Any]:
    try:
        content = read_json(reply.body)
    except UnreadableJsonError:
        return {}
    return content if isinstance(content, dict) else {}


def _entry(content: Any) -> RemoteEntry | None:
    """Read a file's entry; one without a usable id is none."""
    if not isinstance(content, dict):
        return None
    file_id, filename, purpose = (content.get(name) for name in ("id", "filename", "purpose"))
    if not isinstance(file_id, str) or _REMOTE_ID.fullmatch(file_id) is None:
        return None
    return RemoteEntry(
        id=file_id,
        filename=filename if isinstance(filename, str) else "",
        purpose=purpose if isinstance(purpose, str) else "",
        bytes=as_count(content.get("bytes"), 2**53),
        failed=content.get("status") == "error",
        expires_at=_moment(content.get("expires_at")),
    )


def _moment(value: Any) -> datetime | None:
    """Read Unix seconds."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < LATEST_MOMENT:
        return None
    return datetime.fromtimestamp(value, UTC)


def _text(body: bytes) -> str:
    """Read a file's text: as it is, or out of the JSON object that holds it."""
    if body.startswith(b"{"):
        try:
            content = read_json(body)
        except UnreadableJsonError:
            content = None
        if (
            isinstance(content, dict)
            and content.keys() >= _TEXT_FIELDS
            and isinstance(content["content"], str)
        ):
            return well_formed(content["content"])
    return body.decode("utf-8", "replace")
