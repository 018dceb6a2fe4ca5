"""`exai connect`: relays between an MCP client on stdin and stdout and a daemon, over a resumable WebSocket session."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from exai.client.relay import Relay
from exai.client.tokens import ClientTokens
from exai.protocol.jsonrpc import encode
from exai.protocol.lines import LineReader, LineTooLong, LineWriter
from exai.protocol.standard_streams import take_stdout
from exai.runtime import tasks
from exai.runtime.stop import Stop

if TYPE_CHECKING:
    from exai.client.carried_calls import CarriedCalls

__all__ = ["Carry", "serve_bridge"]

Carry = Callable[[Callable[[str], Awaitable[None]]], "CarriedCalls"]
"""Makes what carries the files of calls; it is given what delivers a message to the client."""


async def serve_bridge(
    url: str,
    tokens: ClientTokens,
    *,
    patience_s: float,
    max_line_bytes: int,
    carry: Carry | None = None,
) -> None:
    """Relay until stdin ends, a signal comes, or the client is gone.

    After the end of stdin, open requests may still be answered, for `patience_s`.

    Args:
        carry: stands between the client and the relay, where files are to be carried.
    """
    loop = asyncio.get_running_loop()
    stop, ended = Stop(), asyncio.Event()
    writer = LineWriter(loop, take_stdout(), stop.ask)

    async def deliver(text: str) -> None:
        try:
            await writer.send(text)
        except ConnectionError:
            stop.ask()

    calls = None if carry is None else carry(deliver)
    relay = Relay(url, tokens, deliver if calls is None else calls.deliver, patience_s=patience_s)
    if calls is not None:
        calls.forward = relay.take
    to_daemon = relay.take if calls is None else calls.take

    async def take(line: bytes | LineTooLong) -> None:
        if isinstance(line, LineTooLong):
            await deliver(encode(line.refusal(max_line_bytes).answer))
        else:
            await to_daemon(line)

    with stop.by_signals():
        relaying = tasks.spawn(relay.run(), name="relay")
        LineReader(loop, max_line_bytes, take, ended.set).start()
        stopping = tasks.spawn(stop.first.wait(), name="stop")
        leaving = tasks.spawn(_drained(ended, relay, calls, patience_s), name="stdin")
        await asyncio.wait([stopping, leaving], return_when=asyncio.FIRST_COMPLETED)
        for task in (stopping, leaving, relaying):
            task.cancel()
        await asyncio.wait([relaying])


async def _drained(
    ended: asyncio.Event, relay: Relay, calls: "CarriedCalls | None", patience_s: float
) -> None:
    """Wait for the end of stdin, then for the last answers, at most `patience_s`."""
    await ended.wait()
    with suppress(TimeoutError):
        async with asyncio.timeout(patience_s):
            if calls is not None:
                await calls.settled()
            await relay.settled()
