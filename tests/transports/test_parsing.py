"""Long messages are parsed beside the event loop: in order on their connection, and without delay for others."""

import asyncio
import threading
from collections.abc import Iterator

import pytest

from exai.callers import Caller, Door
from exai.protocol.jsonrpc import Message, Refusal, parse
from exai.transports import parsing
from exai.transports.parsing import MessageParser
from support.mcp_websocket import mcp_socket
from support.open_doors import Doors
from support.waiting import wait_until

LONG = '{"jsonrpc":"2.0","id":1,"method":"ping","params":{"text":"%s"}}' % ("x" * 200_000)
SHORT = '{"jsonrpc":"2.0","id":2,"method":"ping"}'
CALLER = Caller("a", Door.WEBSOCKET)


class HeldParser:
    """Parses on a worker's thread only when it is let go."""

    def __init__(self) -> None:
        self.begun = 0
        self.go = threading.Event()

    def __call__(self, text: str | bytes, max_depth: int) -> Message:
        if threading.current_thread() is not threading.main_thread():
            self.begun += 1
            assert self.go.wait(60)
        return parse(text, max_depth)


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[HeldParser]:
    parser = HeldParser()
    monkeypatch.setattr(parsing, "parse", parser)
    yield parser
    parser.go.set()


async def test_a_long_message_holds_up_no_other_message(held: HeldParser) -> None:
    parser = MessageParser(64)
    async with asyncio.TaskGroup() as tasks:
        long = [tasks.create_task(parser.parse(LONG, CALLER)) for _ in range(20)]
        await wait_until(lambda: held.begun == 1, what="one of them is parsed")
        assert (await parser.parse(SHORT, CALLER))["id"] == 2
        assert held.begun == 1
        held.go.set()
    assert [task.result()["id"] for task in long] == [1] * 20


async def test_another_connection_is_answered_while_a_long_message_is_parsed(
    doors: Doors, held: HeldParser
) -> None:
    async with mcp_socket(doors.ws) as flooding, mcp_socket(doors.ws) as modest:
        await flooding.socket.send(LONG)
        await flooding.socket.send(SHORT)
        await wait_until(lambda: held.begun == 1, what="the long message is parsed")
        await modest.initialize()
        held.go.set()


async def test_a_long_message_that_is_none_is_refused_alike() -> None:
    with pytest.raises(Refusal, match="not JSON"):
        await MessageParser(64).parse(LONG[:-1], CALLER)
