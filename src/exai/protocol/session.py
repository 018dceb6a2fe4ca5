"""Resumable delivery, without I/O: one endpoint of an `exai.mcp.v1` session.

A session joins two endpoints, one in the daemon and one in the client, which work alike. A socket carries the session
until it breaks; then another one does, and every message still arrives once and in order. `docs/protocol.md` has the
exchange on the wire.

**Numbers.** Each endpoint numbers its messages from 1 without holes, and keeps a message until the peer acknowledges
it. Acknowledgements are cumulative, and mean that a message was *processed*. Each direction has three positions at
either side:

    sender      acknowledged <= written <= sent       only what lies above `acknowledged` is kept
    receiver    acked <= processed <= received        only `received` + 1 is accepted as the next message

A number at or below `received` is a duplicate, and is dropped. When a socket attaches, the peer names the last number
that it *received*: a message that was being processed when its socket broke is not sent again. `written` goes back to
that number, so the rest is written again, on the new socket.

**Credit.** Each endpoint says how many messages it takes beyond what it has acknowledged. The sender writes no further
(`written <= acknowledged + credit`), and the receiver checks it (`received <= acked + credit`): a peer that does not
keep to it is closed. A message carries the acknowledgement that is due; otherwise one is sent by itself.

**Bounds and gaps.** What is kept is bounded in number, bytes and age. Beyond that the socket is given up and the oldest
messages are evicted. They use no credit: the peer learns of them as a gap, because the first number that it can still
get (`oldest`) is above the next one that it waits for.

**Generations.** Each attached socket gets the next generation. A frame counts only when it comes from the socket of the
current one, so a second socket fences the first: what that one still brings is refused, and its end changes nothing.

    state       event     next        effect
    CUT         attach    ATTACHED    the peer's last number acknowledges; the rest is written again
    ATTACHED    attach    ATTACHED    the same; the earlier socket is fenced
    ATTACHED    cut       CUT         nothing is written; messages are kept within the bounds
    ATTACHED    end       ENDED       all that was kept is dropped
    CUT         end       ENDED       the same

Any other event is a `Violation`.
"""

from collections import deque
from dataclasses import dataclass
from enum import Enum
from typing import Annotated

import msgspec

from exai.protocol.surrogates import repaired

__all__ = [
    "SESSION_SUBPROTOCOL",
    "TRANSITIONS",
    "UNKNOWN_SESSION",
    "Ack",
    "Bounds",
    "Bye",
    "Endpoint",
    "Frame",
    "Item",
    "Open",
    "Opened",
    "Refused",
    "Resume",
    "Resumed",
    "State",
    "Violation",
    "read_frame",
    "write_frame",
]

SESSION_SUBPROTOCOL = "exai.mcp.v1"
UNKNOWN_SESSION = "unknown_session"
"""The code of a refusal after which the session is lost."""

Number = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
ShortText = Annotated[str, msgspec.Meta(max_length=200)]


class Item(msgspec.Struct, tag_field="t", tag="m", frozen=True, forbid_unknown_fields=True):
    """One JSON-RPC message, either way."""

    s: Annotated[int, msgspec.Meta(ge=1, le=2**53)]
    """Its number."""
    a: Number
    """The last number of the peer that was processed."""
    m: msgspec.Raw


class Ack(msgspec.Struct, tag_field="t", tag="a", frozen=True, forbid_unknown_fields=True):
    """An acknowledgement by itself, either way."""

    a: Number


class Open(msgspec.Struct, tag_field="t", tag="open", frozen=True, forbid_unknown_fields=True):
    """Client: begin a session."""

    credit: Number
    """How many messages the client takes beyond what it has acknowledged."""


class Resume(msgspec.Struct, tag_field="t", tag="resume", frozen=True, forbid_unknown_fields=True):
    """Client: continue a session on this socket."""

    session: ShortText
    secret: ShortText
    last: Number
    """The last number that the client received from the server."""
    credit: Number


class Opened(msgspec.Struct, tag_field="t", tag="opened", frozen=True, forbid_unknown_fields=True):
    """Server: the session exists."""

    session: str
    secret: str
    credit: Number
    """How many messages the server takes beyond what it has acknowledged."""
    grace_s: float
    """How long the session outlives its socket."""


class Resumed(msgspec.Struct, tag_field="t", tag="resumed", frozen=True, forbid_unknown_fields=True):
    """Server: the session continues; what the client missed follows."""

    generation: Number
    """How many sockets it has had; a frame from an earlier one is refused."""
    last: Number
    """The last number that the server received from the client."""
    oldest: Number
    """The next number that the client will get. Above `Resume.last` + 1 there is a gap: what is between is lost."""
    credit: Number


class Refused(msgspec.Struct, tag_field="t", tag="refused", frozen=True, forbid_unknown_fields=True):
    """Server: no such session of this caller. The client may `open` one on the same socket."""

    code: str
    message: str


class Bye(msgspec.Struct, tag_field="t", tag="bye", frozen=True, forbid_unknown_fields=True):
    """Client: end the session and cancel its calls."""


Frame = Item | Ack | Open | Resume | Opened | Resumed | Refused | Bye

_decoder: msgspec.json.Decoder[Frame] = msgspec.json.Decoder(Frame)
_encoder = msgspec.json.Encoder()


class Violation(Exception):
    """The peer broke the protocol. Its socket is closed; the session can be resumed."""


def read_frame(text: str | bytes) -> Frame:
    """Parse a frame.

    Raises:
        Violation: `text` is not a frame.
    """
    try:
        try:
            return _decoder.decode(text)
        except msgspec.DecodeError:
            if (whole := repaired(text)) is text:
                raise
            return _decoder.decode(whole)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Violation(f"This is no frame of {SESSION_SUBPROTOCOL}.") from None


def write_frame(frame: Frame) -> str:
    """Encode a frame as text."""
    return _encoder.encode(frame).decode()


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much an endpoint keeps for its peer, and how many messages it takes from it."""

    messages: int
    bytes: int
    age_s: float
    credit: int


class State(Enum):
    """Whether a socket carries the session."""

    ATTACHED = "attached"
    """A socket carries it."""
    CUT = "cut"
    """It waits for another socket."""
    ENDED = "ended"


TRANSITIONS: dict[State, dict[str, State]] = {
    State.ATTACHED: {"cut": State.CUT, "attach": State.ATTACHED, "end": State.ENDED},
    State.CUT: {"attach": State.ATTACHED, "end": State.ENDED},
    State.ENDED: {},
}
"""The next state for each event; an event without a row is refused."""


@dataclass(slots=True)
class _Kept:
    number: int
    message: bytes
    """In UTF-8: as text, one character outside of ASCII could take four times the memory."""
    at: float


class Endpoint:
    """One endpoint of a session."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self.state = State.CUT
        self.generation = 0
        self._kept: deque[_Kept] = deque()
        """Messages sent and not acknowledged, without holes."""
        self._kept_bytes = 0
        self._last_sent = 0
        self._last_written = 0
        """To the socket that is attached."""
        self._last_acknowledged = 0
        """By the peer."""
        self._peer_credit = 0
        """How many messages the peer takes beyond the last one it acknowledged."""
        self._last_received = 0
        self._last_processed = 0
        self._last_acked = 0
        """The last number that we acknowledged, in a frame or on attach: the peer's credit is counted from it."""
        self.written = 0
        """How many messages were written to sockets; one that is written again counts again."""
        self.received = 0
        """How many messages were received, duplicates included."""
        self.duplicates = 0
        """How many were received again, and dropped."""
        self.evicted = 0
        """How many were given up because the bounds were reached."""
        self.evicted_bytes = 0

    @property
    def pending(self) -> int:
        """How many messages the peer has not acknowledged."""
        return len(self._kept)

    @property
    def pending_bytes(self) -> int:
        """Their size."""
        return self._kept_bytes

    @property
    def pending_since(self) -> float | None:
        """When the oldest of them was sent."""
        return self._kept[0].at if self._kept else None

    @property
    def unwritten(self) -> int:
        """How many of them wait for the peer's credit or for a socket."""
        return self._last_sent - self._last_written

    @property
    def unacked(self) -> int:
        """How many of the peer's messages were processed without an acknowledgement so far."""
        return max(0, self._last_processed - self._last_acked)

    @property
    def last_received(self) -> int:
        """The last number that was received: what `Resume.last` and `Resumed.last` say.

        Not the last that was *processed*: a message that is being processed when its socket breaks would be sent again.
        """
        return self._last_received

    @property
    def last_acknowledged(self) -> int:
        """The last number that the peer is known to have."""
        return self._last_acknowledged

    @property
    def oldest(self) -> int:
        """The first number that the peer can still get."""
        return self._kept[0].number if self._kept else self._last_sent + 1

    def attach(self, *, peer_received: int, peer_credit: int) -> int:
        """Let a new socket carry the session, and return its generation.

        Then call `frames_to_send` for what has to be written again.

        Raises:
            Violation: the peer claims to have received what was never sent.
        """
        if peer_received > self._last_sent:
            raise Violation("A message was acknowledged that was never sent.")
        self._step("attach")
        self._forget_through(peer_received)
        self._peer_credit = peer_credit
        # Evicted messages use no credit: the peer learns of them as a gap.
        self._last_acknowledged = max(peer_received, self.oldest - 1)
        self._last_written = self._last_acknowledged
        self._last_acked = self._last_received
        self.generation += 1
        return self.generation

    def cut(self, generation: int) -> bool:
        """Note that the socket of that generation is gone; return whether it carried the session."""
        if self.state is not State.ATTACHED or generation != self.generation:
            return False
        self._step("cut")
        return True

    def end(self) -> None:
        """End the session."""
        self._step("end")
        self._kept.clear()
        self._kept_bytes = 0

    def skip_to(self, oldest: int) -> None:
        """Accept the gap that the peer reported: its next message has this number."""
        if oldest > self._last_received + 1:
            self._last_received = self._last_processed = self._last_acked = oldest - 1

    def send(self, text: str, now: float) -> None:
        """Number a message and keep it; `frames_to_send` returns it when it may be written."""
        self._last_sent += 1
        message = text.encode()
        self._kept.append(_Kept(self._last_sent, message, now))
        self._kept_bytes += len(message)

    def frames_to_send(self) -> list[str]:
        """Return the messages to write now, in order, as far as the peer's credit goes."""
        if self.state is not State.ATTACHED:
            return []
        last = min(self._last_sent, self._last_acknowledged + self._peer_credit)
        if self._last_written >= last:
            return []
        places = range(self._last_written + 1 - self.oldest, last + 1 - self.oldest)
        frames = [self._frame(self._kept[place]) for place in places]
        self.written += len(frames)
        self._last_written = last
        self._last_acked = max(self._last_acked, self._last_processed)
        return frames

    def ack_to_send(self) -> list[str]:
        """Return an acknowledgement by itself, when one is due."""
        if self.state is not State.ATTACHED or not self.unacked:
            return []
        self._last_acked = self._last_processed
        return [write_frame(Ack(self._last_processed))]

    def receive(self, frame: Item | Ack, generation: int) -> bytes | None:
        """Take a frame from the socket of that generation, and return its message.

        Returns `None` for a duplicate and for an acknowledgement. Call `mark_processed` after each message.

        Raises:
            Violation: the numbers are impossible, or another socket carries the session.
        """
        if generation != self.generation or self.state is not State.ATTACHED:
            raise Violation("Another socket carries this session now.")
        if frame.a > self._last_written:
            raise Violation("A message was acknowledged that was never sent.")
        self._forget_through(frame.a)
        if isinstance(frame, Ack):
            return None
        self.received += 1
        if frame.s <= self._last_received:
            self.duplicates += 1
            return None
        if frame.s != self._last_received + 1:
            raise Violation(f"Message {frame.s} came where {self._last_received + 1} was due.")
        if frame.s > self._last_acked + self._bounds.credit:
            raise Violation(f"More than {self._bounds.credit} messages came without an acknowledgement.")
        self._last_received = frame.s
        return bytes(frame.m)

    def mark_processed(self) -> None:
        """Count the oldest message in progress as processed, so that it can be acknowledged."""
        if self._last_processed < self._last_received:
            self._last_processed += 1

    def is_over_bounds(self, now: float, most_bytes: int | None = None) -> bool:
        """Whether more is kept, or for longer, than the bounds allow; `most_bytes` in place of theirs."""
        bounds = self._bounds
        return (
            len(self._kept) > bounds.messages
            or self._kept_bytes > (bounds.bytes if most_bytes is None else most_bytes)
            or bool(self._kept and now - self._kept[0].at > bounds.age_s)
        )

    def evict(self, now: float, most_bytes: int | None = None) -> int:
        """Give up the oldest messages until the bounds are kept, and return how many. Only while CUT."""
        count = 0
        while self._kept and self.is_over_bounds(now, most_bytes):
            size = len(self._kept.popleft().message)
            self._kept_bytes -= size
            self.evicted_bytes += size
            count += 1
        self.evicted += count
        return count

    def _frame(self, kept: _Kept) -> str:
        return write_frame(Item(kept.number, self._last_processed, msgspec.Raw(kept.message)))

    def _forget_through(self, number: int) -> None:
        self._last_acknowledged = max(self._last_acknowledged, number)
        while self._kept and self._kept[0].number <= number:
            self._kept_bytes -= len(self._kept.popleft().message)

    def _step(self, event: str) -> None:
        following = TRANSITIONS[self.state].get(event)
        if following is None:
            raise Violation(f"A session that is {self.state.value} cannot {event}.")
        self.state = following
