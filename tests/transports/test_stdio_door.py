"""MCP over stdin and stdout of a real process."""

import asyncio
import json
import signal
from typing import Any

import pytest

from support.stdio_client import stdio

PING = {"jsonrpc": "2.0", "id": "p", "method": "ping"}


def tool(number: int, name: str, **arguments: Any) -> dict[str, Any]:
    return {
        "jsonrpc": "2.0",
        "id": number,
        "method": "tools/call",
        "params": {"name": name, "arguments": arguments},
    }


async def test_only_protocol_reaches_stdout() -> None:
    async with stdio() as client:
        answer = await client.ask(tool(1, "print"))
        assert answer["result"]["content"][0]["text"] == "printed"
        assert (await client.ask(PING))["result"] == {}
        client.stdin.close()
        assert await client.ended() == 0
        assert await client.stdout.read() == b""
        assert b"something prints" in client.log


async def test_calls_run_side_by_side_and_can_be_cancelled() -> None:
    async with stdio() as client:
        await client.send(tool(1, "wait"))
        assert (await client.ask(tool(2, "echo")))["id"] == 2
        await client.send({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}})
        assert (await client.ask(PING))["id"] == "p"
        client.stdin.close()
        assert await client.ended() == 0
        assert await client.stdout.read() == b""


async def test_an_id_is_free_again_once_its_answer_is_read() -> None:
    async with stdio() as client:
        for _ in range(200):
            assert "result" in await client.ask(tool(1, "echo"))


@pytest.mark.parametrize("line", [b"{", b"[]", b'{"jsonrpc":"2.0","id":null,"method":"ping"}', b"[" * 50_000])
async def test_a_bad_line_is_answered_and_the_next_one_served(line: bytes) -> None:
    async with stdio(handshake=False) as client:
        assert (await client.ask(line))["error"]["code"] in {-32700, -32600}
        await client.send(b"   ")
        assert (await client.ask(PING))["result"] == {}


async def test_half_a_surrogate_pair_is_taken_as_the_replacement_character() -> None:
    async with stdio() as client:
        answer = await client.ask(tool(1, "echo", text="cut \ud83d here"))
        assert "cut \ufffd here" in json.dumps(answer, ensure_ascii=False)


async def test_a_line_over_the_limit_is_refused_under_its_id_and_the_next_one_served() -> None:
    async with stdio(max_bytes=1000, handshake=False) as client:
        for size in (1001, 3_000_000):
            text = json.dumps("x" * size)
            for line, request_id in (
                (text, None),
                (f'{{"jsonrpc":"2.0","id":7,"method":"ping","params":{{"a":{text}}}}}', 7),
                (f'{{"method":"ping","params":{{"a":{text}}},"jsonrpc":"2.0","id":7}}', 7),
            ):
                answer = await client.ask(line.encode())
                assert answer["error"]["code"] == -32600
                assert "1000 bytes" in answer["error"]["message"]
                assert answer.get("id") == request_id
                assert ("id" in answer) == (request_id is not None)
        assert (await client.ask(PING))["result"] == {}


async def test_large_answers_arrive_whole() -> None:
    async with stdio() as client:
        answer = await client.ask(tool(1, "big", characters=3_000_000))
        assert len(answer["result"]["content"][0]["text"]) == 3_000_000


async def test_the_end_of_stdin_lets_running_calls_finish() -> None:
    async with stdio() as client:
        for number in range(20):
            await client.send(tool(number, "echo"))
        client.stdin.close()
        answers = [json.loads(line) async for line in client.stdout]
        assert sorted(answer["id"] for answer in answers) == list(range(20))
        assert await client.ended() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, None])
async def test_calls_that_outlive_the_drain_get_a_definite_answer(number: signal.Signals | None) -> None:
    async with stdio(drain_s=0.2) as client:
        await client.send(tool(1, "wait"))
        assert (await client.ask(PING))["result"] == {}
        if number is None:
            client.stdin.close()
        else:
            client.process.send_signal(number)
        assert (await client.next())["result"]["_meta"]["exai/error"]["code"] == "stopping"
        assert await client.ended() == 0


async def test_a_second_signal_hurries() -> None:
    async with stdio(drain_s=600) as client:
        await client.send(tool(1, "wait"))
        assert (await client.ask(PING))["result"] == {}
        client.process.send_signal(signal.SIGTERM)
        while not (await client.ask(tool(2, "echo")))["result"]["isError"]:
            pass  # the signal has not been heard yet
        client.process.send_signal(signal.SIGTERM)
        assert (await client.next())["id"] == 1
        assert await client.ended() == 0


async def test_a_client_that_closes_its_end_is_given_up() -> None:
    async with stdio(drain_s=600) as client:
        await client.send(tool(1, "wait"))
        assert (await client.ask(PING))["result"] == {}
        transport = client.stdout._transport  # type: ignore[attr-defined]  # the reader has no close of its own
        transport.close()
        await asyncio.sleep(0)  # the transport lets go of its pipe one turn of the loop later
        await client.send(PING)
        assert await client.ended() == 0
        assert b"closed the end at which it read" in client.log


@pytest.mark.parametrize("by", ["signal", "end of stdin"])
async def test_a_client_that_never_reads_does_not_keep_the_process(by: str) -> None:
    async with stdio(drain_s=0.2) as client:
        for number in range(8):
            await client.send(tool(number, "big", characters=8_000_000))
            await client.send(PING)
        if by == "signal":
            client.process.send_signal(signal.SIGTERM)
        else:
            client.stdin.close()
        assert await client.ended() == 0
        assert b"Traceback" not in client.log
        assert b"incident" not in client.log
        assert b"stopping" in client.log
