"""The feed's documents one by one, for pages whose WebSocket does not open, and for programs."""

from starlette.responses import JSONResponse, Response

from exai.auth.scopes import DASHBOARD
from exai.dashboard.faults import UnknownTopic
from exai.errors import ScopeMissing
from exai.web.requests import AuthorizedRequest
from exai.web.routes import READ, Route
from exai.web.topics import Topics

__all__ = ["FeedDocuments"]


class FeedDocuments:
    """The routes of topics."""

    def __init__(self, topics: Topics) -> None:
        self._topics = topics

    def routes(self) -> list[Route]:
        """List the rows for the table of the port."""
        return [
            Route(READ, "/api/feed", self._list, scope=DASHBOARD, accepts_cookie=True),
            Route(READ, "/api/feed/{topic}", self._show, scope=DASHBOARD, accepts_cookie=True),
        ]

    async def _list(self, _: AuthorizedRequest) -> Response:
        return JSONResponse({"topics": self._topics.names})

    async def _show(self, request: AuthorizedRequest) -> Response:
        name = request.params["topic"]
        if name not in self._topics:
            raise UnknownTopic(f"Topics are {', '.join(self._topics.names)}.")
        scope = self._topics.scope_of(name)
        if scope is not None and not request.caller.may(scope):
            raise ScopeMissing(f"This topic needs the scope `{scope}`.", scope=scope)
        state = await self._topics.current(name)
        return Response(state.frame, media_type="application/json")
