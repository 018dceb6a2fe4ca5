"""Both HTTP ports on real sockets, with routes of a test's own on each, and requests written byte by byte."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

from exai import config
from exai.callers import Door
from exai.events.events import Event
from exai.web.auth_gate import AuthGate
from exai.web.hosts import HostRule
from exai.web.port import HttpPort
from exai.web.routes import Route
from support.open_doors import open_doors
from support.scripted_authenticator import ScriptedAuthenticator

__all__ = ["PORTS", "Answer", "PortName", "TwoPorts", "Wire", "two_ports"]

PortName = Literal["mcp", "operations"]
PORTS: tuple[PortName, ...] = ("mcp", "operations")


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes


class Wire:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send_head(self, method: str, path: str, headers: dict[str, str] | None = None) -> None:
        lines = [f"{name}: {value}" for name, value in ({"Host": "localhost"} | (headers or {})).items()]
        self.writer.write("\r\n".join([f"{method} {path} HTTP/1.1", *lines, "", ""]).encode())

    async def status(self) -> int:
        """Of the next head; one that is not final counts."""
        return (await self.answer()).status

    async def answer(self) -> Answer:
        """The next answer, whole."""
        async with asyncio.timeout(30):
            first, *fields = (await self.reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
            headers = {name.lower(): value for name, _, value in (field.partition(": ") for field in fields)}
            body = await self.reader.readexactly(int(headers.get("content-length", "0")))
        return Answer(int(first.split()[1]), headers, body)

    async def is_closed(self) -> bool:
        """Whether nothing more comes; waits for that."""
        async with asyncio.timeout(30):
            try:
                return await self.reader.read() == b""
            except ConnectionError:
                return True


@dataclass
class TwoPorts:
    """Both ports, and who may ask."""

    addresses: dict[PortName, int]
    authenticator: ScriptedAuthenticator
    events: list[Event]

    @asynccontextmanager
    async def wire(self, name: PortName) -> AsyncIterator[Wire]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.addresses[name])
        try:
            yield Wire(reader, writer)
        finally:
            writer.transport.abort()


@asynccontextmanager
async def two_ports(routes: Sequence[Route], **settings: Any) -> AsyncIterator[TwoPorts]:
    """Open both; `settings` are sections of the configuration."""
    authenticator = ScriptedAuthenticator()
    events: list[Event] = []
    operations = HttpPort(
        routes,
        door=Door.OPERATIONS,
        hosts=HostRule(config.Server()),
        gate=AuthGate(authenticator, events.append),
        publish=events.append,
    )
    async with open_doors(judge=authenticator, further=routes, operations=operations, **settings) as doors:
        ports = {"mcp": doors.addresses.mcp_http, "operations": doors.addresses.operations}
        addresses: dict[PortName, int] = {}
        for name in PORTS:
            addresses[name] = urlsplit(ports[name]).port or 0
        yield TwoPorts(addresses, authenticator, events)
        events += doors.events
