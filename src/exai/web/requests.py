"""A request that may be answered: what its handler gets."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing
from typing import TypeVar

import msgspec
from starlette.datastructures import QueryParams
from starlette.types import Receive, Scope

from exai.auth.revocation_state import EndReason
from exai.callers import Caller, RawHeaders
from exai.errors import Unauthenticated
from exai.runtime.bytes_in_flight import BytesInFlight
from exai.web.bodies import UNCOUNTED_BYTES, Body, StreamedBody, WholeBody, pieces
from exai.web.faults import BodyRefused, MediaTypeRefused, TooMuchComing
from exai.web.hosts import peer_address

__all__ = ["AnswerBrokenOff", "AuthorizedRequest"]

T = TypeVar("T")


class AnswerBrokenOff(Exception):
    """An answer that has begun is not to be finished: its connection is closed, so that no part is taken for all."""


class AuthorizedRequest:
    """A request whose Host, Origin, caller, method and scope have been judged; of its body nothing has been read."""

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        *,
        caller: Caller | None,
        params: Mapping[str, str],
        body: Body | None,
        end_of: Callable[[Caller], EndReason | None],
        incoming: BytesInFlight | None = None,
    ) -> None:
        """`incoming` counts the bodies of all that are held while they come."""
        self.scope = scope
        self.receive = receive
        self.params = params
        """The values of its path's placeholders."""
        self._caller = caller
        self._body = body
        self._end_of = end_of
        self._incoming = incoming

    @property
    def caller(self) -> Caller:
        """Who asks; not for a route that is open to everybody."""
        if self._caller is None:
            raise LookupError("an open route has no caller")
        return self._caller

    @property
    def method(self) -> str:
        """In upper case."""
        method: str = self.scope["method"]
        return method

    @property
    def headers(self) -> RawHeaders:
        """As they came."""
        headers: RawHeaders = self.scope["headers"]
        return headers

    @property
    def query(self) -> QueryParams:
        """Of the request line."""
        return QueryParams(self.scope["query_string"])

    @property
    def address(self) -> str:
        """Of the peer."""
        return peer_address(self.scope)

    @property
    def declared_bytes(self) -> int | None:
        """`Content-Length`; `None` where none is sent."""
        value = self._header(b"content-length")
        return int(value) if value is not None and value.isdigit() else None

    @property
    def is_revoked(self) -> bool:
        """Whether its caller's credential was revoked meanwhile."""
        return self._caller is not None and self._end_of(self._caller) == "revoked"

    async def whole_body(self) -> bytes:
        """Read the whole body.

        Raises:
            BodyTooLarge: it is larger than the route takes.
            BodyTooSlow: its sender fell behind.
            TooMuchComing: the caller sends too much at once.
            ClientGone: the client closed its connection.
        """
        if not isinstance(self._body, WholeBody):
            raise TypeError("this route reads no whole body")
        coming = pieces(self.receive, self._body, self.declared_bytes)
        if self._incoming is None or self._caller is None:
            return b"".join([piece async for piece in coming])
        parts: list[bytes] = []
        size = 0
        with self._incoming.share(self._caller.subject) as share:
            async with aclosing(coming) as body:
                async for piece in body:
                    parts.append(piece)
                    size += len(piece)
                    if (why := share.resize(max(0, size - UNCOUNTED_BYTES))) is not None:
                        raise TooMuchComing(f"EXAI is busy: {why}. Try again in a few seconds.")
            return b"".join(parts)

    async def json_body(self, form: type[T]) -> T:
        """Read a JSON body in its form; what the form does not know is refused.

        Raises:
            BodyRefused: it is something else, too large or too slow.
            ClientGone: the client closed its connection.
        """
        kind = (self._header(b"content-type") or b"").partition(b";")[0].strip().lower()
        if kind != b"application/json":
            raise MediaTypeRefused("Send the body as JSON, with Content-Type: application/json.")
        body = await self.whole_body()
        try:
            return msgspec.json.decode(body, type=form)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            reason = str(error) if isinstance(error, msgspec.ValidationError) else "it is no JSON"
            raise BodyRefused(f"The body cannot be used: {reason}.") from None

    async def streamed_body(self) -> AsyncIterator[bytes]:
        """Yield the body piece by piece; nothing is read ahead.

        Raises:
            BodyTooLarge: it is larger than the route takes.
            BodyTooSlow: its sender fell behind, or stopped.
            ClientGone: the client closed its connection.
            Unauthenticated: its sender's credential was revoked meanwhile.
        """
        if not isinstance(self._body, StreamedBody):
            raise TypeError("this route streams no body")
        async with aclosing(pieces(self.receive, self._body, self.declared_bytes)) as body:
            async for piece in body:
                # A body has an end, so one whose credential only expires may be finished.
                if self.is_revoked:
                    raise Unauthenticated(
                        "The token was revoked while this was under way. Come back with another one.",
                        presented=True,
                    )
                yield piece

    def _header(self, name: bytes) -> bytes | None:
        return next((value for each, value in self.headers if each == name), None)
