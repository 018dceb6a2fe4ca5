"""A server that answers as PostgreSQL does and refuses every connection by one SQLSTATE."""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

__all__ = ["refusing_postgresql"]

SSL_REQUEST = 80877103
"""PostgreSQL's manual, 54.2.11: a client asks for TLS by this number; `N` declines."""


@asynccontextmanager
async def refusing_postgresql(port: int, sqlstate: str) -> AsyncIterator[None]:
    """Refuse connections on `port` in this scope, as a server that is starting or full."""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                length, code = struct.unpack("!II", await reader.readexactly(8))
                await reader.readexactly(length - 8)
                if code != SSL_REQUEST:
                    break
                writer.write(b"N")
            fields = b"SFATAL\0VFATAL\0C" + sqlstate.encode() + b"\0Mnot now\0\0"
            writer.write(b"E" + struct.pack("!I", len(fields) + 4) + fields)
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", port):
        yield
