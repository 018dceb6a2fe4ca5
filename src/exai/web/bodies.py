"""Bodies of requests: read whole, or streamed piece by piece; bounded in size and in how slow they may be.

The size is judged by `Content-Length` before a byte is read, and again by what comes. How slow a body may be is a
number of seconds that its sender has left, `_Patience`:

    at first           `slack_s`
    a second's wait    takes one second
    n bytes            give n / `bytes_per_s` seconds back, up to `most_s`

So a sender that keeps `bytes_per_s` may take as long as it likes, and one that falls behind by more than it has left
is refused with 408. Only time spent waiting for the sender counts: a reader that is slow itself, because it writes to
a disk, does not count against its sender.

A whole body has no `most_s`: what came quickly is credited to the rest, within `within_s` altogether. A streamed body
has `most_s = slack_s = idle_s`: however much came before, a sender that stops is cut off after `idle_s`.

Pieces are handed on as the server has them, at most some hundred kilobytes each. While none is asked for the server
stops reading from the connection, so a stream takes the same memory whatever its length.
"""

import asyncio
import math
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from starlette.types import Receive

from exai.web.faults import BodyTooLarge, BodyTooSlow

__all__ = ["UNCOUNTED_BYTES", "Body", "ClientGone", "StreamedBody", "WholeBody", "pieces"]

SLACK_S = 5.0
LEAST_BYTES_PER_S = 4_096
UNCOUNTED_BYTES = 64 * 2**10
"""Of each body, in no count of what is coming: a short one is taken however much others send."""


@dataclass(frozen=True, slots=True)
class WholeBody:
    """The rule of a body that is read into memory."""

    max_bytes: int
    within_s: float
    """How long it may take altogether."""

    def patience(self) -> "_Patience":
        """Start the count for one body."""
        return _Patience(SLACK_S, LEAST_BYTES_PER_S, most_s=math.inf, total_s=self.within_s)


@dataclass(frozen=True, slots=True)
class StreamedBody:
    """The rule of a body that is handed on as it comes."""

    max_bytes: int
    idle_s: float = SLACK_S
    """How long a sender may fall behind, and so how long it may send nothing."""
    bytes_per_s: int = LEAST_BYTES_PER_S

    def patience(self) -> "_Patience":
        """Start the count for one body."""
        return _Patience(self.idle_s, self.bytes_per_s, most_s=self.idle_s, total_s=math.inf)


Body = WholeBody | StreamedBody


class ClientGone(Exception):
    """The client closed its connection before the body's end."""


class _Patience:
    """Counts how long the next piece of one body is waited for."""

    def __init__(self, slack_s: float, bytes_per_s: int, *, most_s: float, total_s: float) -> None:
        self._left_s = slack_s
        self._bytes_per_s = bytes_per_s
        self._most_s = most_s
        self._total_left_s = total_s

    @property
    def seconds(self) -> float:
        """From now on."""
        return max(0.0, min(self._left_s, self._total_left_s))

    def note(self, waited_s: float, received: int) -> None:
        """Count a piece that came after a wait."""
        self._total_left_s -= waited_s
        self._left_s = min(self._most_s, self._left_s - waited_s + received / self._bytes_per_s)


async def pieces(receive: Receive, rule: Body, declared: int | None) -> AsyncGenerator[bytes]:
    """Yield the body as it comes.

    Raises:
        BodyTooLarge: it is, or says that it is, larger than the rule allows.
        BodyTooSlow: its sender fell behind.
        ClientGone: the client closed its connection.
    """
    if declared is not None and declared > rule.max_bytes:
        raise _too_large(rule)
    loop = asyncio.get_running_loop()
    patience = rule.patience()
    size = 0
    while True:
        began = loop.time()
        try:
            async with asyncio.timeout(patience.seconds):
                event = await receive()
        except TimeoutError:
            raise BodyTooSlow(
                "The request's body came too slowly. Send it again over a better connection."
            ) from None
        if event["type"] != "http.request":
            raise ClientGone
        piece: bytes = event.get("body", b"")
        patience.note(loop.time() - began, len(piece))
        size += len(piece)
        if size > rule.max_bytes:
            raise _too_large(rule)
        if piece:
            yield piece
        if not event.get("more_body"):
            return


def _too_large(rule: Body) -> BodyTooLarge:
    return BodyTooLarge(f"The body is larger than {rule.max_bytes} bytes.")
