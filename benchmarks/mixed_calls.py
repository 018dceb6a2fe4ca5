"""Mixed calls, drawn by a seed: who asks what, and what becomes of it at the provider."""

import asyncio
import base64
import json
import random
import re
import struct
import zlib
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from exai_emulator import Emulator, Fault, Persona, ReplyRule, RequestRecord

__all__ = ["KINDS", "Caller", "Kind", "MixedCalls", "call_of", "environment"]

_ENVIRONMENT = {
    "EXAI_RETRY__TRANSPORT_BACKOFF_S": "0.01",
    "EXAI_RETRY__OVERLOAD_BACKOFF_S": "0.01",
    "EXAI_RETRY__BUDGET_RESERVE": "1000000",
    "EXAI_BREAKER__CONSECUTIVE_FAILURES": "1000000",
    "EXAI_BREAKER__MIN_REQUESTS": "1000000",
    "EXAI_PROVIDERS__KIMI__WEB_SEARCH": "builtin",
    "EXAI_PROVIDERS__KIMI__UPLOAD_IMAGES_ABOVE_BYTES": "100",
    "EXAI_MODELS__CHAINS": '[{"model":"glm-5.2","then":["kimi-k2.6"],"content_filter":true}]',
    "EXAI_LOGGING__LEVEL": "error",
}
"""Of the daemon: breakers never open, so that each failure reaches its provider."""


def environment(call_s: float) -> dict[str, str]:
    """Make the daemon's environment, in which a call may last so long, and half of it without a byte."""
    return {
        **_ENVIRONMENT,
        "EXAI_TIMEOUTS__CALL_S": f"{call_s:g}",
        "EXAI_TIMEOUTS__IDLE_S": f"{call_s / 2:g}",
        "EXAI_TIMEOUTS__IDLE_MAX_EFFORT_S": f"{call_s / 2:g}",
    }


ALL = ("glm-5.3", "glm-5.2", "kimi-k3", "kimi-k2.6")
PRICELESS = ("glm-5.3-flashx", "glm-4.7-flash")
"""Without a price, and free of charge."""
BRIEF = Persona("long", tokens=40)
LONG = Persona("long", tokens=40, delay_per_token_ms=5)
ENDLESS = Persona("long", tokens=2_000, delay_per_token_ms=30)
MARK = re.compile(r"#(\d+)/(\d+)#")


@dataclass(frozen=True)
class Kind:
    """One kind of call."""

    name: str
    weight: int
    models: tuple[str, ...] = ALL
    persona: Persona | None = None
    faults: Mapping[str, Fault] = field(default_factory=dict)
    """By provider, or `""` for each."""
    times: int | None = None
    """How many requests of one call the fault strikes; `None`: all."""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    tool: str = "chat"
    streams: bool = False
    leaves: str = ""
    """Whether the caller leaves: at the first piece of the answer (`early`), or when the usage was sent (`late`)."""
    is_asked_twice: bool = False
    has_picture: bool = False

    def rules(self) -> list[ReplyRule]:
        """How the emulator answers it."""
        matches = rf"\[{self.name}\]"
        if not self.faults:
            return [] if self.persona is None else [ReplyRule(matches, self.persona)]
        return [
            ReplyRule(matches, self.persona, fault, provider or None, times=self.times)
            for provider, fault in self.faults.items()
        ]


def _of_each(**faults: str) -> dict[str, Fault]:
    return {provider: Fault(error=error) for provider, error in faults.items()}


_RESET = Fault(cut="reset", after_frames=5)
_FALLBACK = {"fallback_models": ["kimi-k2.6", "glm-4.6"]}
_SEARCH = {"use_websearch": True}
KINDS = (
    Kind("plain", 20, ALL + PRICELESS),
    Kind("streamed", 12, ALL + PRICELESS, persona=LONG, streams=True),
    Kind("capped", 5, arguments={"max_answer_tokens": 40}),
    Kind("pictures", 4, ("glm-5.3-flash", "kimi-k3"), has_picture=True),
    Kind("searched", 4, ("glm-5.2",), arguments=_SEARCH),
    Kind("searched by the model", 4, ("kimi-k2.6",), arguments=_SEARCH),
    Kind("tool loop", 4, ("kimi-k3",), arguments=_SEARCH),
    Kind("search", 3, ("kimi", "glm"), tool="search"),
    Kind("search for nothing", 1, ("kimi", "glm"), tool="search"),
    Kind(
        "search lost", 1, ("kimi", "glm"), tool="search", faults={"": Fault(cut="reset", at="after_headers")}
    ),
    Kind("fallback", 3, ("glm-5.3",), faults=_of_each(glm="1305"), arguments=_FALLBACK),
    Kind("filtered", 3, ("glm-5.2",), faults={"glm": Fault(finish_reason="sensitive")}),
    Kind("half delivered", 3, persona=BRIEF, faults={"": _RESET}),
    Kind(
        "half delivered after a search",
        2,
        ("glm-5.2",),
        persona=BRIEF,
        faults={"": _RESET},
        arguments=_SEARCH,
        streams=True,
    ),
    Kind("broken event", 3, persona=BRIEF, faults={"": Fault(frame="not_json", after_frames=8)}),
    Kind("reset before the headers", 3, faults={"": Fault(cut="reset", at="before_headers")}, times=1),
    Kind("reset after the headers", 2, faults={"": Fault(cut="reset", at="after_headers")}, times=1),
    Kind("failed once", 2, faults=_of_each(glm="500", kimi="server_error"), times=1),
    Kind("refused", 3, faults=_of_each(glm="1210", kimi="invalid_request")),
    Kind("cancelled", 3, persona=ENDLESS, streams=True, leaves="early"),
    Kind(
        "cancelled behind the usage",
        2,
        faults={"": Fault(done="missing", cut="stall", after_frames=99_999)},
        streams=True,
        leaves="late",
    ),
    Kind("silent", 1, faults={"": Fault(cut="stall", after_frames=5)}, streams=True),
    Kind("timed out", 1, persona=ENDLESS),
    Kind("without usage", 2, faults={"": Fault(usage="none")}),
    Kind("usage in the choice", 2, faults={"": Fault(usage="choice")}),
    Kind("usage in a further chunk", 2, faults={"": Fault(usage="extra")}),
    Kind("asked twice", 5, is_asked_twice=True),
)


def call_of(text: str) -> tuple[int, int] | None:
    """The caller and the number of the call whose question `text` is."""
    found = MARK.findall(text)
    return (int(found[-1][0]), int(found[-1][1])) if found else None


def _picture() -> str:
    """A PNG of 16 x 16 pixels of noise, as a `data:` URL."""
    dice = random.Random(1)
    rows = b"".join(b"\0" + dice.randbytes(48) for _ in range(16))

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 16, 16, 8, 2, 0, 0, 0)
    png = (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )
    return "data:image/png;base64," + base64.b64encode(png).decode()


PICTURE = _picture()


class Caller:
    """One MCP client, whose calls are made one after another."""

    def __init__(self, number: int, socket: ClientConnection, emulator: Emulator) -> None:
        self.number = number
        self._socket = socket
        self._emulator = emulator
        self._requests = 0
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._progress: dict[int, asyncio.Event] = {}
        self._conversation: str | None = None
        self._seen = 0
        """The emulator's latest request when the call began."""
        self.kinds: list[str] = []
        """Of its calls, in order."""
        self.answers: dict[int, dict[str, Any]] = {}
        """Results by the number of their call; none of those that were left."""

    @property
    def client(self) -> str:
        """How the journal names it."""
        return f"caller-{self.number}"

    async def listen(self) -> None:
        async for text in self._socket:
            message = json.loads(text)
            if message.get("method") == "notifications/progress":
                self._progress[message["params"]["progressToken"]].set()
            elif (waiting := self._waiting.pop(message.get("id"), None)) is not None:
                waiting.set_result(message)

    async def hello(self) -> None:
        client = {"name": self.client, "version": ""}
        parameters = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client}
        await (await self._begin("initialize", parameters))[1]
        await self._send({"method": "notifications/initialized", "params": {}})

    async def make(self, kind: Kind, dice: random.Random) -> None:
        """Make one call of this kind, and wait for its end, or leave."""
        self.kinds.append(kind.name)
        number = len(self.kinds)
        self._seen = self._emulator.log.requests[-1].sequence if self._emulator.log.requests else 0
        parameters = {"name": kind.tool, "arguments": self._arguments(kind, number, dice)}
        if kind.is_asked_twice:
            parameters["_meta"] = {"exai/idempotency-key": f"{self.client}-{number}"}
            await asyncio.gather(*[(await self._begin("tools/call", parameters))[1] for _ in range(2)])
            return
        request, answer = await self._begin("tools/call", parameters, streams=kind.streams)
        if kind.leaves:
            await self._leave(kind, number, request, answer)
        else:
            self._keep(number, (await answer)["result"])

    def _arguments(self, kind: Kind, number: int, dice: random.Random) -> dict[str, Any]:
        question = f"[{kind.name}] #{self.number}/{number}# " + "word " * dice.randrange(1, 120)
        model = dice.choice(kind.models)
        if kind.tool == "search":
            nothing = " emulated-no-results" if kind.name == "search for nothing" else ""
            return {"query": question[:200] + nothing, "engine": model}
        arguments = {"prompt": question, "model": model, **kind.arguments}
        if kind.has_picture:
            arguments["images"] = [PICTURE]
        elif self._conversation is not None and kind.name in {"plain", "streamed"} and dice.random() < 0.5:
            arguments["continuation_id"] = self._conversation
        return arguments

    async def _leave(
        self, kind: Kind, number: int, request: int, answer: asyncio.Future[dict[str, Any]]
    ) -> None:
        if kind.leaves == "early":
            seen = asyncio.ensure_future(self._progress[request].wait())
            await asyncio.wait({seen, asyncio.ensure_future(answer)}, return_when=asyncio.FIRST_COMPLETED)
            seen.cancel()
        else:
            await self._emulator.log.wait_for(
                lambda record: record.usage_sent and self._asked(record, number)
            )
            await asyncio.sleep(0.5)
        if not answer.done():
            await self._send({"method": "notifications/cancelled", "params": {"requestId": request}})
            await asyncio.wait([answer], timeout=0.2)

    def _asked(self, record: RequestRecord, number: int) -> bool:
        return record.sequence > self._seen and call_of(str(record.body)) == (self.number, number)

    def _keep(self, number: int, result: dict[str, Any]) -> None:
        self.answers[number] = result
        if not result.get("isError"):
            self._conversation = (result.get("structuredContent") or {}).get(
                "continuation_id"
            ) or self._conversation

    async def _begin(
        self, method: str, parameters: dict[str, Any], *, streams: bool = False
    ) -> tuple[int, asyncio.Future[dict[str, Any]]]:
        self._requests += 1
        number = self._requests
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        if streams:
            self._progress[number] = asyncio.Event()
            parameters = {**parameters, "_meta": {"progressToken": number}}
        await self._send({"id": number, "method": method, "params": parameters})
        return number, answer

    async def _send(self, message: dict[str, Any]) -> None:
        await self._socket.send(json.dumps({"jsonrpc": "2.0", **message}))


class MixedCalls:
    """The calls of some callers, drawn by a seed."""

    def __init__(self, emulator: Emulator, *, seed: int, calls: int, callers: int) -> None:
        self._emulator = emulator
        self._dice = random.Random(seed)
        weights = [kind.weight for kind in KINDS]
        drawn = [*KINDS, *self._dice.choices(KINDS, weights, k=max(0, calls - len(KINDS)))]
        self._dice.shuffle(drawn)
        self._plan = [drawn[number::callers] for number in range(callers)]
        self.kinds: Counter[str] = Counter(kind.name for kind in drawn)
        """How many there are of each kind; at least one."""
        self.callers: list[Caller] = []
        for kind in KINDS:
            for rule in kind.rules():
                emulator.script.reply(rule)

    async def run(self, address: str) -> None:
        """Make all calls, each caller's one after another."""
        async with asyncio.TaskGroup() as group:
            for number, kinds in enumerate(self._plan):
                group.create_task(self._call(address, number, kinds), name=f"caller {number}")

    async def _call(self, address: str, number: int, kinds: list[Kind]) -> None:
        dice = random.Random(self._dice.random())
        async with _caller(address, number, self._emulator) as caller:
            self.callers.append(caller)
            for kind in kinds:
                await caller.make(kind, dice)


@asynccontextmanager
async def _caller(address: str, number: int, emulator: Emulator) -> AsyncIterator[Caller]:
    async with connect(address, subprotocols=[Subprotocol("mcp")], compression=None, max_size=None) as socket:
        caller = Caller(number, socket, emulator)
        listening = asyncio.get_running_loop().create_task(caller.listen(), name="listen")
        try:
            await caller.hello()
            yield caller
        finally:
            listening.cancel()
            await asyncio.wait([listening])
