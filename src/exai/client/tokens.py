"""Where a client gets its token: none, a fixed one, or a credentials file whose token is refreshed in time.

Any number of processes may share a file: the one that refreshes holds its lock, and the others read the new token.
"""

import asyncio
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import structlog
from typing_extensions import override

from exai.client.credentials_file import Credentials, as_token, read_credentials, write_credentials
from exai.client.refreshing import RefreshRefused, refresh, token_url
from exai.config.client import CREDENTIALS_VARIABLE, TOKEN_VARIABLE
from exai.config.home import expanded
from exai.config.values import is_loopback
from exai.errors import StartFault
from exai.runtime.clock import Clock, SystemClock
from exai.runtime.file_lock import try_lock
from exai.runtime.os_errors import reason_of

__all__ = ["ClientTokens", "FixedToken", "NotAdmitted", "TokenFile", "client_tokens", "host_of"]

_log = structlog.get_logger(__name__)

REFRESH_AHEAD_S = 60.0
"""How long before it expires a token is refreshed; a short-lived one in the last quarter of its time."""
POLL_S = 1.0
"""How often a broken file and the due time of a token are checked."""
RETRY_REFUSED_S = 30.0
"""How soon a refused token is tried again: the daemon's side may have been fixed."""
RETRY_REFRESH_S = 5.0
"""How soon a refresh that had no answer is tried again."""
LOCK_S = 15.0
"""How long to wait for the lock, which a process holds for one request."""
LOCK_TURN_S = 0.05


class NotAdmitted(Exception):
    """There is no token that the daemon would accept; the message says what to do."""


class ClientTokens(Protocol):
    """Where a client's token comes from."""

    advice: str
    """What the user can do when the daemon accepts no token, as a sentence."""

    async def token(self) -> str | None:
        """Return a token that is valid for a while, as far as is known; `None` when none is configured.

        Raises:
            NotAdmitted: the file is missing or broken.
        """
        ...

    async def refresh(self, refused: str | None) -> str | None:
        """Return another token than the one that the daemon refused; `None` when there is no other.

        Raises:
            NotAdmitted: as `token`.
            OSError: it could not be fetched just now.
        """
        ...

    async def wait_until_due(self, token: str) -> None:
        """Wait until `token` is about to expire and another one can be had."""
        ...

    async def wait_for_change(self) -> None:
        """Wait, after a refusal, until another attempt may succeed."""
        ...


class FixedToken(ClientTokens):
    """A token that is never refreshed, or none."""

    def __init__(self, token: str | None, advice: str) -> None:
        self._token = token
        self.advice = advice

    async def token(self) -> str | None:
        """See `ClientTokens`."""
        return self._token

    @override
    async def refresh(self, refused: str | None) -> str | None:
        """See `ClientTokens`."""
        return None

    @override
    async def wait_until_due(self, token: str) -> None:
        """See `ClientTokens`."""
        await asyncio.Event().wait()

    async def wait_for_change(self) -> None:
        """See `ClientTokens`."""
        await asyncio.sleep(RETRY_REFUSED_S)


class TokenFile:
    """A credentials file, whose token is refreshed."""

    def __init__(self, file: Path, url: str, clock: Clock | None = None) -> None:
        """`url` is the MCP address that the tokens are for."""
        self._clock = clock or SystemClock()
        self._file = expanded(file).absolute()
        self._token_url = token_url(url)
        self._turn = asyncio.Lock()
        self._known: tuple[str, float] = ("", 0.0)
        """A token, and when it is due."""
        self.advice = f"Make another one where EXAI runs: `exai token create NAME --save {file}`."

    async def token(self) -> str:
        """See `ClientTokens`."""
        async with self._turn:
            held = await self._read()
            if held.refresh_token is None or not self._is_due(held):
                return held.access_token
            try:
                held = await self._refreshed(held)
            except RefreshRefused:
                self._known = (held.access_token, self._clock.wall() + RETRY_REFUSED_S)
            except (NotAdmitted, OSError):
                self._known = (held.access_token, self._clock.wall() + RETRY_REFRESH_S)
            return held.access_token  # it may be valid all the same: the daemon decides

    async def refresh(self, refused: str | None) -> str | None:
        """See `ClientTokens`."""
        async with self._turn:
            held = await self._read()
            if held.access_token != refused:
                return held.access_token
            if held.refresh_token is None:
                return None
            try:
                return (await self._refreshed(held)).access_token
            except RefreshRefused:
                return None

    async def wait_until_due(self, token: str) -> None:
        """See `ClientTokens`."""
        while True:
            await asyncio.sleep(POLL_S)
            with suppress(NotAdmitted):
                if await self.token() != token:
                    return

    async def wait_for_change(self) -> None:
        """See `ClientTokens`."""
        before = await asyncio.to_thread(_state, self._file)
        with suppress(TimeoutError):
            async with asyncio.timeout(RETRY_REFUSED_S):
                while await asyncio.to_thread(_state, self._file) == before:  # noqa: ASYNC110 - others write it
                    await asyncio.sleep(POLL_S)

    async def _read(self) -> Credentials:
        try:
            return await asyncio.to_thread(read_credentials, self._file)
        except StartFault as fault:
            raise NotAdmitted(str(fault)) from None

    def _is_due(self, held: Credentials) -> bool:
        token, due_at = self._known
        if token != held.access_token:
            now = self._clock.wall()
            left = math.inf if held.expires_at is None else held.expires_at - now
            due_at = now + max(left - REFRESH_AHEAD_S, left * 3 / 4)
            self._known = (held.access_token, due_at)
        return self._clock.wall() >= due_at

    async def _refreshed(self, held: Credentials) -> Credentials:
        """Refresh the file's tokens, unless another process has done so meanwhile, and return them.

        Raises:
            RefreshRefused: the refresh token is no longer accepted.
            NotAdmitted: the file is missing or broken.
            OSError: no answer, or another process holds the lock for too long.
        """
        # A thread: its work is finished even when nobody waits for it, so fetched tokens are always kept.
        try:
            return await asyncio.to_thread(_refreshed, self._file, held, self._token_url, self._clock)
        except StartFault as fault:
            raise NotAdmitted(str(fault)) from None


def _refreshed(file: Path, held: Credentials, url: str, clock: Clock) -> Credentials:
    with _locked(file):
        now = read_credentials(file)
        if now.access_token != held.access_token or now.refresh_token is None:
            return now
        refreshed = refresh(url, now.refresh_token, clock)
        # Before the first use: until then the old refresh token stays valid, whatever happens here.
        with _explained(file):
            write_credentials(file, refreshed)
        return refreshed


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    """Hold the lock of the file, which may be known under several names.

    Raises:
        OSError: the lock cannot be taken, or not in time.
    """
    real = file.resolve()
    ends_at = time.monotonic() + LOCK_S
    with real.with_name(f"{real.name}.lock").open("ab") as lock:
        while not try_lock(lock):
            if time.monotonic() > ends_at:
                raise TimeoutError(f"another process holds the lock of {file}")
            time.sleep(LOCK_TURN_S)
        yield


@contextmanager
def _explained(file: Path) -> Iterator[None]:
    """Turn an `OSError` of writing into one that says what to do."""
    try:
        yield
    except OSError as error:
        reason = reason_of(error)
        raise StartFault(
            f"The credentials file {file} cannot be written ({reason}), so its token cannot be refreshed; make the "
            "file and its folder writable."
        ) from error


def _state(file: Path) -> tuple[int, int, int] | None:
    """Return what differs after the file was changed."""
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino, status.st_mode


def host_of(url: str) -> str:
    """Return the host of a daemon's address.

    Raises:
        StartFault: it is none.
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname if parts.port != 0 else None
    except ValueError:  # brackets that do not close, or a port beyond every port
        host = None
    if not host:
        raise StartFault(
            f"{ascii(url)[1:-1][:100]} is no address of a daemon; write it as ws://host:port/mcp."
        )
    return host


def client_tokens(url: str, *, token: str | None, file: Path | None) -> ClientTokens:
    """Choose where the token for the daemon at `url` comes from; `token` has precedence over `file`.

    Raises:
        StartFault: the token or the address is malformed.
    """
    host = host_of(url)
    if (token or file) and url[:3].lower() == "ws:" and not is_loopback(host):
        _log.warning("the token travels unencrypted; use wss:// beyond a network that you trust", host=host)
    if token is not None:
        where = f"`{TOKEN_VARIABLE}`"
        advice = f"Make another one where EXAI runs, `exai token create NAME --key`, and put it into {where}."
        return FixedToken(as_token(token, where), advice)
    if file is not None:
        return TokenFile(file, url)
    return FixedToken(
        None,
        "Make one where EXAI runs, `exai token create NAME --save FILE`, and name the file with "
        f"`--credentials FILE` or `{CREDENTIALS_VARIABLE}`.",
    )
