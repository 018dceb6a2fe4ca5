"""Bodies that are streamed, on real sockets of both ports: constant memory, the pace, the limit, clients that go."""

import asyncio
import json
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from starlette.responses import JSONResponse, Response

from exai.events.events import IncidentRecorded
from exai.web.bodies import ClientGone, StreamedBody
from exai.web.faults import BodyTooSlow
from exai.web.requests import AuthorizedRequest
from exai.web.routes import Route
from support.two_ports import PORTS, PortName, TwoPorts, Wire, two_ports
from support.waiting import wait_until

MIB = 2**20
LIMIT = 64 * MIB
BLOCK = bytes(MIB)
MOST_MEMORY = 8 * MIB
"""What uvicorn, asyncio and the sender of the test hold together; a whole body would be eight times that."""


class Receiver:
    """Takes bodies and remembers how each ended."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.ends: list[type[BaseException] | None] = []

    async def __call__(self, request: AuthorizedRequest) -> Response:
        if request.params["id"] == "known":
            return JSONResponse("known")
        self.sizes.append(0)
        try:
            async for piece in request.streamed_body():
                self.sizes[-1] += len(piece)
                for _ in range(20):  # a server that read on meanwhile would pile up what comes
                    await asyncio.sleep(0)
        except BaseException as error:
            self.ends.append(type(error))
            raise
        self.ends.append(None)
        return JSONResponse(self.sizes[-1])


@asynccontextmanager
async def receiving(receiver: Receiver, *, idle_s: float = 30.0, **server: float) -> AsyncIterator[TwoPorts]:
    body = StreamedBody(LIMIT, idle_s=idle_s)
    routes = [Route(("PUT",), "/things/{id}", receiver, scope="files", body=body)]
    async with two_ports(routes, server=server) as ports:
        yield ports


def put(ports: TwoPorts, wire: Wire, headers: dict[str, str], id_: str = "1") -> None:
    alice = ports.authenticator.issue("alice", "alice", "files")
    wire.send_head("PUT", f"/things/{id_}", alice | headers)


@pytest.mark.parametrize("port", PORTS)
@pytest.mark.parametrize("chunked", [False, True])
async def test_a_large_body_takes_no_more_memory_than_a_small_one(port: PortName, chunked: bool) -> None:
    receiver = Receiver()
    async with receiving(receiver) as ports, ports.wire(port) as wire:
        put(ports, wire, {"Transfer-Encoding": "chunked"} if chunked else {"Content-Length": str(LIMIT)})
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            for _ in range(LIMIT // MIB):
                wire.writer.writelines([b"%x\r\n" % MIB, BLOCK, b"\r\n"] if chunked else [BLOCK])
                await wire.writer.drain()
            if chunked:
                wire.writer.write(b"0\r\n\r\n")
            assert json.loads((await wire.answer()).body) == LIMIT
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak - before < MOST_MEMORY
    assert receiver.ends == [None]


@pytest.mark.parametrize("port", PORTS)
async def test_a_sender_that_stops_is_cut_off_with_408_however_much_had_come(port: PortName) -> None:
    receiver = Receiver()
    async with receiving(receiver, idle_s=0.3) as ports, ports.wire(port) as wire:
        put(ports, wire, {"Content-Length": str(LIMIT)})
        wire.writer.write(BLOCK)
        answer = await wire.answer()
        assert (answer.status, answer.headers["connection"]) == (408, "close")
        assert b"too slowly" in answer.body
        assert await wire.is_closed()
    assert (receiver.sizes, receiver.ends) == ([MIB], [BodyTooSlow])


@pytest.mark.parametrize("port", PORTS)
async def test_a_body_over_the_limit_is_refused_with_413_and_not_read_on(port: PortName) -> None:
    receiver = Receiver()
    async with receiving(receiver, head_timeout_s=1) as ports, ports.wire(port) as wire:
        put(ports, wire, {"Transfer-Encoding": "chunked"})
        sent = 0
        answer = asyncio.ensure_future(wire.answer())
        with pytest.raises(ConnectionError):
            while sent < 3 * LIMIT:
                wire.writer.writelines([b"%x\r\n" % MIB, BLOCK, b"\r\n"])
                await wire.writer.drain()
                sent += MIB
        assert (await answer).status == 413
        assert sent < 2 * LIMIT, "it was read on, although it was refused"
    assert LIMIT - MIB < receiver.sizes[0] <= LIMIT


@pytest.mark.parametrize("port", PORTS)
async def test_a_body_that_says_that_it_is_too_large_is_refused_unread(port: PortName) -> None:
    receiver = Receiver()
    async with receiving(receiver) as ports, ports.wire(port) as wire:
        put(ports, wire, {"Content-Length": str(LIMIT + 1), "Expect": "100-continue"})
        assert await wire.status() == 413
    assert receiver.sizes == [0]


@pytest.mark.parametrize("port", PORTS)
async def test_a_client_that_goes_ends_the_handler_and_is_no_incident(port: PortName) -> None:
    receiver = Receiver()
    async with receiving(receiver) as ports:
        async with ports.wire(port) as wire:
            put(ports, wire, {"Content-Length": str(LIMIT)})
            wire.writer.write(BLOCK)
            await wait_until(lambda: receiver.sizes == [MIB], what="the first block is read")
        await wait_until(lambda: receiver.ends == [ClientGone], what="the handler has ended")
    assert not [event for event in ports.events if isinstance(event, IncidentRecorded)]


@pytest.mark.parametrize("port", PORTS)
async def test_a_handler_that_needs_no_body_answers_and_none_is_sent(port: PortName) -> None:
    receiver = Receiver()
    async with receiving(receiver) as ports, ports.wire(port) as wire:
        put(ports, wire, {"Content-Length": str(LIMIT), "Expect": "100-continue"}, "known")
        answer = await wire.answer()
        assert (answer.status, answer.body) == (200, b'"known"')


@pytest.mark.parametrize("port", PORTS)
async def test_a_token_that_is_revoked_ends_the_stream_it_began(port: PortName) -> None:
    receiver = Receiver()
    async with receiving(receiver) as ports, ports.wire(port) as wire:
        put(ports, wire, {"Content-Length": str(LIMIT)})
        wire.writer.write(BLOCK)
        await wait_until(lambda: receiver.sizes == [MIB], what="the first block is read")
        ports.authenticator.end("alice", "revoked")
        wire.writer.write(BLOCK)
        answer = await wire.answer()
        assert (answer.status, receiver.sizes) == (401, [MIB])
        assert answer.headers["www-authenticate"].startswith('Bearer realm="exai", error="invalid_token"')
