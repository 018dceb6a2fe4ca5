"""Resumable delivery, without I/O: what one end of an `exai.mcp.v1` session said and heard, and what it may forget.

Both ends are alike. Each numbers what it says from 1 without gaps, keeps it until the
other end acknowledges that it was *processed*, and says the rest again after a cut:

    message       {"t":"m","s":12,"a":7,"m":{...}}      number, cumulative acknowledgement, JSON-RPC message
    acknowledge   {"t":"a","a":9}

A session begins with `open`, and goes on after a cut with `resume`, which names the last
number that came in. What the other end no longer has is told as a gap, never passed
over in silence. `docs/protocol.md` has the whole exchange.
"""

from collections import deque
from dataclasses import dataclass
from enum import Enum
from typing import Annotated

import msgspec

__all__ = [
    "SESSION_SUBPROTOCOL",
    "TRANSITIONS",
    "UNKNOWN_SESSION",
    "Ack",
    "Bounds",
    "Bye",
    "End",
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
    """The last number of the other end that was processed."""
    m: msgspec.Raw


class Ack(msgspec.Struct, tag_field="t", tag="a", frozen=True, forbid_unknown_fields=True):
    """An acknowledgement by itself, either way."""

    a: Number


class Open(msgspec.Struct, tag_field="t", tag="open", frozen=True, forbid_unknown_fields=True):
    """Client: begin a session."""

    credit: Number
    """How many messages the client takes beyond what it has acknowledged."""


class Resume(msgspec.Struct, tag_field="t", tag="resume", frozen=True, forbid_unknown_fields=True):
    """Client: go on with a session on this socket."""

    session: ShortText
    secret: ShortText
    last: Number
    """The last number of the server that the client heard."""
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
    """Server: the session goes on; what the client missed follows."""

    generation: Number
    """How many sockets it has had; a message of an earlier one counts no longer."""
    last: Number
    """The last number of the client that the server heard."""
    oldest: Number
    """The next number that the client will get. Above `Resume.last` + 1 there is a gap: those between are lost."""
    credit: Number


class Refused(msgspec.Struct, tag_field="t", tag="refused", frozen=True, forbid_unknown_fields=True):
    """Server: no such session of this caller. The client may `open` one on the same socket."""

    code: str
    message: str


class Bye(msgspec.Struct, tag_field="t", tag="bye", frozen=True, forbid_unknown_fields=True):
    """Client: the session is over, and its calls are to be cancelled."""


Frame = Item | Ack | Open | Resume | Opened | Resumed | Refused | Bye

_decoder: msgspec.json.Decoder[Frame] = msgspec.json.Decoder(Frame)
_encoder = msgspec.json.Encoder()


class Violation(Exception):
    """The other end broke the protocol; its socket is closed, the session can be resumed."""


def read_frame(text: str | bytes) -> Frame:
    """The frame in `text`.

    Raises:
        Violation: it is none.
    """
    try:
        return _decoder.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Violation(f"This is no frame of {SESSION_SUBPROTOCOL}.") from None


def write_frame(frame: Frame) -> str:
    """A frame as text."""
    return _encoder.encode(frame).decode()


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much an end keeps for the other one, and takes from it."""

    messages: int
    bytes: int
    age_s: float
    credit: int


class State(Enum):
    """Of a session, as its server sees it."""

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
"""What may follow what; an event that has no row is refused. Attaching twice fences the first socket."""


@dataclass(slots=True)
class _Kept:
    number: int
    text: str
    at: float


class End:
    """One end of a session."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self.state = State.CUT
        self.generation = 0
        self._kept: deque[_Kept] = deque()
        """Said and not acknowledged, without gaps."""
        self._kept_bytes = 0
        self._said = 0
        """The last number given out."""
        self._written = 0
        """The last number handed to the socket that is attached."""
        self._acknowledged = 0
        self._credit = 0
        """How many messages the other end takes beyond what it acknowledged."""
        self._heard = 0
        """The last number of the other end that came in."""
        self._processed = 0
        self._told = 0
        """What the other end was told last, by an acknowledgement or at `attach`: its credit counts from here."""
        self.handed = 0
        """Messages handed to sockets; one that is said again counts again."""
        self.came = 0
        """Messages that came in, with those that came again."""
        self.duplicates = 0
        """Messages that came again and were dropped."""
        self.evicted = 0
        """Messages given up because the bounds were reached."""
        self.evicted_bytes = 0

    @property
    def pending(self) -> int:
        """Messages that are not acknowledged."""
        return len(self._kept)

    @property
    def pending_bytes(self) -> int:
        """Their size."""
        return self._kept_bytes

    @property
    def unwritten(self) -> int:
        """Of these, the ones that wait for the other end's credit or for a socket."""
        return self._said - self._written

    @property
    def pending_since(self) -> float | None:
        """When the oldest of them was said."""
        return self._kept[0].at if self._kept else None

    @property
    def heard(self) -> int:
        """The last number of the other end that came in: what `Resume.last` and `Resumed.last` say.

        Not the last that was *processed*: one that is being processed while its socket is cut would come again.
        """
        return self._heard

    @property
    def acknowledged(self) -> int:
        """The last number that the other end is known to have."""
        return self._acknowledged

    @property
    def oldest(self) -> int:
        """The next number that the other end can get."""
        return self._kept[0].number if self._kept else self._said + 1

    def attach(self, *, peer_heard: int, peer_credit: int) -> int:
        """A socket carries the session from now on; its generation. Call `due` for what is to be said again.

        Raises:
            Violation: the other end claims to have heard what was never said.
        """
        if peer_heard > self._said:
            raise Violation("A message was acknowledged that was never sent.")
        self._step("attach")
        self._forget_through(peer_heard)
        self._credit = peer_credit
        # What the bounds took counts against no credit: the other end hears of it as a gap.
        self._acknowledged = max(peer_heard, self.oldest - 1)
        self._written = self._acknowledged
        self._told = self._heard
        self.generation += 1
        return self.generation

    def cut(self, generation: int) -> bool:
        """The socket of that generation is gone; whether it was the one that carried the session."""
        if self.state is not State.ATTACHED or generation != self.generation:
            return False
        self._step("cut")
        return True

    def end(self) -> None:
        """The session is over."""
        self._step("end")
        self._kept.clear()
        self._kept_bytes = 0

    def skip_to(self, oldest: int) -> None:
        """Accept the gap that the other end told of: what comes next has this number."""
        if oldest > self._heard + 1:
            self._heard = self._processed = self._told = oldest - 1

    def say(self, text: str, now: float) -> None:
        """Number a message and keep it; `due` hands it out."""
        self._said += 1
        self._kept.append(_Kept(self._said, text, now))
        self._kept_bytes += len(text)

    def is_over_bounds(self, now: float) -> bool:
        """Whether more is kept, or for longer, than the bounds allow."""
        bounds = self._bounds
        return (
            len(self._kept) > bounds.messages
            or self._kept_bytes > bounds.bytes
            or bool(self._kept and now - self._kept[0].at > bounds.age_s)
        )

    def evict(self, now: float) -> int:
        """Give up the oldest messages until the bounds are kept; how many. Only for a session that is cut."""
        count = 0
        while self._kept and self.is_over_bounds(now):
            size = len(self._kept.popleft().text)
            self._kept_bytes -= size
            self.evicted_bytes += size
            count += 1
        self.evicted += count
        return count

    def due(self) -> list[str]:
        """Frames to write now, in order: messages as far as the other end's credit goes, then an acknowledgement."""
        if self.state is not State.ATTACHED:
            return []
        frames = []
        last = min(self._said, self._acknowledged + self._credit)
        if self._written < last:
            first = self._written + 1 - self.oldest
            for place in range(first, last + 1 - self.oldest):
                kept = self._kept[place]
                frames.append(
                    write_frame(Item(kept.number, self._processed, msgspec.Raw(kept.text.encode())))
                )
            self.handed += len(frames)
            self._written = last
            self._told = max(self._told, self._processed)
        return frames

    @property
    def unacknowledged(self) -> int:
        """Messages that were processed, of which the other end does not know yet."""
        return max(0, self._processed - self._told)

    def ack_due(self) -> list[str]:
        """An acknowledgement by itself, where one is owed."""
        if self.state is not State.ATTACHED or not self.unacknowledged:
            return []
        self._told = self._processed
        return [write_frame(Ack(self._processed))]

    def hear(self, frame: Item | Ack, generation: int) -> bytes | None:
        """Take a frame of the socket of that generation; the message in it, `None` for a duplicate or a mere
        acknowledgement. Each message is to be followed by `done`.

        Raises:
            Violation: numbers that cannot be, or another socket carries the session by now.
        """
        if generation != self.generation or self.state is not State.ATTACHED:
            raise Violation("Another socket carries this session now.")
        if frame.a > self._written:
            raise Violation("A message was acknowledged that was never sent.")
        self._forget_through(frame.a)
        if isinstance(frame, Ack):
            return None
        self.came += 1
        if frame.s <= self._heard:
            self.duplicates += 1
            return None
        if frame.s != self._heard + 1:
            raise Violation(f"Message {frame.s} came where {self._heard + 1} was due.")
        if frame.s > self._told + self._bounds.credit:
            raise Violation(f"More than {self._bounds.credit} messages came without an acknowledgement.")
        self._heard = frame.s
        return bytes(frame.m)

    def done(self) -> None:
        """The oldest message that was heard has been processed."""
        if self._processed < self._heard:
            self._processed += 1

    def _forget_through(self, number: int) -> None:
        self._acknowledged = max(self._acknowledged, number)
        while self._kept and self._kept[0].number <= number:
            self._kept_bytes -= len(self._kept.popleft().text)

    def _step(self, event: str) -> None:
        following = TRANSITIONS[self.state].get(event)
        if following is None:
            raise Violation(f"A session that is {self.state.value} cannot {event}.")
        self.state = following
