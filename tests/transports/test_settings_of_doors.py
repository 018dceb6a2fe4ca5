"""Settings of the doors, by what a client notices of them."""

import asyncio
from typing import Any

import aiohttp
import pytest

from exai.transports.plain_calls import PlainCalls
from support.daemon_in_process import StartInProcess
from support.mcp_websocket import mcp_socket
from support.open_doors import open_doors
from support.session_socket import session_socket
from support.virtual_time import now


def nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(depth):
        value = {"in": value}
    return {"jsonrpc": "2.0", "id": 1, "method": "ping", "params": value}


@pytest.mark.parametrize(("most", "is_refused"), [(10, True), (40, False)])
async def test_a_message_that_is_nested_deeper_than_the_setting_is_refused_at_both_doors(
    most: int, is_refused: bool
) -> None:
    async with (
        open_doors(websocket={"max_json_depth": most}) as doors,
        mcp_socket(doors.ws) as client,
        aiohttp.ClientSession() as http,
    ):
        refused = await client.request("ping", nested(20)["params"])
        assert ("error" in refused) is is_refused
        accept = {"Accept": "application/json, text/event-stream"}
        async with http.post(doors.http, json=nested(20), headers=accept) as response:
            assert ("nested" in await response.text()) is is_refused


@pytest.mark.virtual_time
async def test_a_peer_that_answers_no_ping_is_closed_by_both_settings() -> None:
    async with (
        open_doors(websocket={"ping_interval_s": 50, "ping_timeout_s": 7}) as doors,
        aiohttp.ClientSession() as http,
        http.ws_connect(doors.ws, protocols=["mcp"], autoping=False) as socket,
    ):
        began = now()
        ping = await socket.receive()
        assert (ping.type, round(now() - began)) == (aiohttp.WSMsgType.PING, 50)
        await socket.pong(ping.data)
        ping = await socket.receive()
        assert (ping.type, round(now() - began)) == (aiohttp.WSMsgType.PING, 100)
        closed = await socket.receive()
        assert closed.type in {aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED}
        assert round(now() - began) == 107


@pytest.mark.virtual_time
@pytest.mark.parametrize("delay_s", [0.5, 7.0])
async def test_what_nothing_is_said_to_is_acknowledged_after_the_setting(delay_s: float) -> None:
    async with (
        open_doors(sessions={"ack_delay_ms": int(delay_s * 1_000)}) as doors,
        session_socket(doors.ws) as client,
    ):
        await client.open()
        began = now()
        await client.call(1, "wait")
        assert await client.receive() == {"t": "a", "a": 1}
        assert now() - began == pytest.approx(delay_s, abs=0.01)


@pytest.mark.parametrize("plain", [True, False])
async def test_every_call_goes_through_the_kernel_if_the_setting_says_so(
    start_in_process: StartInProcess, monkeypatch: pytest.MonkeyPatch, plain: bool
) -> None:
    past_the_kernel: list[str] = []
    result = PlainCalls.result

    async def watched(self: PlainCalls, params: Any, caller: Any) -> dict[str, Any]:
        past_the_kernel.append(params["name"])
        return await result(self, params, caller)

    monkeypatch.setattr(PlainCalls, "result", watched)
    async with (
        start_in_process(EXAI_SERVER__PLAIN_CALLS=str(plain).lower()) as daemon,
        mcp_socket(daemon.mcp_ws) as client,
    ):
        answers = await asyncio.gather(*[client.tool("status") for _ in range(2)])
        assert not any(answer["isError"] for answer in answers)
    assert past_the_kernel == (["status"] * 2 if plain else [])
