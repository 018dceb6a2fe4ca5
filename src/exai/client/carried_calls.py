"""Calls of tools on their way to a daemon on another machine, whose files go before them.

Which arguments name files is told by the daemon in its list of tools (`_meta["exai/file-arguments"]`); the client's own
request for the list is listened to, and where it made none, the list is asked for. A call that names no file, and every
other message, passes at once. While files of a call are sent, other messages go on, and the client may cancel it.
What of a folder was not sent is told in the answer of its call: before its text, and in its `notes` where it has such.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import structlog

from exai.client.file_carrier import CarryFailed, FileCarrier
from exai.protocol.jsonrpc import RequestId, encode
from exai.runtime import tasks

__all__ = ["CarriedCalls"]

_log = structlog.get_logger(__name__)

LIST_ID = "exai-bridge-tools"
"""The id of the bridge's own request for the list of tools."""
LIST_S = 30.0
FILE_ARGUMENTS = "exai/file-arguments"
PATH_MARKS = (b'"/', b'"file:', b'"FILE:', b'"\\/')
"""How a path begins in JSON; a message without one names no file."""
PROTOCOL_META = "io.modelcontextprotocol/"

Forward = Callable[[str | bytes], Awaitable[None]]
Deliver = Callable[[str], Awaitable[None]]


class CarriedCalls:
    """Stands between a client and the relay."""

    def __init__(self, carrier: FileCarrier, deliver: Deliver) -> None:
        """`deliver` gets each message for the client; `forward` is set before the first message is taken."""
        self._carrier = carrier
        self._deliver = deliver
        self.forward: Forward = _nowhere
        self._arguments: dict[str, Sequence[str]] | None = None
        self._listed = asyncio.Event()
        self._asked = False
        self._running: dict[RequestId, asyncio.Task[None]] = {}
        self._tools_with_notes: set[str] = set()
        self._unsaid: dict[RequestId, UnsaidNotes] = {}
        """By the calls that were sent on and have no answer yet."""

    async def take(self, line: bytes) -> None:
        """Take a message of the client."""
        message = _decoded(line) if _is_of_interest(line) else None
        if message is not None and message.get("method") == "notifications/cancelled":
            cancelled = _mapping(message.get("params")).get("requestId")
            if isinstance(cancelled, str | int):
                self._unsaid.pop(cancelled, None)
                if (task := self._running.pop(cancelled, None)) is not None:
                    task.cancel()
                    return
        request_id = None if message is None else message.get("id")
        is_call = message is not None and message.get("method") == "tools/call"
        if message is None or not is_call or not isinstance(request_id, str | int) or not _names_a_path(line):
            await self.forward(line)
            return
        task = tasks.spawn(self._carry(request_id, message, line), name="carry files")
        self._running[request_id] = task
        task.add_done_callback(lambda _: self._running.pop(request_id, None))

    async def deliver(self, text: str) -> None:
        """Pass on a message for the client, unless the bridge asked for it itself."""
        if '"tools"' in text or LIST_ID in text:
            message = _decoded(text.encode()) or {}
            self._note(_mapping(message.get("result")).get("tools"), own=message.get("id") == LIST_ID)
            if message.get("id") == LIST_ID:
                return
        await self._deliver(self._with_notes(text) if self._unsaid else text)

    async def settled(self) -> None:
        """Wait until no call waits for its files any more."""
        while self._running:
            await asyncio.wait(self._running.values())

    async def _carry(self, request_id: RequestId, message: dict[str, Any], line: bytes) -> None:
        params = _mapping(message.get("params"))
        tool = str(params.get("name"))
        names = (await self._file_arguments(params)).get(tool, ())
        arguments = params.get("arguments")
        if not names or not isinstance(arguments, dict):
            await self.forward(line)
            return
        try:
            carried = await self._carrier.carry(arguments, names)
        except CarryFailed as fault:
            await self._refuse(request_id, fault)
            return
        except Exception as error:  # noqa: BLE001 - a client that gets no answer waits for ever
            why = type(error).__name__
            _log.error("files of a call could not be sent", error=why)
            sentence = f"The files could not be sent ({why}). Ask again."
            await self._refuse(request_id, CarryFailed("internal_error", sentence))
            return
        if carried.notes:
            self._unsaid[request_id] = UnsaidNotes(carried.notes, in_result=tool in self._tools_with_notes)
        await self.forward(encode({**message, "params": {**params, "arguments": carried.arguments}}))

    def _with_notes(self, text: str) -> str:
        """Add to an answer what of its call's folders was not sent."""
        message = _decoded(text.encode()) or {}
        request_id = message.get("id")
        if "method" in message or not isinstance(request_id, str | int):
            return text
        unsaid = self._unsaid.pop(request_id, None)
        result = message.get("result")
        if unsaid is None or not isinstance(result, dict):
            return text
        return encode({**message, "result": unsaid.added_to(result)})

    async def _refuse(self, request_id: RequestId, fault: CarryFailed) -> None:
        await self._deliver(encode(_refusal(request_id, fault)))

    async def _file_arguments(self, params: Mapping[str, Any]) -> Mapping[str, Sequence[str]]:
        if self._arguments is None and not self._asked:
            self._asked = True
            meta = {k: v for k, v in _mapping(params.get("_meta")).items() if k.startswith(PROTOCOL_META)}
            request = {"jsonrpc": "2.0", "id": LIST_ID, "method": "tools/list"}
            await self.forward(encode({**request, "params": {"_meta": meta} if meta else {}}))
        try:
            async with asyncio.timeout(LIST_S):
                await self._listed.wait()
        except TimeoutError:
            self._asked = False
        return self._arguments or {}

    def _note(self, tools: object, *, own: bool) -> None:
        """Note which arguments name files, from a list of tools."""
        if isinstance(tools, list):
            listed = [_mapping(tool) for tool in tools]
            named = {
                str(tool.get("name")): _mapping(tool.get("_meta")).get(FILE_ARGUMENTS) for tool in listed
            }
            found = {name: names for name, names in named.items() if isinstance(names, list)}
            self._arguments = {**(self._arguments or {}), **found}
            self._tools_with_notes |= {str(tool.get("name")) for tool in listed if _has_notes(tool)}
        if own or isinstance(tools, list):
            self._listed.set()


@dataclass(frozen=True, slots=True)
class UnsaidNotes:
    """Sentences that the answer of a call is to have, in front: wherever a client cuts, they are read."""

    notes: Sequence[str]
    in_result: bool
    """Whether the tool's results have a list `notes`."""

    def added_to(self, result: Mapping[str, Any]) -> dict[str, Any]:
        """Return a result with them, in its text and in what programs read."""
        told = dict(result)
        if isinstance(content := result.get("content"), list):
            told["content"] = [
                *({"type": "text", "text": f"Note: {note}\n"} for note in self.notes),
                *content,
            ]
        structured = result.get("structuredContent")
        if self.in_result and isinstance(structured, dict):
            notes = [*self.notes, *structured.get("notes", ())]
            told["structuredContent"] = {
                "notes": notes,
                **{k: v for k, v in structured.items() if k != "notes"},
            }
        return told


async def _nowhere(_: str | bytes) -> None:
    raise RuntimeError("the relay is not set")


def _is_of_interest(line: bytes) -> bool:
    return b"tools/call" in line or b"notifications/cancelled" in line or b"\\/" in line


def _names_a_path(line: bytes) -> bool:
    return any(mark in line for mark in PATH_MARKS)


def _decoded(line: bytes) -> dict[str, Any] | None:
    try:
        message = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return message if isinstance(message, dict) else None


def _has_notes(tool: Mapping[str, Any]) -> bool:
    return "notes" in _mapping(_mapping(tool.get("outputSchema")).get("properties"))


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _refusal(request_id: RequestId, fault: CarryFailed) -> dict[str, Any]:
    facts = {"code": fault.code, "retryable": fault.retryable, "fixable_by": "caller"}
    result = {
        "content": [{"type": "text", "text": str(fault)}],
        "isError": True,
        "_meta": {"exai/error": facts},
    }
    return {"jsonrpc": "2.0", "id": request_id, "result": result}
