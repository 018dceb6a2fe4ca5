"""Ends a resumable session: its socket, what runs for it, and what was kept for its client."""

import re
from collections.abc import Awaitable, Callable

from starlette.responses import JSONResponse, Response

from exai.dashboard.controls.replicas import elsewhere
from exai.dashboard.controls.rows import control, log_control
from exai.errors import BadArguments
from exai.storage.fleet.replicas import Replicas
from exai.web.requests import AuthorizedRequest
from exai.web.routes import Route

__all__ = ["SessionControls"]

_NAME = re.compile(r"ses_[0-9a-f]{16}")

EndSession = Callable[[str], Awaitable[bool]]
"""Ends the session of this name; whether there was one."""


class SessionControls:
    """The route that ends sessions."""

    def __init__(self, end: EndSession, runs: Replicas) -> None:
        self._end = end
        self._runs = runs

    def routes(self) -> list[Route]:
        """List the rows for the table of the port."""
        return [control("/api/sessions/{session}/end", self._end_one)]

    async def _end_one(self, request: AuthorizedRequest) -> Response:
        name = request.params["session"]
        if _NAME.fullmatch(name) is None:
            raise BadArguments("Sessions are named as ses_0123456789abcdef; the page Connections lists them.")
        ended = await self._end(name)
        log_control("end session", request, session=name, ended=ended)
        sentence = (
            "The session was ended: its socket is closed, its calls are cancelled, and what was kept for its client "
            "is forgotten."
            if ended
            else "There is no such session here any more; nothing was done."
            + await elsewhere(self._runs, "sessions")
        )
        result = "ended" if ended else "already_over"
        return JSONResponse({"session": name, "result": result, "told": sentence})
