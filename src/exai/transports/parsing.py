"""Parses the messages of many connections, so that long ones hold the event loop for nobody.

A message of some megabytes takes some milliseconds, and a hundred of them may be complete in the same turn of the loop.
So long ones are parsed in a thread, one after the other and in turns by caller.
"""

from functools import partial

from exai.callers import Caller
from exai.protocol.jsonrpc import Message, parse
from exai.runtime.worker_pool import WorkerPool

__all__ = ["MessageParser"]

_LONG = 100_000
"""In characters, or bytes; up to here a message takes a fraction of a millisecond."""


class MessageParser:
    """The parser of one door."""

    def __init__(self, max_depth: int) -> None:
        self._max_depth = max_depth
        self._pool = WorkerPool("messages", threads=1, per_caller=1)

    async def parse(self, text: str | bytes, caller: Caller) -> Message:
        """Parse a request, a notification or a response of the caller.

        Raises:
            Refusal: see `exai.protocol.jsonrpc.parse`.
        """
        if len(text) <= _LONG:
            return parse(text, self._max_depth)
        return await self._pool.run(caller.subject, partial(parse, text, self._max_depth))
