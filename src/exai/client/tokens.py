"""What a client proves itself with: nothing, a token, or a file whose token is refreshed before its end.

Any number of processes may share a file: whoever refreshes holds its lock, and the others take what they then find.
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
from exai.config.values import is_loopback
from exai.errors import StartFault
from exai.runtime.file_lock import try_lock

__all__ = ["ClientTokens", "FixedToken", "NotAdmitted", "TokenFile", "client_tokens"]

_log = structlog.get_logger(__name__)

AHEAD_S = 60.0
"""How long before its end a token is refreshed; a short-lived one in the last quarter of its time."""
LOOK_S = 1.0
"""How often a file is looked at that somebody has to mend, and the calendar for a token that is due."""
ANEW_S = 30.0
"""After which a refused token is tried again: the daemon's side may have been mended."""
AGAIN_S = 5.0
"""After which a refresh is tried again that had no answer."""
LOCK_S = 15.0
"""How long another process may hold the lock, which it does for one request."""
LOCK_TURN_S = 0.05


class NotAdmitted(Exception):
    """There is no token to come in with; the sentence says what to do."""


class ClientTokens(Protocol):
    """Where a client's token comes from."""

    advice: str
    """What the user can do when the daemon takes none of them, as a sentence."""

    async def token(self) -> str | None:
        """A token that is good for a while, as far as is known; `None` where there is none at all.

        Raises:
            NotAdmitted: the place where it should be is not in order.
        """
        ...

    async def another(self, refused: str | None) -> str | None:
        """Another one than that which the daemon refused; `None` where there is no other.

        Raises:
            NotAdmitted: as `token`.
            OSError: it could not be fetched just now.
        """
        ...

    async def superseded(self, token: str) -> None:
        """Wait until `token` is near its end and another is at hand."""
        ...

    async def mended(self) -> None:
        """After a refusal: wait until another attempt may go better."""
        ...


class FixedToken(ClientTokens):
    """A token that stays as it is, or none."""

    def __init__(self, token: str | None, advice: str) -> None:
        self._token = token
        self.advice = advice

    async def token(self) -> str | None:
        """See `ClientTokens`."""
        return self._token

    @override
    async def another(self, refused: str | None) -> str | None:
        """See `ClientTokens`."""
        return None

    @override
    async def superseded(self, token: str) -> None:
        """See `ClientTokens`."""
        await asyncio.Event().wait()

    async def mended(self) -> None:
        """See `ClientTokens`."""
        await asyncio.sleep(ANEW_S)


class TokenFile:
    """A credentials file."""

    def __init__(self, file: Path, url: str) -> None:
        """`url` is the MCP door that the tokens are for."""
        self._file = file.expanduser().absolute()
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
                held = await self._renewed(held)
            except RefreshRefused:
                self._known = (held.access_token, time.time() + ANEW_S)
            except (NotAdmitted, OSError):
                self._known = (held.access_token, time.time() + AGAIN_S)
            return held.access_token  # whether it is good all the same, the daemon knows

    async def another(self, refused: str | None) -> str | None:
        """See `ClientTokens`."""
        async with self._turn:
            held = await self._read()
            if held.access_token != refused:
                return held.access_token
            if held.refresh_token is None:
                return None
            try:
                return (await self._renewed(held)).access_token
            except RefreshRefused:
                return None

    async def superseded(self, token: str) -> None:
        """See `ClientTokens`."""
        while True:
            await asyncio.sleep(LOOK_S)
            with suppress(NotAdmitted):
                if await self.token() != token:
                    return

    async def mended(self) -> None:
        """See `ClientTokens`."""
        before = await asyncio.to_thread(_state, self._file)
        with suppress(TimeoutError):
            async with asyncio.timeout(ANEW_S):
                while await asyncio.to_thread(_state, self._file) == before:  # noqa: ASYNC110 - others write it
                    await asyncio.sleep(LOOK_S)

    async def _read(self) -> Credentials:
        try:
            return await asyncio.to_thread(read_credentials, self._file)
        except StartFault as fault:
            raise NotAdmitted(str(fault)) from None

    def _is_due(self, held: Credentials) -> bool:
        token, due_at = self._known
        if token != held.access_token:
            now = time.time()
            left = math.inf if held.expires_at is None else held.expires_at - now
            due_at = now + max(left - AHEAD_S, left * 3 / 4)
            self._known = (held.access_token, due_at)
        return time.time() >= due_at

    async def _renewed(self, held: Credentials) -> Credentials:
        """The file's next tokens, fetched by this process or, meanwhile, by another.

        Raises:
            RefreshRefused: there are none.
            NotAdmitted: the file is not in order.
            OSError: no answer, or another process holds the lock for too long.
        """
        # A thread, whose work goes on when nobody waits for it: what was fetched is also kept.
        try:
            return await asyncio.to_thread(_renewed, self._file, held, self._token_url)
        except StartFault as fault:
            raise NotAdmitted(str(fault)) from None


def _renewed(file: Path, held: Credentials, url: str) -> Credentials:
    with _locked(file):
        now = read_credentials(file)
        if now.access_token != held.access_token or now.refresh_token is None:
            return now
        renewed = refresh(url, now.refresh_token)
        # Before its first use: until then the old refresh token is good, whatever happens here.
        with _in_words(file):
            write_credentials(file, renewed)
        return renewed


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    """Hold the lock of the file, which several names may have.

    Raises:
        OSError: it cannot be had, or not in time.
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
def _in_words(file: Path) -> Iterator[None]:
    """What it means that nothing can be written there."""
    try:
        yield
    except OSError as error:
        reason = (error.strerror or "unknown error").lower()
        raise StartFault(
            f"The credentials file {file} cannot be written ({reason}), so its token cannot be refreshed; make the "
            "file and its folder writable."
        ) from error


def _state(file: Path) -> tuple[int, int, int] | None:
    """What differs after the file was changed."""
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino, status.st_mode


def client_tokens(url: str, *, token: str | None, file: Path | None) -> ClientTokens:
    """Where the token for the daemon at `url` comes from; `token`, if there is one, is stronger than `file`.

    Raises:
        StartFault: the token cannot be one.
    """
    parts = urlsplit(url)
    if (token or file) and parts.scheme == "ws" and not is_loopback(parts.hostname or ""):
        _log.warning(
            "the token travels unencrypted; use wss:// beyond a network that you trust", host=parts.hostname
        )
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
