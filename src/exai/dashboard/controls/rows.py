"""Rows of controls: by token, or by a cookie from a page of our own; each use is a line of the log."""

import structlog

from exai.auth.scopes import OPERATE
from exai.web.bodies import Body
from exai.web.requests import AuthorizedRequest
from exai.web.routes import Handler, Route

__all__ = ["control", "log_control"]

_log = structlog.get_logger(__name__)


def control(path: str, handler: Handler, body: Body | None = None) -> Route:
    """Make the row of a control."""
    return Route(("POST",), path, handler, scope=OPERATE, accepts_cookie=True, body=body)


def log_control(what: str, request: AuthorizedRequest, **facts: object) -> None:
    """Log who did what."""
    credential = request.caller.credential
    by_id = None if credential is None else credential.token_id
    _log.info("control", what=what, by=request.caller.subject, by_id=by_id, **facts)
