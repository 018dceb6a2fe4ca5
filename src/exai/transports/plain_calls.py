"""Plain `tools/call` requests of a handshake connection, answered without the SDK's kernel.

The kernel validates a request and its result by models, and binds a session for it, which takes as long as the rest of
the port. A request is plain if its params are a name, arguments, and in `_meta` at most a progress token: then there is
nothing that the kernel would add. Its answer is equal to the kernel's, which `tests/transports/test_parity.py` holds;
the setting `server.plain_calls` sends every request through the kernel.
"""

from collections.abc import Coroutine, Mapping
from typing import Any, Protocol

import mcp_types as types
from mcp.server.lowlevel import Server

from exai.callers import Caller
from exai.dispatch.progress import SendProgress
from exai.tools.base import JsonObject
from exai.transports.confirmation.asking import by_elicitation, can_be_asked
from exai.transports.server import EngineServer, answer_call, named_caller

__all__ = ["CALL", "PLAIN_VERSIONS", "Client", "Peer", "PlainCalls", "is_plain"]

CALL = "tools/call"

PLAIN_VERSIONS = frozenset({"2025-06-18", "2025-11-25"})
"""Revisions whose results have no `resultType`."""
_MEMBERS = frozenset({"name", "arguments", "_meta"})


class Peer(Protocol):
    """The client at the other end."""

    async def notify(self, method: str, params: Mapping[str, Any] | None) -> None:
        """Tell it something."""
        ...

    async def send_raw_request(self, method: str, params: Mapping[str, Any] | None) -> dict[str, Any]:
        """Ask it something.

        Raises:
            MCPError: it answers with an error, or has gone.
        """
        ...


class Client(Protocol):
    """What a client said of itself in its handshake: the SDK's `Connection`, and what HTTP keeps of it."""

    @property
    def protocol_version(self) -> str:
        """The revision that was agreed on."""
        ...

    @property
    def initialize_accepted(self) -> bool:
        """Whether the handshake was made."""
        ...

    @property
    def client_params(self) -> types.InitializeRequestParams | None:
        """Its part of the handshake."""
        ...

    @property
    def client_capabilities(self) -> types.ClientCapabilities | None:
        """What it can do, by these."""
        ...


class PlainCalls:
    """Answers the plain calls of one client."""

    def __init__(self, server: EngineServer, connection: Client, peer: Peer) -> None:
        self._server = server
        self._connection = connection
        self._peer = peer

    @classmethod
    def of(cls, server: Server[Any], connection: Client, peer: Peer) -> "PlainCalls | None":
        """Make it for a connection, unless each of its requests is the kernel's."""
        if isinstance(server, EngineServer) and server.answers_plain_calls:
            return cls(server, connection, peer)
        return None

    def takes(self, params: Mapping[str, Any] | None) -> bool:
        """Return whether these params of a `tools/call` are plain."""
        connection = self._connection
        if connection.protocol_version not in PLAIN_VERSIONS or not connection.initialize_accepted:
            return False
        return is_plain(params)

    def result(self, params: Mapping[str, Any], caller: Caller) -> Coroutine[Any, Any, JsonObject]:
        """Return the result of a call that is plain.

        Raises:
            MCPError: there is no such tool, or the caller may not.
        """
        client = self._connection.client_params
        if client is not None:
            caller = named_caller(caller, client.client_info.name, client.client_info.version)
        meta = params.get("_meta")
        progress = None if not meta else self._progress(meta["progressToken"])
        return answer_call(
            self._server.calls,
            params["name"],
            params.get("arguments"),
            caller,
            progress=progress,
            confirm=by_elicitation(self._elicit)
            if can_be_asked(self._connection.client_capabilities)
            else None,
            has_kind=False,
        )

    async def _elicit(self, form: types.ElicitRequestFormParams) -> types.ElicitResult:
        params = form.model_dump(by_alias=True, mode="json", exclude_none=True)
        return types.ElicitResult.model_validate(
            await self._peer.send_raw_request("elicitation/create", params)
        )

    def _progress(self, token: str | int) -> SendProgress:
        async def send(number: float, message: str, meta: dict[str, Any]) -> None:
            params = {"progressToken": token, "progress": number, "message": message}
            await self._peer.notify("notifications/progress", {"_meta": meta, **params} if meta else params)

        return send


def is_plain(params: Mapping[str, Any] | None) -> bool:
    """Return whether these params of a `tools/call` are a name and arguments, and at most a progress token."""
    if params is None or not params.keys() <= _MEMBERS or type(params.get("name")) is not str:
        return False
    if "arguments" in params and type(params["arguments"]) is not dict:
        return False
    return "_meta" not in params or _has_token_alone(params["_meta"])


def _has_token_alone(meta: Any) -> bool:
    if type(meta) is not dict or len(meta) > 1:
        return False
    return not meta or type(meta.get("progressToken")) in (str, int)
