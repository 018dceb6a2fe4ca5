"""The feed over WebSocket: who may open it, what it is asked for, and what it sends.

    → {"want": ["status", "live"]}                        replaces what was wanted
    ← {"topic", "seq", "at", "full"}                      the newest state, when it changed; at most 4 a second
    ← {"topic", "error": {"code", "message", "scope"}}    a topic that the caller may not read
    ← {"topic": "beat", "at"}                             every 5 seconds

Close codes: 4401 the credential has ended, 1003 a binary frame, 1008 a message that is none of these, 1012 the daemon
stops, 4408 no wish in time. A browser has one slot for each topic, the number of the last state that it was sent: one
that reads slowly gets the newest state next, and one that does not read at all is cut off.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import msgspec
from starlette.types import ASGIApp, Receive, Scope, Send

from exai import config
from exai.auth.scopes import DASHBOARD
from exai.callers import Caller, Door
from exai.errors import ExaiError, ScopeMissing
from exai.events.bus import EventBus
from exai.events.events import ConnectionClosed, ConnectionOpened
from exai.runtime import tasks
from exai.runtime.clock import Clock
from exai.transports.traffic import Traffic
from exai.transports.websocket.connection import Connection
from exai.transports.websocket.protocol import protocol_of
from exai.web.auth_gate import AuthGate
from exai.web.credential_watch import CredentialWatcher
from exai.web.hosts import HostRule
from exai.web.refusals import PlainRefusal
from exai.web.topics import LEAST_S, Topics

__all__ = ["FEED_PATH", "FeedDoor", "PortWithFeed"]

FEED_PATH = "/api/feed"
MOST_FEEDS = 200
"""Open at once, of all browsers."""
WISH_S = 10.0
"""How long a browser may take to say what it wants."""
BEAT_S = 5.0
MOST_WISH_BYTES = 4 * 1024
MOST_WANTED = 32
AGAINST_THE_RULES = 1008
TOO_LATE = 4408
WISHES = 'Say what you want in a text frame: {"want": ["live"]}.'
NO_ROOM = PlainRefusal(503, f"{MOST_FEEDS} feeds are open. Close pages that nobody looks at.")


class _Wish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a browser sends."""

    want: list[str]


_read_wish = msgspec.json.Decoder(_Wish).decode
_encode = msgspec.json.Encoder().encode


class _Feed:
    """One browser's feed."""

    def __init__(self, connection: Connection, caller: Caller) -> None:
        self.connection = connection
        self.caller = caller
        self.wanted: tuple[str, ...] = ()
        self.refused: list[str] = []
        """Topics that it wants and may not read, before it is told."""
        self.sent: dict[str, int] = {}
        """By topic: the number of the last state that it was sent."""
        self.changed = asyncio.Event()
        """Set when there may be something to send."""


class FeedDoor:
    """The ASGI application of the feed."""

    def __init__(
        self,
        topics: Topics,
        *,
        settings: config.WebSocket,
        hosts: HostRule,
        gate: AuthGate,
        watcher: CredentialWatcher,
        bus: EventBus,
        traffic: Traffic,
        clock: Clock,
    ) -> None:
        self.topics = topics
        self._settings = settings
        self._hosts = hosts
        self._gate = gate
        self._watcher = watcher
        self._bus = bus
        self._traffic = traffic
        self._clock = clock
        self._feeds: set[_Feed] = set()
        self._ticking: asyncio.Task[None] | None = None

    @property
    def open(self) -> int:
        """How many browsers look on."""
        return len(self._feeds)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if (await receive())["type"] != "websocket.connect":
            return
        caller = await self._authorize(scope)
        if isinstance(caller, PlainRefusal):
            await _refuse(send, caller)
            protocol_of(scope).note_refused()
            return
        await send({"type": "websocket.accept"})
        self._bus.publish(ConnectionOpened(Door.DASHBOARD, caller))
        connection = Connection(scope, receive, send, self._settings.send_timeout_s, texts_alone=WISHES)
        try:
            with (
                self._traffic.incoming.share(caller.subject) as share,
                self._watcher.watching(caller, connection.end),
            ):
                protocol_of(scope).incoming = share
                await self._serve(_Feed(connection, caller))
        finally:
            self._bus.publish(ConnectionClosed(Door.DASHBOARD, caller, connection.reason))

    async def _authorize(self, scope: Scope) -> Caller | PlainRefusal:
        if (refused := self._hosts.refusal(scope["headers"])) is not None:
            return refused
        if scope["path"] != FEED_PATH:
            return PlainRefusal(404, f"Nothing is here. The feed is at {FEED_PATH}.")
        try:
            caller = await self._gate.caller_of_socket(scope, Door.OPERATIONS)
            if not caller.may(DASHBOARD):
                raise ScopeMissing(f"This needs a token with the scope `{DASHBOARD}`.", scope=DASHBOARD)
        except ExaiError as fault:
            return PlainRefusal(fault.http_status, str(fault), self._gate.challenge(fault, scope))
        return NO_ROOM if len(self._feeds) >= MOST_FEEDS else caller

    async def _serve(self, feed: _Feed) -> None:
        async with self._listed(feed):
            writing = tasks.spawn(self._write(feed), name="feed")
            try:
                await self._listen(feed)
            finally:
                writing.cancel()
                await asyncio.wait([writing])

    @asynccontextmanager
    async def _listed(self, feed: _Feed) -> AsyncIterator[None]:
        self._feeds.add(feed)
        if self._ticking is None or self._ticking.done():
            self._ticking = tasks.spawn(self._tick(), name="feed ticks")
        try:
            yield
        finally:
            self._feeds.discard(feed)

    async def _listen(self, feed: _Feed) -> None:
        try:
            async with asyncio.timeout(WISH_S):
                goes_on = await self._take(feed)
        except TimeoutError:
            await feed.connection.refuse(TOO_LATE, 'Say what you want: {"want": ["live"]}.')
            goes_on = True  # until it is closed
        while goes_on:
            goes_on = await self._take(feed)

    async def _take(self, feed: _Feed) -> bool:
        """Take the next message; return whether there may be another."""
        text = await feed.connection.text()
        if text is None:
            return False
        why = self._note_wish(feed, text)
        if why is not None:
            await feed.connection.refuse(AGAINST_THE_RULES, why)
        return why is None

    def _note_wish(self, feed: _Feed, text: str) -> str | None:
        """Note what a browser wants; return what is wrong with its message."""
        if len(text) > MOST_WISH_BYTES:
            return f"A message has at most {MOST_WISH_BYTES} characters."
        try:
            wish = _read_wish(text)
        except msgspec.DecodeError:
            return 'A message is {"want": [topics]} and nothing else.'
        unknown = [name for name in wish.want[:MOST_WANTED] if name not in self.topics]
        if unknown or len(wish.want) > MOST_WANTED:
            return f"Topics are {', '.join(self.topics.names)}."
        wanted: list[str] = []
        refused: list[str] = []
        for name in dict.fromkeys(wish.want):
            scope = self.topics.scope_of(name)
            (wanted if scope is None or feed.caller.may(scope) else refused).append(name)
        feed.wanted, feed.refused = tuple(wanted), refused
        feed.sent = {name: seq for name, seq in feed.sent.items() if name in wanted}
        feed.changed.set()
        return None

    async def _tick(self) -> None:
        """Make what is wanted, and wake those who want it, as long as anybody looks on."""
        while self._feeds:
            wanted = dict.fromkeys(name for feed in self._feeds for name in feed.wanted)
            await self.topics.refresh(wanted)
            for feed in self._feeds:
                if any(self._is_new(feed, name) for name in feed.wanted):
                    feed.changed.set()
            await asyncio.sleep(LEAST_S)

    def _is_new(self, feed: _Feed, name: str) -> bool:
        state = self.topics.newest(name)
        return state is not None and feed.sent.get(name, 0) < state.seq

    async def _write(self, feed: _Feed) -> None:
        """Send what is new; the newest state alone, whatever a browser missed while it read the one before."""
        try:
            while True:
                try:
                    async with asyncio.timeout(BEAT_S):
                        await feed.changed.wait()
                except TimeoutError:
                    await feed.connection.send(self._beat())
                    continue
                feed.changed.clear()
                await self._send_refusals(feed)
                for name in feed.wanted:
                    state = self.topics.newest(name)
                    if state is not None and feed.sent.get(name, 0) < state.seq:
                        feed.sent[name] = state.seq
                        await feed.connection.send(state.frame)
                await asyncio.sleep(LEAST_S)
        except ConnectionError:
            return  # whoever listens learns of it too

    async def _send_refusals(self, feed: _Feed) -> None:
        refused, feed.refused = feed.refused, []
        for name in refused:
            scope = self.topics.scope_of(name)
            error = {
                "code": ScopeMissing.code,
                "message": f"This topic needs the scope `{scope}`; sign in with a token that has it.",
                "scope": scope,
            }
            await feed.connection.send(_encode({"topic": name, "error": error}).decode())

    def _beat(self) -> str:
        at = datetime.fromtimestamp(self._clock.wall(), UTC).isoformat(timespec="milliseconds")
        return f'{{"topic":"beat","at":"{at}"}}'


class PortWithFeed:
    """The ASGI application of a port whose WebSockets are feeds."""

    def __init__(self, http: ASGIApp, feed: FeedDoor) -> None:
        self._http = http
        self._feed = feed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app: ASGIApp = self._feed if scope["type"] == "websocket" else self._http
        await app(scope, receive, send)


async def _refuse(send: Send, refused: PlainRefusal) -> None:
    """Answer the upgrade with an HTTP error (ASGI's websocket denial response)."""
    headers = [(b"content-type", b"text/plain; charset=utf-8"), *refused.headers]
    await send({"type": "websocket.http.response.start", "status": refused.status, "headers": headers})
    body = refused.sentence.encode()
    await send({"type": "websocket.http.response.body", "body": body, "more_body": False})
