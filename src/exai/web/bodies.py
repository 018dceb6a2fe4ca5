"""Bodies of HTTP requests, bounded in size, in time and in how slow they may be."""

import asyncio

from starlette.types import Message, Receive

__all__ = ["read_body", "replayed"]

SLOW_S = 5.0
"""How long a body may be slow before its rate counts."""
LEAST_BYTES_PER_S = 4_096


async def read_body(receive: Receive, *, max_bytes: int, timeout_s: float) -> bytes | None:
    """The whole body; `None` when it is larger than it may be.

    Raises:
        TimeoutError: it came too slowly.
    """
    chunks: list[bytes] = []
    size = 0
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with asyncio.timeout_at(began + min(timeout_s, SLOW_S)) as deadline:
        while True:
            event = await receive()
            if event["type"] != "http.request":
                return b""
            chunk = event.get("body", b"")
            size += len(chunk)
            if size > max_bytes:
                return None
            chunks.append(chunk)
            if not event.get("more_body"):
                return b"".join(chunks)
            allowed_s = min(timeout_s, SLOW_S + size / LEAST_BYTES_PER_S)
            deadline.reschedule(began + allowed_s)


def replayed(body: bytes, receive: Receive) -> Receive:
    """The body once more, then whatever comes after it."""
    first = True

    async def replay() -> Message:
        nonlocal first
        if first:
            first = False
            return {"type": "http.request", "body": body, "more_body": False}
        return await receive()

    return replay
