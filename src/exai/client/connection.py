"""A Python client for a running daemon, which survives cut connections and restarts.

    async with connect() as session:
        answer = await session.call("chat", {"prompt": "What is a heron?"})
        print(answer.text)

It speaks MCP 2026-07-28 over a resumable session: a call goes on when its connection breaks, and its answer arrives
once. When the daemon requires tokens, `connect(credentials=FILE)` takes a file that `exai token create NAME --save
FILE` wrote, and refreshes its token. `docs/protocol.md` has the protocol.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from exai import errors
from exai.client.relay import IN_DOUBT, UNREACHABLE, Relay
from exai.client.tokens import ClientTokens, client_tokens
from exai.config import client as config_client
from exai.protocol.idempotency_key import IDEMPOTENCY_KEY
from exai.protocol.jsonrpc import encode
from exai.runtime import tasks
from exai.runtime.version import __version__

__all__ = ["Answer", "CallFailed", "InDoubt", "Session", "Unauthenticated", "Unreachable", "connect"]

DEFAULT_URL = "ws://127.0.0.1:8079/mcp"
ENVELOPE = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": {"name": "exai.client", "version": __version__},
}

OnProgress = Callable[[str, str], None]
"""Called with a kind and a text: `text` and `reasoning` with what the model has said since the last one of that kind,
`status` with a sentence for people."""


class CallFailed(Exception):
    """The request was answered with a JSON-RPC error; `code` is its code."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class Unreachable(CallFailed):
    """The daemon could not be reached; the request was not sent, so asking again is safe."""


class Unauthenticated(CallFailed):
    """The daemon requires a token, or accepts none of this session's; the message says how to get one."""


class InDoubt(CallFailed):
    """The answer is lost: whether the call was carried out is unknown, and it was not repeated."""


_KINDS = {UNREACHABLE: Unreachable, IN_DOUBT: InDoubt, errors.Unauthenticated.rpc_code: Unauthenticated}


@dataclass(frozen=True, slots=True)
class Answer:
    """A tool's result."""

    text: str
    structured: dict[str, Any] | None
    """As in the tool's output schema; `None` for an error."""
    is_error: bool
    meta: dict[str, Any]
    """An error has its facts under `exai/error`."""


class Session:
    """Makes calls to one daemon, any number at the same time."""

    def __init__(self, url: str, tokens: ClientTokens, patience_s: float) -> None:
        self._relay = Relay(url, tokens, self._deliver, patience_s=patience_s)
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._on_progress: dict[int, OnProgress] = {}

    async def call(
        self,
        tool: str,
        arguments: dict[str, Any] | None = None,
        *,
        on_progress: OnProgress | None = None,
        idempotency_key: str | None = None,
    ) -> Answer:
        """Call a tool. Cancelling the task cancels the call at the daemon.

        Each call has an idempotency key, so that it is run once even if the daemon restarts meanwhile. Give one of
        your own to ask for the same call again later, from another process as well.

        Raises:
            Unreachable: the daemon did not answer within the session's patience; nothing was sent.
            Unauthenticated: the daemon accepted no token of this session; nothing was sent.
            InDoubt: the daemon went away while the call ran; it was not repeated.
            CallFailed: there is no such tool, or the request was refused otherwise.
        """
        key = {} if idempotency_key is None else {IDEMPOTENCY_KEY: idempotency_key}
        params = {"name": tool, "arguments": arguments or {}}
        result = await self._request("tools/call", params, on_progress, key)
        text = "\n".join(part["text"] for part in result.get("content", ()) if part.get("type") == "text")
        meta: dict[str, Any] = result.get("_meta") or {}
        if meta.get("exai/error", {}).get("code") == "in_doubt":
            raise InDoubt(IN_DOUBT, text)
        return Answer(text, result.get("structuredContent"), bool(result.get("isError")), meta)

    async def tools(self) -> list[dict[str, Any]]:
        """List the tools, as MCP describes them.

        Raises:
            Unreachable: the daemon did not answer within the session's patience.
            Unauthenticated: the daemon accepted no token of this session.
        """
        result = await self._request("tools/list", {})
        tools: list[dict[str, Any]] = result["tools"]
        return tools

    async def run(self) -> None:
        """Keep the connection until cancelled; `connect` does this."""
        await self._relay.run()

    async def _request(
        self,
        method: str,
        params: dict[str, Any],
        on_progress: OnProgress | None = None,
        further_meta: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        number = next(self._numbers)
        meta: dict[str, Any] = {**ENVELOPE, **(further_meta or {})}
        if on_progress is not None:
            meta["progressToken"] = number
            self._on_progress[number] = on_progress
        message = {"jsonrpc": "2.0", "id": number, "method": method, "params": {**params, "_meta": meta}}
        future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        try:
            await self._relay.take(encode(message))
            return await future
        except asyncio.CancelledError:
            cancel = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": number}}
            await self._relay.take(encode(cancel))
            raise
        finally:
            del self._waiting[number]
            self._on_progress.pop(number, None)

    async def _deliver(self, text: str) -> None:
        message = msgspec.json.decode(text)
        if message.get("method") == "notifications/progress":
            params = message["params"]
            if (listener := self._on_progress.get(params["progressToken"])) is not None:
                listener(*_progress_in(params))
            return
        future = self._waiting.get(message.get("id"))
        if future is None or future.done():
            return
        if (error := message.get("error")) is None:
            future.set_result(message["result"])
        else:
            kind = _KINDS.get(error["code"], CallFailed)
            future.set_exception(kind(error["code"], error["message"]))


def _progress_in(params: dict[str, Any]) -> tuple[str, str]:
    """Return the kind of a progress notification, and what a program does with it: the delta, else the message."""
    meta: dict[str, Any] = params.get("_meta") or {}
    delta: str | None = meta.get("exai/delta")
    if delta is None:
        return "status", params.get("message") or ""
    return meta.get("exai/kind", "text"), delta


@asynccontextmanager
async def connect(
    url: str = DEFAULT_URL,
    *,
    token: str | None = None,
    credentials: Path | str | None = None,
    patience_s: float = 10.0,
) -> AsyncIterator[Session]:
    """Open a session with the daemon at `url`. When it is down, the first call raises, not this.

    Args:
        url: such as `ws://127.0.0.1:8079/mcp`.
        token: a token or an API key. Without `token` and `credentials`: the one in `EXAI_TOKEN`.
        credentials: a file that `exai token create --save` wrote, whose token is refreshed automatically, also when
            several processes share it. Without both: the one that `EXAI_CREDENTIALS` names, if there is one.
        patience_s: how long a call waits, in seconds, for a daemon that cannot be reached.

    Raises:
        StartFault: the token is malformed.
    """
    if token is None and credentials is None:
        token, credentials = config_client.token_variable(), config_client.credentials_variable()
    file = None if credentials is None else Path(credentials)
    session = Session(url, client_tokens(url, token=token, file=file), patience_s)
    running = tasks.spawn(session.run(), name="exai client")
    try:
        yield session
    finally:
        running.cancel()
        await asyncio.wait([running])
