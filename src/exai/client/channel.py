"""The client's side of `exai.mcp.v1`: a channel to a daemon that survives cuts and restarts.

While `run` goes on, the channel connects, resumes its session after a cut, and opens another one when the daemon no
longer knows it. Messages are sent once and received once, in order, for as long as the session lives; `on_lost` is
called when it is lost.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidStatus,
    InvalidURI,
    WebSocketException,
)
from websockets.http11 import Response
from websockets.typing import Subprotocol

from exai.client.tokens import ClientTokens, NotAdmitted
from exai.protocol.carrier import Carrier
from exai.protocol.session import (
    SESSION_SUBPROTOCOL,
    UNKNOWN_SESSION,
    Ack,
    Bounds,
    Bye,
    Item,
    Open,
    Opened,
    Refused,
    Resume,
    Resumed,
    Violation,
    read_frame,
    write_frame,
)
from exai.runtime import tasks
from exai.runtime.clock import Clock, SystemClock
from exai.runtime.os_errors import reason_of

__all__ = ["Channel"]

CONNECT_S = 5.0
"""How long a connection and its first frames may take."""
SEND_S = 20.0
"""How long one frame may wait for a daemon that does not read."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 5.0
"""Between two attempts to connect: it doubles, and a random part of it, at least half, is waited."""
BOUNDS = Bounds(messages=10_000, bytes=64 * 2**20, age_s=3_600, credit=256)
ACK_DELAY_S = 0.05
BYE_S = 1.0
MAX_REFUSAL = 200
"""Characters of a refusal's message."""
UNAUTHORIZED = 401
TOKEN_ENDED = 4401
"""Closes a socket whose token has expired or was revoked."""
ACCEPTED_AFTER_S = 1.0
"""A socket that was up for longer than this shows that its token was accepted."""
MAX_REFUSALS = 2
"""Refused tokens in a row after which no further one is fetched."""


class _Socket:
    """A connection as a session's `Socket`."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection

    async def send(self, text: str) -> None:
        try:
            async with asyncio.timeout(SEND_S):
                await self._connection.send(text)
        except WebSocketException as error:
            raise ConnectionResetError(str(error)) from None
        except TimeoutError:
            self._connection.transport.abort()
            raise ConnectionAbortedError("the daemon did not read") from None

    def drop(self, code: int, reason: str) -> None:
        tasks.spawn(self._connection.close(code, reason), name="close socket")


class _Connect(connect):
    """Follows no redirect: it could send a token elsewhere."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


class Channel:
    """JSON-RPC messages as text, both ways."""

    def __init__(
        self,
        url: str,
        tokens: ClientTokens,
        *,
        on_message: Callable[[bytes], Awaitable[None]],
        on_lost: Callable[[], Awaitable[None]],
        on_up: Callable[[], Awaitable[None]],
        on_down: Callable[[], None],
        on_refused: Callable[[str], Awaitable[None]],
        clock: Clock | None = None,
    ) -> None:
        """Nothing is connected before `run`.

        Args:
            url: such as `ws://127.0.0.1:8079/mcp`.
            tokens: where the token for the daemon comes from.
            on_message: gets each message of the daemon, one after another.
            on_lost: the session was lost with everything that was not answered, or a part of it (a gap); what was
                sent before may or may not have been received.
            on_up: a socket carries the session, the first one or one after `on_down`.
            on_down: the socket is gone; `why_down` has the reason once the next attempt has failed.
            on_refused: the daemon accepts no token of this client; the message says what to do. Attempts go on.
        """
        self.url = url
        self.is_up = False
        """Whether a socket carries the session."""
        self._up_at: float | None = None
        """When the daemon accepted the session on the latest socket."""
        self.why_down: str | None = None
        """The last reason why there was no connection."""
        self.refused: str | None = None
        """Why the daemon accepts no token of this client, as a sentence, until an attempt has another outcome."""
        self._on_message = on_message
        self._on_lost = on_lost
        self._on_up = on_up
        self._on_down = on_down
        self._on_refused = on_refused
        self._tokens = tokens
        self._token: str | None = None
        """The token of the latest attempt."""
        self._refusals = 0
        """How many tokens were refused in a row."""
        self._why_refused = ""
        self._clock = clock or SystemClock()
        self._session: Opened | None = None
        self._carrier = self._new_carrier()

    async def send(self, text: str) -> None:
        """Send a message: now, or when a socket carries the session again."""
        await self._carrier.send(text)

    async def run(self) -> None:
        """Connect, again and again, until cancelled; then end the session at the daemon as well."""
        pause = FIRST_PAUSE_S
        try:
            while True:
                self._up_at = None
                try:
                    await self._connect_once()
                    why = None
                except NotAdmitted as refusal:
                    await self._wait_for_admission(str(refusal))
                    continue
                except (OSError, TimeoutError, WebSocketException, Violation) as error:
                    self.why_down = _reason(error)
                    why = _refusal(error)
                if self._note_refusal(why):
                    await self._wait_for_admission(self._refusal_message())
                    continue
                if self._accepted_for_s() is not None:
                    pause = FIRST_PAUSE_S
                await asyncio.sleep(random.uniform(pause / 2, pause))  # noqa: S311 - spreads clients, hides nothing
                pause = min(2 * pause, LONGEST_PAUSE_S)
        finally:
            self._carrier.stop()

    def _note_refusal(self, why: str | None) -> bool:
        """Count refused tokens, and return whether it makes no sense to fetch a further one."""
        accepted_s = self._accepted_for_s()
        if accepted_s is not None and (why is None or accepted_s > ACCEPTED_AFTER_S):
            self._refusals = 0
        if why is None:
            self.refused = None
            return False
        self._refusals += 1
        self._why_refused = why
        return self._token is None or self._refusals >= MAX_REFUSALS

    def _accepted_for_s(self) -> float | None:
        """Return how long the latest socket has carried the session; `None` if the daemon did not accept it."""
        return None if self._up_at is None else self._clock.monotonic() - self._up_at

    async def _wait_for_admission(self, sentence: str) -> None:
        self.refused = sentence
        await self._on_refused(sentence)
        await self._tokens.wait_for_change()
        self._refusals = 0

    def _refusal_message(self) -> str:
        if self._token is None:
            return f"EXAI at {self.url} wants a token, and none was given. {self._tokens.advice}"
        return f"EXAI at {self.url} does not take the token it was given{self._why_refused}. {self._tokens.advice}"

    async def _chosen_token(self) -> str | None:
        """Return the token for this attempt.

        Raises:
            NotAdmitted: there is no token but the one that was refused.
            OSError: another token could not be fetched just now.
        """
        if not self._refusals:
            return await self._tokens.token()
        token = await self._tokens.refresh(self._token)
        if token is None:
            raise NotAdmitted(self._refusal_message())
        return token

    async def _connect_once(self) -> None:
        """Carry the session on one socket until it ends."""
        token = self._token = await self._chosen_token()
        async with _Connect(
            self.url,
            subprotocols=[Subprotocol(SESSION_SUBPROTOCOL)],
            additional_headers={} if token is None else {"Authorization": f"Bearer {token}"},
            compression=None,
            max_size=None,
            open_timeout=CONNECT_S,
            proxy=None,
        ) as connection:
            if connection.subprotocol != SESSION_SUBPROTOCOL:
                raise Violation("What answers there is no EXAI that speaks exai.mcp.v1")
            async with asyncio.timeout(CONNECT_S):
                generation = await self._open_session(connection)
            self.is_up, self.refused = True, None
            self._up_at = self._clock.monotonic()
            fresh = (
                None
                if token is None
                else tasks.spawn(self._close_when_due(connection, token), name="token due")
            )
            try:
                await self._carrier.flush()
                await self._on_up()
                await self._read(connection, generation)
            except asyncio.CancelledError:
                with suppress(OSError, WebSocketException, TimeoutError):
                    async with asyncio.timeout(BYE_S):
                        await connection.send(write_frame(Bye()))
                raise
            finally:
                if fresh is not None:
                    fresh.cancel()
                self.is_up = False
                self.why_down = "the connection was cut"
                self._carrier.cut(generation)
                self._on_down()

    async def _close_when_due(self, connection: ClientConnection, token: str) -> None:
        """Close the socket before its token expires: the session goes on over one with the next token."""
        await self._tokens.wait_until_due(token)
        await connection.close()

    async def _open_session(self, connection: ClientConnection) -> int:
        """Resume the session, or open another one; return the carrier's generation."""
        socket = _Socket(connection)
        endpoint = self._carrier.endpoint
        if (session := self._session) is not None and not endpoint.evicted:
            asked = Resume(session.session, session.secret, endpoint.last_received, BOUNDS.credit)
            answer = await _ask(connection, asked)
            if isinstance(answer, Resumed):
                if answer.oldest > endpoint.last_received + 1:
                    endpoint.skip_to(answer.oldest)
                    await self._on_lost()
                return self._carrier.attach(socket, peer_received=answer.last, peer_credit=answer.credit)
            if isinstance(answer, Refused) and answer.code != UNKNOWN_SESSION:
                raise Violation(answer.message)
        if session is not None:
            self._session = None
            self._carrier.stop()
            self._carrier = self._new_carrier()
            await self._on_lost()
        answer = await _ask(connection, Open(BOUNDS.credit))
        if not isinstance(answer, Opened):
            raise Violation(answer.message if isinstance(answer, Refused) else "EXAI did not open a session")
        self._session = answer
        return self._carrier.attach(socket, peer_received=0, peer_credit=answer.credit)

    async def _read(self, connection: ClientConnection, generation: int) -> None:
        async for text in connection:
            frame = read_frame(text)
            if not isinstance(frame, Item | Ack):
                raise Violation("EXAI sent a frame that is not due")
            await self._carrier.receive(frame, generation, self._on_message)

    def _new_carrier(self) -> Carrier:
        return Carrier(BOUNDS, ACK_DELAY_S, self._clock)


async def _ask(connection: ClientConnection, frame: Open | Resume) -> Opened | Resumed | Refused:
    await connection.send(write_frame(frame))
    answer = read_frame(await connection.recv())
    if not isinstance(answer, Opened | Resumed | Refused):
        raise Violation("EXAI sent a frame that is not due")
    return answer


_ENDS = {"expired": ", which has expired", "revoked": ", which was revoked"}
"""The reasons of a close with `TOKEN_ENDED`."""

_REASONS: tuple[tuple[type[Exception], str], ...] = (
    (ConnectionRefusedError, "nothing listens there"),
    (TimeoutError, "no answer in time"),
    (InvalidURI, "that is no WebSocket address"),
    (InvalidHandshake, "what answers there speaks no WebSocket"),
)


def _refusal(error: Exception) -> str | None:
    """Return what follows "token" in the message about a refused one; `None` for any other error."""
    if isinstance(error, InvalidStatus) and error.response.status_code == UNAUTHORIZED:
        return ""
    if isinstance(error, ConnectionClosed) and error.rcvd is not None and error.rcvd.code == TOKEN_ENDED:
        return _ENDS.get(error.rcvd.reason, "")
    return None


def _refusal_text(response: Response) -> str:
    """Return the text of a daemon's refusal, to go on after its status; what is no plain text is left out."""
    if not response.headers.get("Content-Type", "").startswith("text/plain"):
        return ""
    words = response.body.decode("utf-8", "replace").splitlines()[:1]
    sentence = "".join(letter for letter in "".join(words) if letter.isprintable())[:MAX_REFUSAL].rstrip(".")
    return f": {sentence}" if sentence else ""


def _reason(error: Exception) -> str:
    """Describe in a few words why there is no connection."""
    if isinstance(error, InvalidStatus):
        return f"it answers with HTTP {error.response.status_code}{_refusal_text(error.response)}"
    for kind, words in _REASONS:
        if isinstance(error, kind):
            return words
    if isinstance(error, OSError):
        return reason_of(error)
    return str(error)[:200] or type(error).__name__
