"""Ports and the order of leaving."""

import asyncio
import socket

import aiohttp
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from exai import config
from exai.callers import Caller, Door
from exai.errors import StartFault
from exai.events.events import ConnectionClosed as Closed
from exai.transports.listener import Listener
from support.mcp_websocket import mcp_socket
from support.open_doors import Doors, open_doors
from support.virtual_time import now


@pytest.mark.parametrize("setting", ["port", "operations_port", "errors_port"])
def test_a_taken_port_is_one_sentence_that_names_the_setting(setting: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StartFault) as fault:
            Listener(config.Server(**{"port": 0, "operations_port": 0, "errors_port": 0, setting: port}))
    assert str(port) in str(fault.value)
    assert f"`--set server.{setting}=PORT`" in str(fault.value)


def test_a_second_port_that_is_taken_gives_the_first_one_back() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        free = probe.getsockname()[1]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        with pytest.raises(StartFault):
            Listener(config.Server(port=free, operations_port=taken.getsockname()[1]))
        Listener(config.Server(port=free, operations_port=0, errors_port=0)).close()


def test_an_address_that_is_not_ours_is_one_sentence() -> None:
    with pytest.raises(StartFault, match=r"192\.0\.2\.1"):
        Listener(config.Server(host="192.0.2.1", port=0))


def test_port_0_is_reported_as_the_real_one() -> None:
    listener = Listener(config.Server(port=0, operations_port=0, errors_port=0))
    try:
        assert listener.addresses.mcp_ws.startswith("ws://127.0.0.1:")
        assert not listener.addresses.mcp_ws.endswith(":0/mcp")
    finally:
        listener.close()


async def test_a_stop_lets_running_calls_finish_and_refuses_new_ones(doors: Doors) -> None:
    async with mcp_socket(doors.ws) as client:
        _, waiting = await client.begin_tool("wait", {})
        await doors.engine.started.wait()
        doors.signal()
        await doors.stopping.wait()
        refused = await client.tool("echo")
        assert refused["isError"]
        assert refused["_meta"]["exai/error"]["code"] == "stopping"
        assert (await client.request("ping"))["result"] == {}
        doors.engine.released.set()
        assert (await waiting)["result"]["content"][0]["text"] == "released"
        with pytest.raises(ConnectionClosed) as closed:
            async with asyncio.timeout(30):
                await client.socket.wait_closed()
                await client.socket.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1012
    await doors.serving
    assert doors.events[-1] == Closed(Door.WEBSOCKET, Caller.local(Door.WEBSOCKET), "stopping")
    with pytest.raises(OSError, match=r"refused|failed"):
        await connect(doors.ws)


@pytest.mark.virtual_time
async def test_calls_that_outlive_the_drain_get_a_definite_answer() -> None:
    async with open_doors(server={"drain_s": 20}) as doors, mcp_socket(doors.ws) as client:
        answers = [(await client.begin_tool("wait", {}))[1] for _ in range(3)]
        await doors.engine.started.wait()
        doors.signal()
        signalled_at = now()
        for answer in answers:
            assert (await answer)["result"]["_meta"]["exai/error"]["code"] == "stopping"
        assert now() - signalled_at == pytest.approx(20)
        await doors.serving


@pytest.mark.virtual_time
async def test_a_second_signal_hurries() -> None:
    async with open_doors(server={"drain_s": 600}) as doors, mcp_socket(doors.ws) as client:
        _, answer = await client.begin_tool("wait", {})
        await doors.engine.started.wait()
        doors.signal()
        await doors.stopping.wait()
        doors.signal()
        signalled_at = now()
        assert (await answer)["result"]["_meta"]["exai/error"]["code"] == "stopping"
        await doors.serving
        assert now() - signalled_at < 2


@pytest.mark.virtual_time
async def test_streams_do_not_hold_up_a_stop() -> None:
    async with open_doors(server={"drain_s": 600}) as doors, aiohttp.ClientSession() as http:
        envelope = {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {},
        }
        params = {"notifications": {"toolsListChanged": True}, "_meta": envelope}
        listen = {"jsonrpc": "2.0", "id": 1, "method": "subscriptions/listen", "params": params}
        headers = {
            "Accept": "application/json, text/event-stream",
            "MCP-Protocol-Version": "2026-07-28",
            "Mcp-Method": "subscriptions/listen",
        }
        async with (
            mcp_socket(doors.ws) as client,
            http.post(doors.http, json=listen, headers=headers) as stream,
        ):
            await client.send({**listen, "id": 99})
            assert (await client.request("ping"))["result"] == {}
            assert b"event" in await stream.content.readline()
            answer = client._waiting[99] = asyncio.get_running_loop().create_future()
            doors.signal()
            signalled_at = now()
            assert (await answer)["result"]["resultType"] == "complete"
            assert b'"result"' in await stream.read()
            await doors.serving
            assert now() - signalled_at < 2


@pytest.mark.parametrize("host", ["0.0.0.0", "no.such.host.invalid"])
def test_a_socket_that_was_handed_over_listens_where_the_settings_say(host: str) -> None:
    inherited = socket.create_server(("127.0.0.1", 0))
    further = socket.create_server(("127.0.0.1", 0))
    with pytest.raises(StartFault, match=rf"'mcp' listens at 127\.0\.0\.1, and `server.host` is {host}"):
        Listener(config.Server(host=host), inherited={"mcp": inherited, "errors": further})
    assert (inherited.fileno(), further.fileno()) == (-1, -1)


def test_ports_that_were_not_handed_over_are_bound() -> None:
    inherited = socket.create_server(("127.0.0.1", 0))
    port = inherited.getsockname()[1]
    listener = Listener(config.Server(operations_port=0, errors_port=0), inherited={"mcp": inherited})
    try:
        assert listener.addresses.mcp_ws == f"ws://127.0.0.1:{port}/mcp"
        assert not listener.addresses.operations.endswith((":0", f":{port}"))
    finally:
        listener.close()
