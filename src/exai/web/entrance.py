"""Who comes in by the MCP port, and how one who may not is answered.

RFC 6750, 3: a refusal names the scheme, and what was wrong only to those who presented a token.
RFC 9728, 5.1: and where a client reads how to get one.
"""

from collections.abc import Callable, Iterable
from typing import Protocol
from urllib.parse import urlsplit

from starlette.responses import JSONResponse
from starlette.types import Scope

from exai import config
from exai.auth.attempts import Attempts
from exai.auth.revocation_state import Ending
from exai.auth.scopes import DEFAULT_SCOPES
from exai.callers import Caller, Door, RawHeaders
from exai.errors import ExaiError, RequestFault, ScopeMissing
from exai.events.bus import EventBus
from exai.events.events import CallerRefused
from exai.protocol.jsonrpc import INTERNAL_ERROR, Message, error_message
from exai.web.challenge import refusal_headers
from exai.web.hosts import Refused, peer_address
from exai.web.unauthenticated import note_authenticated

__all__ = ["METADATA_PATH", "Authenticates", "Entrance"]

METADATA_PATH = "/.well-known/oauth-protected-resource"


class Authenticates(Protocol):
    """What the doors need of the authenticator."""

    @property
    def attempts(self) -> Attempts:
        """Refusals by address."""
        ...

    async def authenticate(self, headers: RawHeaders, *, door: Door, address: str) -> Caller:
        """Who asks.

        Raises:
            Unauthenticated: no token came although one must, or one that is not believed.
            TooManyAttempts: that was so too often from this address.
            StoreFailed: only the database could tell, and it is out of reach.
        """
        ...

    def end_of(self, caller: Caller) -> Ending | None:
        """Whether a caller who was admitted would not be any more."""
        ...

    def watch(self, on_change: Callable[[], None]) -> None:
        """Have `on_change` called whenever something was revoked."""
        ...


class Entrance:
    """Admits callers, and spells the refusal of those who are not."""

    def __init__(self, authenticator: Authenticates, settings: config.Settings, bus: EventBus) -> None:
        self._authenticator = authenticator
        self._bus = bus
        self._public_url = settings.server.public_url
        self._issuers = tuple(settings.auth.issuers.values())
        self.asks_for_tokens = settings.auth.mode != "local"
        """Whether clients are to look for a way to get one."""

    async def admit(self, scope: Scope, door: Door) -> Caller:
        """Who sends this request; nothing but its own headers and its peer's address is looked at.

        Raises:
            ExaiError: `Unauthenticated` or `TooManyAttempts`, or `StoreFailed` when only the database could tell.
        """
        address = peer_address(scope)
        try:
            caller = await self._authenticator.authenticate(scope["headers"], door=door, address=address)
        except ExaiError as fault:
            self._bus.publish(CallerRefused(door, fault.code))
            raise
        note_authenticated(scope)
        return caller

    def refusal(self, fault: ExaiError, scope: Scope) -> Refused:
        """How a request that was not admitted, or may not do what it asks for, is answered."""
        metadata_url = f"{self.base_url(scope)}{METADATA_PATH}/mcp" if self.asks_for_tokens else None
        headers = refusal_headers(fault, asks_for=self._scopes_to_ask_for(), metadata_url=metadata_url)
        return Refused(fault.http_status, str(fault), headers)

    def answer(self, fault: ExaiError, scope: Scope, request_id: str | int | None = None) -> JSONResponse:
        """That refusal as HTTP has it, with a JSON-RPC error as its body."""
        refused = self.refusal(fault, scope)
        answer = JSONResponse(_fault_message(fault, request_id), status_code=refused.status)
        answer.raw_headers += refused.headers
        return answer

    def metadata(self, scope: Scope) -> dict[str, object]:
        """What RFC 9728 tells about the MCP endpoint."""
        told: dict[str, object] = {
            "resource": f"{self.base_url(scope)}/mcp",
            "resource_name": "EXAI",
            "bearer_methods_supported": ["header"],
        }
        if self._issuers:
            told["authorization_servers"] = [issuer.issuer for issuer in self._issuers]
        if scopes := self._scopes_to_ask_for():
            told["scopes_supported"] = scopes
        return told

    def base_url(self, scope: Scope) -> str:
        """The address under which this client knows the port. Nothing is decided by it."""
        if self._public_url is not None:
            return str(self._public_url).rstrip("/")
        named = next(value for name, value in scope["headers"] if name == b"host").decode("latin-1")
        parts = urlsplit(f"//{named}")
        host, port = parts.hostname or "", _port(parts.netloc)
        return f"http://{f'[{host}]' if ':' in host else host}{port}"

    def _scopes_to_ask_for(self) -> list[str]:
        """The least that makes sense; nothing that every issuer's tokens are given here anyway."""
        given: Iterable[str] = ()
        if self._issuers:
            given = frozenset.intersection(*(frozenset(issuer.scopes) for issuer in self._issuers))
        return sorted(DEFAULT_SCOPES.difference(given))


def _fault_message(fault: ExaiError, request_id: str | int | None) -> Message:
    data = {"code": fault.code}
    if isinstance(fault, ScopeMissing):
        data["scope"] = fault.scope
    code = fault.rpc_code if isinstance(fault, RequestFault) else INTERNAL_ERROR
    return error_message(request_id, code, str(fault), data)


def _port(netloc: str) -> str:
    _, colon, digits = netloc.rpartition(":")
    return f":{digits}" if colon and digits.isdecimal() else ""
