"""How a request is answered that is not served: as plain text, or as a fault in the form that its route has."""

from collections.abc import Callable
from dataclasses import dataclass

from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import Scope

from exai.errors import ExaiError, ScopeMissing

__all__ = ["FaultForm", "PlainRefusal", "RawFields", "json_fault"]

RawFields = tuple[tuple[bytes, bytes], ...]
"""Header fields of an answer, as ASGI has them."""

FaultForm = Callable[[ExaiError, Scope], Response]
"""Puts a fault into the form in which a route's clients read errors; the scope is that of the request."""


@dataclass(frozen=True, slots=True)
class PlainRefusal:
    """A refusal that people and every kind of client can read."""

    status: int
    sentence: str
    headers: RawFields = ()

    def response(self) -> Response:
        """Make the HTTP answer."""
        response = PlainTextResponse(self.sentence, self.status)
        response.raw_headers += self.headers
        return response


def json_fault(fault: ExaiError, _: Scope | None = None) -> Response:
    """Answer `{"error": {"code", "message", "retryable"}}`, with the scope that would allow it where one is missing."""
    error: dict[str, object] = {"code": fault.code, "message": str(fault), "retryable": fault.retryable}
    if isinstance(fault, ScopeMissing):
        error["scope"] = fault.scope
    return JSONResponse({"error": error}, status_code=fault.http_status)
