"""The sessions of `exai.mcp.v1`: calls and answers that outlive the socket they came by.

A session owns its pump, so its calls run on while no socket carries it. It is found by
its id and opened by its secret, for the caller who began it and no other; an address
means nothing. A socket that is lost cancels nothing within the grace time, and a newer
socket fences the one before. A credential that expires closes the socket that it opened;
one that is revoked ends the session as well.
"""

import asyncio
import hashlib
import hmac
import secrets
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

from exai import config
from exai.auth.revocation_state import EndReason
from exai.callers import Caller
from exai.events.bus import EventBus
from exai.events.events import SessionEnded, SessionOpened, SessionResumed
from exai.protocol.carrier import ENDED_BY_OPERATOR, Carrier, Socket
from exai.protocol.session import (
    UNKNOWN_SESSION,
    Ack,
    Bounds,
    Bye,
    Endpoint,
    Item,
    Opened,
    Resume,
    Resumed,
    State,
    Violation,
    read_frame,
    write_frame,
)
from exai.runtime import tasks
from exai.runtime.clock import Clock
from exai.runtime.samples import Sample
from exai.transports.pump import Pump
from exai.transports.pump import Send as SendText
from exai.transports.websocket.reader_breaker import ReaderBreaker
from exai.transports.websocket.session_states import shown_name, state_of
from exai.web.credential_watch import CredentialWatch, CredentialWatcher
from exai.web.shown_sessions import ShownSession

__all__ = ["ClientSession", "ResilientWebSocketManager", "SessionRefused", "Statistics"]

FLUSH_S = 0.25
"""How long a stop waits for clients whose credit is used up."""
FAR_BEHIND = 256
"""Messages that wait for a client's credit, or for its socket, from which on more are made more slowly."""
HELD_S = 0.2
"""For how long each of them holds its sender up then."""
TURN = 50
"""Sessions that a sweep takes in a row before others have their turn."""
SECRET_BYTES = 32

MakePump = Callable[[Caller, SendText], Pump]


class SessionRefused(Exception):
    """The session cannot be had; `code` is for programs, the text for people."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


@dataclass(slots=True)
class Statistics:
    """The sessions at one moment, and what became of messages since the start."""

    sessions: int = 0
    cut: int = 0
    """Of these, without a socket."""
    kept_out: int = 0
    """Of these, whose clients may not come back yet, as they did not read."""
    pending: int = 0
    """Messages that are not acknowledged."""
    pending_bytes: int = 0
    ack_lag_s: float = 0.0
    """Age of the oldest message that a client with a socket has not acknowledged."""
    sent: int = 0
    """Messages written to sockets; one that is written again counts again."""
    received: int = 0
    """Messages received, duplicates included."""
    duplicates: int = 0
    """Of these, the ones that were received again, and dropped."""
    evicted: int = 0
    """Messages given up because the bounds were reached."""
    sweeps: int = 0
    """Rounds of ending what has expired."""
    reclaimed_bytes: int = 0
    """Of messages that will not be fetched any more."""
    gaps: int = 0
    """How often a client came back too late for all of its messages."""


class ClientSession(Carrier):
    """One client's session; its pump lives as long as it does."""

    def __init__(
        self,
        session_id: str,
        caller: Caller,
        secret: str,
        settings: config.Sessions,
        make_pump: MakePump,
        watch: "Callable[[ClientSession], CredentialWatch]",
        kept: "KeptBytes",
        clock: Clock,
    ) -> None:
        bounds = Bounds(settings.max_messages, settings.max_bytes, settings.max_age_s, settings.credit)
        super().__init__(bounds, settings.ack_delay_ms / 1000, clock)
        self.id = session_id
        self.caller = caller
        self._secret = _digest(secret)
        self._pump = make_pump(caller, self.send)
        self._watch = watch(self)
        self.opened_at = clock.monotonic()
        self.gaps = 0
        """How often its client came back too late for all of its messages."""
        self.breaker = ReaderBreaker(settings.stuck_limit, settings.stuck_pause_s, clock)
        self._kept = kept

    def is_opened_by(self, caller: Caller, secret_digest: bytes) -> bool:
        """Check whether this caller with this secret may carry it on."""
        return hmac.compare_digest(self._secret, secret_digest) and caller.subject == self.caller.subject

    def carry_on_for(self, caller: Caller) -> None:
        """Go on under the credential that its caller presents now: requests are judged by it from now on."""
        self.caller = caller
        self._pump.serve_for(caller)
        self._watch.move_to(caller)

    async def take(self, text: str, generation: int) -> bool:
        """Take one frame of the socket of that generation; whether the session goes on.

        Raises:
            Violation: it is no frame, or its numbers cannot be.
        """
        frame = read_frame(text)
        if isinstance(frame, Bye):
            return False
        if self.endpoint.state is State.ENDED:
            return True  # EXAI is stopping, and closes this socket in a moment
        if not isinstance(frame, Item | Ack):
            raise Violation("This socket carries a session already.")
        before = self.endpoint.last_acknowledged
        await self.receive(frame, generation, self._pump.receive)
        if self.endpoint.last_acknowledged > before:
            self.breaker.note_reads()
        return True

    async def send(self, text: str) -> None:
        """Send a message, as `Carrier.send`; its sender is held up for a while where the client is far behind, or away.

        So the words of running calls gather into few messages, and drive no answer out of what is kept.
        """
        await super().send(text)
        if self.endpoint.unwritten > FAR_BEHIND:
            await asyncio.sleep(HELD_S)

    def note_stuck(self) -> None:
        """See `Carrier.note_stuck`."""
        self.breaker.note_stuck()

    def note_kept(self) -> None:
        """See `Carrier.note_kept`."""
        self._kept.note(self)

    async def close(self) -> None:
        """Cancel the session's calls and forget what was kept."""
        self._watch.release()
        await self._pump.close()
        self.stop()
        self.note_kept()


class KeptBytes:
    """What sessions keep for their clients, within bounds for each caller and for all callers together."""

    def __init__(self, most_per_caller: int, most: int) -> None:
        self._most_per_caller = most_per_caller
        self._most = most
        self.total = 0
        self._by_session: dict[str, dict[ClientSession, int]] = {}
        """By subject; sessions that keep nothing are left out."""
        self._by_subject: Counter[str] = Counter()

    def note(self, session: ClientSession) -> None:
        """Count what a session keeps now.

        Where its caller keeps too much, the caller's session that keeps most gives up; where all do, that of the caller
        who keeps most.
        """
        subject, now = session.caller.subject, session.endpoint.pending_bytes
        sessions = self._by_session.setdefault(subject, {})
        change = now - sessions.pop(session, 0)
        self._by_subject[subject] += change
        self.total += change
        if now:
            sessions[session] = now
        elif not sessions:
            del self._by_session[subject], self._by_subject[subject]
            return
        if (excess := self._by_subject[subject] - self._most_per_caller) > 0:
            self._give_up(subject, excess)
        elif (excess := self.total - self._most) > 0:
            self._give_up(max(self._by_subject, key=self._by_subject.__getitem__), excess)

    def _give_up(self, subject: str, excess: int) -> None:
        """Have the session of this caller that keeps most give up so much of it."""
        sessions = self._by_session[subject]
        largest = max(sessions, key=sessions.__getitem__)
        largest.enforce_bounds(max(0, sessions[largest] - excess))


class ResilientWebSocketManager:
    """Opens, finds and ends sessions; each belongs to its caller and is known by its id, never by an address."""

    def __init__(
        self,
        settings: config.Sessions,
        make_pump: MakePump,
        watcher: CredentialWatcher,
        bus: EventBus,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._make_pump = make_pump
        self._watcher = watcher
        self._bus = bus
        self._clock = clock
        self._sessions: dict[str, ClientSession] = {}
        self._by_subject: Counter[str] = Counter()
        self._kept = KeptBytes(settings.max_caller_bytes, settings.max_total_bytes)
        self._gone = Statistics()
        """What sessions that have ended had counted."""

    def open(self, caller: Caller, socket: Socket, *, credit: int) -> ClientSession:
        """Begin a session on this socket; its first `flush` sends the greeting.

        Raises:
            SessionRefused: there are as many as there may be, of all or of this caller; none of its own waits without
                a socket, or that one would have made room.
        """
        if (
            caller.credential is not None
            and self._by_subject[caller.subject] >= self._settings.max_per_caller
            and not self._made_room(caller)
        ):
            raise SessionRefused(
                "too_many_sessions",
                f"You have {self._settings.max_per_caller} sessions, which is the limit of one caller. Close some, or "
                "have sessions.max_per_caller raised.",
            )
        if len(self._sessions) >= self._settings.max_sessions:
            raise SessionRefused(
                "too_many_sessions",
                f"EXAI keeps {len(self._sessions)} sessions, which is its limit. Close some, or raise "
                "sessions.max_sessions.",
            )
        session_id, secret = secrets.token_urlsafe(16), secrets.token_urlsafe(SECRET_BYTES)
        settings = self._settings
        session = ClientSession(
            session_id, caller, secret, settings, self._make_pump, self._watch_of, self._kept, self._clock
        )
        opened = Opened(session_id, secret, settings.credit, settings.grace_s)
        session.attach(socket, peer_received=0, peer_credit=credit, greeting=write_frame(opened))
        self._sessions[session_id] = session
        self._by_subject[caller.subject] += 1
        self._bus.publish(SessionOpened(caller))
        return session

    def _made_room(self, caller: Caller) -> bool:
        """End the session of this caller that has been without a socket for longest; whether there was one."""
        cut = (
            session
            for session in self._sessions.values()
            if session.caller.subject == caller.subject and session.endpoint.state is State.CUT
        )
        oldest = min(cut, key=lambda session: session.cut_since, default=None)
        if oldest is None:
            return False
        self._take_out(oldest, "replaced")
        tasks.spawn(oldest.close(), name="end session")
        return True

    def resume(self, caller: Caller, socket: Socket, asked: Resume) -> ClientSession:
        """Let this socket carry on a session; its first `flush` sends the greeting, and what the client missed.

        Raises:
            SessionRefused: no such session of this caller; a wrong secret and another caller's are refused alike.
            Violation: the client claims to have received what was never sent.
        """
        secret_digest = _digest(asked.secret)  # also where there is no such session: that takes as long
        session = self._sessions.get(asked.session)
        if session is None or not session.is_opened_by(caller, secret_digest):
            raise SessionRefused(
                UNKNOWN_SESSION,
                "There is no such session: EXAI was restarted, or it was away for too long. Open a new one.",
            )
        if asked.last > session.endpoint.last_acknowledged:
            session.breaker.note_reads()
        if (wait_s := session.breaker.wait_s) > 0:
            raise SessionRefused(
                "not_reading",
                "This session was cut off several times for not reading. Read what is sent, and come back in "
                f"{wait_s:.0f} s.",
            )
        endpoint = session.endpoint
        oldest = max(endpoint.oldest, asked.last + 1)
        resumed = Resumed(endpoint.generation + 1, endpoint.last_received, oldest, self._settings.credit)
        session.attach(
            socket, peer_received=asked.last, peer_credit=asked.credit, greeting=write_frame(resumed)
        )
        session.carry_on_for(caller)
        has_gap = oldest > asked.last + 1
        session.gaps += has_gap
        self._bus.publish(SessionResumed(caller, gap=has_gap))
        return session

    def _watch_of(self, session: ClientSession) -> CredentialWatch:
        """End the session when its credential is revoked; one that has expired only costs it its socket."""

        def end(reason: EndReason) -> None:
            if reason == "revoked":
                tasks.spawn(self.end(session, reason), name="end session")

        return self._watcher.watch(session.caller, end)

    async def end(self, session: ClientSession, reason: str) -> None:
        """End a session and cancel its calls."""
        if self._take_out(session, reason):
            await session.close()

    def _take_out(self, session: ClientSession, reason: str) -> bool:
        if self._sessions.pop(session.id, None) is None:
            return False
        self._by_subject[session.caller.subject] -= 1
        if not self._by_subject[session.caller.subject]:
            del self._by_subject[session.caller.subject]
        _add_counts(self._gone, session.endpoint)
        self._gone.gaps += session.gaps
        self._gone.reclaimed_bytes += session.endpoint.pending_bytes
        self._bus.publish(SessionEnded(session.caller, reason))
        return True

    async def sweep(self) -> int:
        """End sessions whose grace time is over, and keep the bounds of the others; returns how many ended."""
        late = self._clock.monotonic() - self._settings.grace_s
        ended = 0
        for number, session in enumerate(list(self._sessions.values()), 1):
            if session.endpoint.state is State.CUT and session.cut_since <= late:
                await self.end(session, "expired")
                ended += 1
            else:
                session.enforce_bounds()
            if number % TURN == 0:
                await asyncio.sleep(0)
        self._gone.sweeps += 1
        return ended

    async def shutdown(self) -> None:
        """Let what waits for credit be fetched by clients that are there, a moment; then end every session."""
        with suppress(TimeoutError):
            async with asyncio.timeout(FLUSH_S):
                while any(  # noqa: ASYNC110 - only at a stop
                    session.endpoint.state is State.ATTACHED and session.endpoint.unwritten
                    for session in self._sessions.values()
                ):
                    await asyncio.sleep(0.01)
        for session in list(self._sessions.values()):
            await self.end(session, "stopping")

    def states(self) -> Iterator[ShownSession]:
        """Yield how each session stands."""
        now = self._clock.monotonic()
        for session in self._sessions.values():
            yield state_of(session, now, self._settings.grace_s)

    async def end_named(self, name: str) -> bool:
        """End the session that is shown under this name, for an operator; return whether there was one."""
        found = [session for session in self._sessions.values() if shown_name(session.id) == name]
        for session in found:
            session.drop_socket(ENDED_BY_OPERATOR, "An operator ended this session.")
            await self.end(session, "operator")
        return bool(found)

    def samples(self) -> list[Sample]:
        """Return the metrics of the sessions."""
        now = self.statistics()
        return [
            Sample("sessions", "Resumable sessions.", now.sessions),
            Sample("sessions_cut", "Of these, without a socket.", now.cut),
            Sample("sessions_kept_out", "Of these, kept out for not reading.", now.kept_out),
            Sample("session_pending_messages", "Kept until clients acknowledge them.", now.pending),
            Sample("session_pending_bytes", "The same in bytes.", now.pending_bytes),
            Sample(
                "session_ack_lag_seconds",
                "Age of the oldest message that a connected client has not acknowledged.",
                now.ack_lag_s,
            ),
            _total("session_sent", "Messages handed to sockets, repeats included.", now.sent),
            _total("session_received", "Messages that came in, repeats included.", now.received),
            _total("session_duplicates", "Of these, repeats that were dropped.", now.duplicates),
            _total("session_evicted", "Messages given up at the bounds.", now.evicted),
            _total("session_sweeps", "Rounds of clean-up.", now.sweeps),
            _total("session_reclaimed_bytes", "Given back by clean-up.", now.reclaimed_bytes),
        ]

    def statistics(self) -> Statistics:
        """Sum up all sessions."""
        found = replace(self._gone, sessions=len(self._sessions))
        now = self._clock.monotonic()
        for session in self._sessions.values():
            endpoint = session.endpoint
            found.pending += endpoint.pending
            found.pending_bytes += endpoint.pending_bytes
            _add_counts(found, endpoint)
            found.gaps += session.gaps
            found.kept_out += session.breaker.wait_s > 0
            if endpoint.state is State.CUT:
                found.cut += 1
            elif (since := endpoint.pending_since) is not None:
                found.ack_lag_s = max(found.ack_lag_s, now - since)
        return found


_total = partial(Sample, is_total=True)


def _add_counts(sum_of: Statistics, endpoint: Endpoint) -> None:
    sum_of.sent += endpoint.written
    sum_of.received += endpoint.received
    sum_of.duplicates += endpoint.duplicates
    sum_of.evicted += endpoint.evicted
    sum_of.reclaimed_bytes += endpoint.evicted_bytes


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode(errors="replace")).digest()
