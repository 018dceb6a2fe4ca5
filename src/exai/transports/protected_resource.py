"""What the MCP endpoint says of itself to clients that look for a token (RFC 9728), and to those it refuses.

Where tokens are made by hand alone (`auth.mode` is `local`) it announces nothing.
"""

from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.types import Scope

from exai import config
from exai.auth.scopes import DEFAULT_SCOPES
from exai.errors import ExaiError
from exai.web.challenge import refusal_headers
from exai.web.refusals import RawFields

__all__ = ["METADATA_PATH", "ProtectedResource"]

METADATA_PATH = "/.well-known/oauth-protected-resource"


class ProtectedResource:
    """The endpoint `/mcp` as OAuth has it."""

    def __init__(self, settings: config.Settings) -> None:
        self._public_url = settings.server.public_url
        self._issuers = tuple(settings.auth.issuers.values())
        self.is_announced = settings.auth.mode != "local"
        """Whether clients are to look for a way to get a token."""
        self.has_issuers = bool(self._issuers)
        """Whether somebody else issues tokens for it."""

    def challenge(self, fault: ExaiError, scope: Scope) -> RawFields:
        """Make the header fields for a request that is refused: which scheme, what was wrong, where to read more."""
        metadata_url = f"{self._base_url(scope)}{METADATA_PATH}/mcp" if self.is_announced else None
        return refusal_headers(fault, asks_for=self._scopes_to_ask_for(), metadata_url=metadata_url)

    def metadata(self, scope: Scope) -> dict[str, object]:
        """Make the document that a client reads to find out who issues tokens."""
        document: dict[str, object] = {
            "resource": f"{self._base_url(scope)}/mcp",
            "resource_name": "EXAI",
            "bearer_methods_supported": ["header"],
        }
        if self._issuers:
            document["authorization_servers"] = [issuer.issuer for issuer in self._issuers]
        if scopes := self._scopes_to_ask_for():
            document["scopes_supported"] = scopes
        return document

    def _base_url(self, scope: Scope) -> str:
        """Return the address under which this client knows the port. Nothing is decided by it."""
        if self._public_url is not None:
            return str(self._public_url).rstrip("/")
        named = next(value for name, value in scope["headers"] if name == b"host").decode("latin-1")
        parts = urlsplit(f"//{named}")
        host, port = parts.hostname or "", _port(parts.netloc)
        return f"http://{f'[{host}]' if ':' in host else host}{port}"

    def _scopes_to_ask_for(self) -> list[str]:
        """List the least that makes sense, without what every issuer's tokens are given here anyway."""
        given: Iterable[str] = ()
        if self._issuers:
            given = frozenset.intersection(*(frozenset(issuer.scopes) for issuer in self._issuers))
        return sorted(DEFAULT_SCOPES.difference(given))


def _port(netloc: str) -> str:
    _, colon, digits = netloc.rpartition(":")
    return f":{digits}" if colon and digits.isdecimal() else ""
