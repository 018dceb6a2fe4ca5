"""Lines to a client that reads late, or never again."""

import asyncio
import os

import pytest

from exai.protocol.lines import LineWriter

LINE = "x" * 1_000_000
"""More than a pipe holds."""


async def test_a_client_that_reads_late_gets_every_line() -> None:
    reading, writing = os.pipe()
    faults: list[str] = []
    writer = LineWriter(asyncio.get_running_loop(), writing, lambda: faults.append("gone"))
    sending = [asyncio.ensure_future(writer.send(LINE)) for _ in range(2)]
    read = len(await asyncio.to_thread(os.read, reading, 1))
    assert not any(each.done() for each in sending)
    while read < 2 * (len(LINE) + 1):
        read += len(await asyncio.to_thread(os.read, reading, 2**20))
    await asyncio.gather(*sending)
    assert not writer.broken
    assert faults == []
    os.close(reading)


async def test_a_client_that_is_gone_is_noticed_once() -> None:
    reading, writing = os.pipe()
    faults: list[str] = []
    writer = LineWriter(asyncio.get_running_loop(), writing, lambda: faults.append("gone"))
    sending = [asyncio.ensure_future(writer.send(LINE)) for _ in range(3)]
    await asyncio.to_thread(os.read, reading, 1)
    os.close(reading)
    assert {type(each) for each in await asyncio.gather(*sending, return_exceptions=True)} == {
        ConnectionResetError
    }
    assert writer.broken
    assert faults == ["gone"]
    with pytest.raises(ConnectionResetError):
        await writer.send("more")
