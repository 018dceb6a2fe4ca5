"""Files in the store of a running daemon, over HTTP.

Each request carries the token that the daemon's MCP port takes; one that is refused is refreshed once.
"""

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import aiohttp
import msgspec

from exai.client.tokens import ClientTokens, NotAdmitted

__all__ = [
    "DaemonUnreachable",
    "FileRequestFailed",
    "StoredFiles",
    "TokenRefused",
    "files_url",
    "open_stored_files",
]

CONNECT_S = 5.0
SILENCE_S = 120.0
"""How long the daemon may send nothing: it flushes a large file to its disk before it answers."""
BLOCK_BYTES = 2**18
NOT_FOUND = "not_found"
"""The code of a 404 without a body."""
UNKNOWN_FILE = "unknown_file"
GONE = "The upload was taken away meanwhile. Ask again."
HEAD_CODES = {
    403: ("insufficient_scope", "Files need a token with the scope `files`."),
    404: (NOT_FOUND, GONE),
    410: ("upload_expired", GONE),
    423: ("upload_locked", "Another request is sending to this upload."),
    503: ("store_unavailable", "The store cannot be used now. Ask again later."),
}
"""What a refused `HEAD` means, which has no body that says so."""
TUS = {"tus-resumable": "1.0.0"}
AGAIN = ("wrong_offset", "upload_locked", "store_busy", "store_unavailable")
"""Codes after which an upload goes on from where it is."""
PATIENCE_S = 60.0
"""How long an upload tries without any progress."""
PAUSE_S = 0.5

BodyFrom = Callable[[int], AsyncIterator[bytes]]
"""Makes the body of a request that sends a content from a byte on."""

Body = Callable[[], AsyncIterator[bytes]]
"""Makes a request's body; it may be made again, where a token is refreshed meanwhile."""


class FileRequestFailed(Exception):
    """The daemon refused a request; the message is its sentence, `code` its code."""

    def __init__(self, code: str, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.retryable = retryable
        """Whether the same request may succeed later."""


class DaemonUnreachable(Exception):
    """The daemon does not answer, or broke its answer off."""


class TokenRefused(Exception):
    """The daemon requires a token, or accepts none of these; the message says how to get one."""


def files_url(url: str) -> str:
    """Return the address of stored files beside the MCP address `url`, such as `ws://127.0.0.1:8079/mcp`."""
    parts = urlsplit(url)
    scheme = "https" if parts.scheme in ("wss", "https") else "http"
    return f"{scheme}://{parts.netloc}{parts.path.removesuffix('/').removesuffix('/mcp')}/files"


@asynccontextmanager
async def open_stored_files(url: str, tokens: ClientTokens) -> AsyncIterator["StoredFiles"]:
    """Open a session with the daemon at the MCP address `url`."""
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=SILENCE_S)
    async with aiohttp.ClientSession(timeout=timeout, read_bufsize=BLOCK_BYTES) as http:
        yield StoredFiles(files_url(url), tokens, http)


class StoredFiles:
    """Requests for files. Each may raise what the three classes of errors above say."""

    def __init__(self, url: str, tokens: ClientTokens, http: aiohttp.ClientSession) -> None:
        self._url = url
        self._tokens = tokens
        self._http = http

    async def put(self, name: str, sha256: str, size: int, body: Body) -> dict[str, Any]:
        """Store a content under a name, and return the file. None of `body` is read where the caller has it already."""
        query = urlencode({"name": name})
        headers = {"content-length": str(size), "content-type": "application/octet-stream"}
        return await self._json("PUT", f"/sha256/{sha256}?{query}", body, headers)

    async def newest(self, limit: int, after: str | None = None) -> dict[str, Any]:
        """List files, newest first: `files`, and in `next` the id to give as `after`."""
        query = {"limit": str(limit)} | ({} if after is None else {"after": after})
        return await self._json("GET", f"?{urlencode(query)}")

    async def get(self, file_id: str) -> dict[str, Any]:
        """Describe a file."""
        return await self._json("GET", f"/{_step(file_id)}")

    async def read(self, file_id: str, first: int, last: int | None) -> dict[str, Any]:
        """Read lines of a file; `next` says where to go on."""
        query = {"from": str(first)} | ({} if last is None else {"to": str(last)})
        return await self._json("GET", f"/{_step(file_id)}/text?{urlencode(query)}")

    async def remove(self, file_id: str) -> dict[str, Any]:
        """Remove a file, and return what the daemon says of it."""
        return await self._json("DELETE", f"/{_step(file_id)}")

    async def proof(self, file_id: str) -> dict[str, Any]:
        """Ask where the content of a file was, and how it went."""
        return await self._json("GET", f"/{_step(file_id)}/proof")

    async def look(self, sha256: str) -> str | None:
        """Return the id of a file of the caller with a content; `None` where he has none."""
        try:
            async with self._answer("HEAD", f"/sha256/{sha256}") as response:
                return response.headers.get("exai-file")
        except FileRequestFailed as fault:
            if fault.code == NOT_FOUND:
                return None
            raise

    async def upload(self, name: str, sha256: str, size: int, body_from: BodyFrom) -> str:
        """Store a content by tus, going on after cuts and restarts of the daemon; the id of its file."""
        if not size:
            return str((await self.put(name, sha256, 0, lambda: body_from(0)))["id"])
        place = await self._begin_upload(name, sha256, size)
        offset, last_progress = 0, asyncio.get_running_loop().time()
        while True:
            try:
                file_id = await self._send_from(place, offset, size, body_from)
                if file_id is not None:
                    return file_id
            except (FileRequestFailed, DaemonUnreachable) as fault:
                is_over = asyncio.get_running_loop().time() - last_progress > PATIENCE_S
                if is_over or not _may_pass(fault):
                    raise
            await asyncio.sleep(PAUSE_S)
            try:
                came, file_id = await self._progress_of(place)
            except (FileRequestFailed, DaemonUnreachable) as fault:
                if not _may_pass(fault):
                    raise
                continue
            if file_id is not None:
                return file_id
            if came > offset:
                last_progress = asyncio.get_running_loop().time()
            offset = came

    async def _begin_upload(self, name: str, sha256: str, size: int) -> str:
        pairs = {"filename": name, "sha256": sha256}
        metadata = ",".join(
            f"{key} {b64encode(value.encode(errors='replace')).decode()}" for key, value in pairs.items()
        )
        headers = {**TUS, "upload-length": str(size), "upload-metadata": metadata}
        async with self._answer("POST", "", headers=headers) as response:
            location: str = response.headers.get("location", "")
            return f"/uploads/{location.rpartition('/')[2]}"

    async def _send_from(self, place: str, offset: int, size: int, body_from: BodyFrom) -> str | None:
        headers = {
            **TUS,
            "content-type": "application/offset+octet-stream",
            "content-length": str(size - offset),
            "upload-offset": str(offset),
        }
        async with self._answer("PATCH", place, lambda: body_from(offset), headers) as response:
            return response.headers.get("exai-file")

    async def _progress_of(self, place: str) -> tuple[int, str | None]:
        async with self._answer("HEAD", place, headers=TUS) as response:
            return int(response.headers.get("upload-offset", "0")), response.headers.get("exai-file")

    async def find_tree(self, manifest_sha256: str) -> str | None:
        """Return the id of the snapshot with a manifest; `None` where there is none."""
        trees = (await self._json("GET", f"/trees?manifest={manifest_sha256}"))["trees"]
        return str(trees[0]["id"]) if trees else None

    async def tree(self, manifest: bytes) -> dict[str, Any]:
        """Keep a snapshot: its `id`, or what is `missing` for it."""
        headers = {"content-length": str(len(manifest)), "content-type": "application/jsonl"}

        async def body() -> AsyncIterator[bytes]:
            yield manifest

        return await self._json("POST", "/trees", body, headers)

    async def content(self, file_id: str) -> AsyncIterator[bytes]:
        """Yield the bytes of a file."""
        async with self._answer("GET", f"/{_step(file_id)}/content") as response:
            async for block in response.content.iter_chunked(BLOCK_BYTES):
                yield block

    async def _json(
        self, method: str, path: str, body: Body | None = None, headers: dict[str, str] | None = None
    ) -> dict[str, Any]:
        async with self._answer(method, path, body, headers) as response:
            try:
                answer: dict[str, Any] = msgspec.json.decode(await response.read())
            except msgspec.DecodeError:
                raise DaemonUnreachable(f"What answers at {self._url} is no EXAI.") from None
            return answer

    @asynccontextmanager
    async def _answer(
        self, method: str, path: str, body: Body | None = None, headers: dict[str, str] | None = None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Ask, with another token where one is refused, and yield an answer of success."""
        try:
            token = await self._tokens.token()
            response = await self._ask(method, path, token, body, headers)
            if response.status == 401 and (token := await self._tokens.refresh(token)) is not None:
                response.release()
                response = await self._ask(method, path, token, body, headers)
            async with response:
                if response.status >= 400:
                    raise await self._failure(response)
                yield response
        except NotAdmitted as fault:
            raise TokenRefused(str(fault)) from None
        except (OSError, aiohttp.ClientError, TimeoutError) as error:
            raise DaemonUnreachable(
                f"The daemon at {self._url} does not answer, or broke off ({type(error).__name__}); "
                "nothing is sure of this request. Look whether it runs (`exai status`), and ask again."
            ) from error

    async def _ask(
        self, method: str, path: str, token: str | None, body: Body | None, headers: dict[str, str] | None
    ) -> aiohttp.ClientResponse:
        fields = {**(headers or {}), **({} if token is None else {"authorization": f"Bearer {token}"})}
        return await self._http.request(
            method,
            f"{self._url}{path}",
            headers=fields,
            data=None if body is None else body(),
            expect100=body is not None,
            allow_redirects=False,
        )

    def _bodiless_failure(self, status: int) -> Exception:
        if status == 401:
            return TokenRefused(f"The daemon accepts no token of this client. {self._tokens.advice}")
        code, message = HEAD_CODES.get(
            status, ("failed", f"The daemon answered HTTP {status}; ask again later.")
        )
        return FileRequestFailed(code, message)

    async def _failure(self, response: aiohttp.ClientResponse) -> Exception:
        if response.method == "HEAD":
            return self._bodiless_failure(response.status)
        try:
            fault = msgspec.json.decode(await response.read())["error"]
            code, message = str(fault["code"]), str(fault["message"])
        except (msgspec.DecodeError, KeyError, TypeError):
            return DaemonUnreachable(f"What answers at {self._url} is no EXAI (HTTP {response.status}).")
        if response.status == 401:
            return TokenRefused(f"{message} {self._tokens.advice}")
        return FileRequestFailed(code, message, retryable=fault.get("retryable") is True)


def _may_pass(fault: Exception) -> bool:
    """Whether an upload goes on after this."""
    return isinstance(fault, DaemonUnreachable) or (
        isinstance(fault, FileRequestFailed) and fault.code in AGAIN
    )


def _step(file_id: str) -> str:
    """Write an id as a step of a path; what no path can have as one step is nobody's id."""
    if "/" in file_id or not file_id.strip("."):
        raise FileRequestFailed(
            UNKNOWN_FILE, "You have no file with this id. List your files to see what you have."
        )
    return quote(file_id, safe="")
