"""Calls whose files go before them, between a scripted client, carrier and relay."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from exai.client.carried_calls import LIST_ID, CarriedCalls
from exai.client.file_carrier import CarriedArguments, CarryFailed
from support.waiting import wait_until


class ScriptedCarrier:
    """Carries at a word, and names what it has carried in capitals."""

    def __init__(self) -> None:
        self.may_end = asyncio.Event()
        self.begun = 0
        self.refuses = False
        self.notes: tuple[str, ...] = ()

    async def carry(self, arguments: Mapping[str, Any], names: Sequence[str]) -> CarriedArguments:
        self.begun += 1
        await self.may_end.wait()
        if self.refuses:
            raise CarryFailed("file_refused", "It stays here.")
        carried = {k: v.upper() if k in names else v for k, v in arguments.items()}
        return CarriedArguments(carried, self.notes)


class Bridge:
    """The calls with their two ends."""

    def __init__(self) -> None:
        self.carrier = ScriptedCarrier()
        self.at_client: list[Any] = []
        self.at_daemon: list[Any] = []
        self.calls = CarriedCalls(self.carrier, self._deliver)  # type: ignore[arg-type]
        self.calls.forward = self._forward

    async def _deliver(self, text: str) -> None:
        self.at_client.append(json.loads(text))

    async def _forward(self, line: str | bytes) -> None:
        self.at_daemon.append(message := json.loads(line))
        if message["id"] == LIST_ID:
            await self.calls.deliver(listing(LIST_ID))

    async def send(self, **message: Any) -> None:
        await self.calls.take(json.dumps({"jsonrpc": "2.0", **message}).encode())

    async def call(self, request_id: int, **arguments: str) -> None:
        await self.send(id=request_id, method="tools/call", params={"name": "chat", "arguments": arguments})

    def arguments(self, request_id: int) -> Any:
        return next(each["params"]["arguments"] for each in self.at_daemon if each["id"] == request_id)


def listing(request_id: int | str) -> str:
    chat = {
        "name": "chat",
        "_meta": {"exai/file-arguments": ["file"]},
        "outputSchema": {"properties": {"notes": {}}},
    }
    return json.dumps({"jsonrpc": "2.0", "id": request_id, "result": {"tools": [chat, {"name": "status"}]}})


@pytest.fixture
def bridge() -> Bridge:
    return Bridge()


async def test_the_list_is_asked_for_once_and_kept_from_the_client(bridge: Bridge) -> None:
    bridge.carrier.may_end.set()
    for request_id in (1, 2):
        await bridge.call(request_id, file="/a", prompt="/b")
    await bridge.calls.settled()
    assert [each["id"] for each in bridge.at_daemon].count(LIST_ID) == 1
    assert bridge.arguments(1) == bridge.arguments(2) == {"file": "/A", "prompt": "/b"}
    assert bridge.at_client == []


async def test_the_clients_own_list_is_listened_to(bridge: Bridge) -> None:
    bridge.carrier.may_end.set()
    await bridge.calls.deliver(listing(7))
    assert bridge.at_client[0]["id"] == 7
    await bridge.call(1, file="/a")
    await bridge.calls.settled()
    assert [each["id"] for each in bridge.at_daemon] == [1]


async def test_other_messages_pass_while_files_are_sent(bridge: Bridge) -> None:
    await bridge.call(1, file="/a")
    await wait_until(lambda: bridge.carrier.begun, what="the file is being sent")
    await bridge.send(id=2, method="ping")
    await bridge.call(3, prompt="no path")
    assert [each["id"] for each in bridge.at_daemon] == [LIST_ID, 2, 3]
    bridge.carrier.may_end.set()
    await bridge.calls.settled()
    assert bridge.at_daemon[-1]["id"] == 1


async def test_a_cancelled_call_sends_nothing_further(bridge: Bridge) -> None:
    await bridge.call(1, file="/a")
    await wait_until(lambda: bridge.carrier.begun, what="the file is being sent")
    cancel = {"method": "notifications/cancelled", "params": {"requestId": 1}}
    await bridge.send(id=0, **cancel)
    bridge.carrier.may_end.set()
    await bridge.calls.settled()
    assert [each["id"] for each in bridge.at_daemon] == [LIST_ID]
    await bridge.send(id=0, **cancel)
    assert bridge.at_daemon[-1]["method"] == "notifications/cancelled"


async def test_a_refusal_is_a_tool_error(bridge: Bridge) -> None:
    bridge.carrier.refuses = True
    bridge.carrier.may_end.set()
    await bridge.call(1, file="/a")
    await bridge.calls.settled()
    result = bridge.at_client[0]["result"]
    assert result["isError"]
    assert result["content"] == [{"type": "text", "text": "It stays here."}]
    assert result["_meta"]["exai/error"]["code"] == "file_refused"


async def test_what_cannot_be_read_is_left_to_the_relay(bridge: Bridge) -> None:
    async def forward(line: str | bytes) -> None:
        bridge.at_daemon.append(line)

    bridge.calls.forward = forward
    for line in (b'tools/call "/', b'["tools/call", "/x"]', b'{"method": "tools/call", "params": "/x"}'):
        await bridge.calls.take(line)
        assert bridge.at_daemon[-1] == line


def answer(request_id: int, **structured: Any) -> str:
    result = {"content": [{"type": "text", "text": "said"}], "structuredContent": structured}
    return json.dumps({"jsonrpc": "2.0", "id": request_id, "result": result})


async def test_what_stayed_is_told_in_the_answer_of_its_call_alone(bridge: Bridge) -> None:
    bridge.carrier.may_end.set()
    bridge.carrier.notes = ("One stayed.",)
    await bridge.call(1, file="/a")
    await bridge.calls.settled()
    await bridge.calls.deliver(answer(2, answer="other"))
    await bridge.calls.deliver(answer(1, answer="text", notes=["Cut."]))
    await bridge.calls.deliver(answer(1, answer="again"))
    other, told, again = (each["result"] for each in bridge.at_client)
    assert "One stayed." not in json.dumps([other, again])
    assert [each["text"] for each in told["content"]] == ["Note: One stayed.\n", "said"]
    assert told["structuredContent"] == {"notes": ["One stayed.", "Cut."], "answer": "text"}


async def test_a_call_that_is_cancelled_or_refused_leaves_nothing_to_tell(bridge: Bridge) -> None:
    bridge.carrier.may_end.set()
    bridge.carrier.notes = ("One stayed.",)
    for request_id in (1, 2):
        await bridge.call(request_id, file="/a")
    await bridge.calls.settled()
    await bridge.send(id=0, method="notifications/cancelled", params={"requestId": 1})
    error = {"code": -32001, "message": "No."}
    await bridge.calls.deliver(json.dumps({"jsonrpc": "2.0", "id": 2, "error": error}))
    for request_id in (1, 2):
        await bridge.calls.deliver(answer(request_id))
    assert bridge.at_client[0]["error"] == error
    assert "One stayed." not in json.dumps(bridge.at_client)
