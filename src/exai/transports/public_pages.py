"""What the MCP port tells to whoever may connect: what is here, and how to be admitted (RFC 9728)."""

from starlette.responses import JSONResponse, PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from exai.web.entrance import Entrance

__all__ = ["greeting", "resource_metadata"]

GREETING = """This is EXAI, an MCP server for GLM and Kimi models.

Streamable HTTP   POST /mcp
WebSocket         / or /mcp, subprotocol `mcp`
"""
NO_TOKENS = "This EXAI asks nobody for a token."


async def greeting(scope: Scope, receive: Receive, send: Send) -> None:
    """The ASGI application of `/`."""
    await PlainTextResponse(GREETING)(scope, receive, send)


def resource_metadata(entrance: Entrance) -> ASGIApp:
    """What clients read to find out who issues tokens; where none is asked for there is nothing to find."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if entrance.asks_for_tokens:
            answer = JSONResponse(entrance.metadata(scope), headers={"cache-control": "max-age=3600"})
            await answer(scope, receive, send)
        else:
            await PlainTextResponse(NO_TOKENS, status_code=404)(scope, receive, send)

    return serve
