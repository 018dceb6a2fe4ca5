"""The public pages of the MCP port: what is here, and how to get a token (RFC 9728)."""

from starlette.responses import JSONResponse, PlainTextResponse, Response

from exai.transports.protected_resource import ProtectedResource
from exai.web.requests import AuthorizedRequest
from exai.web.routes import Handler

__all__ = ["greeting", "resource_metadata"]

GREETING = """This is EXAI, an MCP server for GLM and Kimi models.

Streamable HTTP   POST /mcp
WebSocket         / or /mcp, subprotocol `mcp`
"""
NO_TOKENS = "This EXAI asks nobody for a token."


async def greeting(_: AuthorizedRequest) -> Response:
    """Answer `/`, for people."""
    return PlainTextResponse(GREETING)


def resource_metadata(resource: ProtectedResource) -> Handler:
    """Make the handler of the metadata; where no tokens are asked for there is nothing to find."""

    async def answer(request: AuthorizedRequest) -> Response:
        if not resource.is_announced:
            return PlainTextResponse(NO_TOKENS, status_code=404)
        return JSONResponse(resource.metadata(request.scope), headers={"cache-control": "max-age=3600"})

    return answer
