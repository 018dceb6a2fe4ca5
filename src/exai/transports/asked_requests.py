"""Requests of ours to a client, each until its response."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from mcp.shared.dispatcher import coerce_request_id
from mcp.shared.exceptions import MCPError
from mcp_types import RequestId

from exai.protocol.jsonrpc import INTERNAL_ERROR, Message

__all__ = ["CONNECTION_CLOSED", "REQUEST_TIMEOUT", "AskedRequests"]

CONNECTION_CLOSED = -32000
REQUEST_TIMEOUT = -32001

SendMessage = Callable[[Message], Awaitable[None]]
"""Writes one message; raises `OSError` when the peer is gone."""


class AskedRequests:
    """The requests that wait for a response."""

    def __init__(self, new_id: Callable[[], RequestId]) -> None:
        self._new_id = new_id
        self._waiting: dict[RequestId, asyncio.Future[dict[str, Any]]] = {}
        self._is_closed = False

    async def ask(
        self,
        send: SendMessage,
        notify: SendMessage,
        method: str,
        params: Mapping[str, Any] | None,
        *,
        within_s: float | None = None,
    ) -> dict[str, Any]:
        """Send a request, and return the result of its response; who does not wait any more says so by `notify`.

        Raises:
            MCPError: the peer answered with an error, or not in time, or is gone.
        """
        if self._is_closed:
            raise MCPError(code=CONNECTION_CLOSED, message="Connection closed")
        request_id = self._new_id()
        future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[request_id] = future
        try:
            await send({"jsonrpc": "2.0", "id": request_id, "method": method, "params": dict(params or {})})
            async with asyncio.timeout(within_s):
                return await future
        except OSError as error:
            if not isinstance(error, TimeoutError):
                raise MCPError(code=CONNECTION_CLOSED, message="Connection closed") from None
            await notify(_not_needed(request_id, "timed out"))
            raise MCPError(code=REQUEST_TIMEOUT, message=f"No answer to {method} in time") from None
        except asyncio.CancelledError:
            if not self._is_closed:
                await notify(_not_needed(request_id, "no longer needed"))
            raise
        finally:
            del self._waiting[request_id]

    def take(self, message: Message) -> bool:
        """Take the response to one of these, and tell whether it is; another has no answer in JSON-RPC."""
        request_id = message.get("id")
        future = None if request_id is None else self._waiting.get(coerce_request_id(request_id))
        if future is None or future.done():
            return False
        result = message.get("result")
        if isinstance(result, dict):
            future.set_result(result)
            return True
        error = message.get("error")
        given = error if isinstance(error, dict) else {}
        code = given.get("code")
        future.set_exception(
            MCPError(
                code=code if isinstance(code, int) else INTERNAL_ERROR,
                message=str(given.get("message", "The peer sent an answer that is none.")),
                data=given.get("data"),
            )
        )
        return True

    def close(self) -> None:
        """Have all of them fail, as the peer is gone."""
        self._is_closed = True
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(MCPError(code=CONNECTION_CLOSED, message="Connection closed"))


def _not_needed(request_id: RequestId, reason: str) -> Message:
    params = {"requestId": request_id, "reason": reason}
    return {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params}
