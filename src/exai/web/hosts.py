"""Host and Origin: only names that this daemon goes by may reach it.

A page in a browser can make the browser connect to loopback under a name of its own
(DNS rebinding); it cannot choose the Host and Origin that are sent then.
MCP 2025-11-25, transports: servers MUST validate the Origin header.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from exai.callers import RawHeaders
from exai.config import Server
from exai.web.refusals import PlainRefusal

__all__ = ["EVERY_ADDRESS", "LOOPBACK_NAMES", "HostRule", "host_name", "peer_address"]

LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost", "::1"})

EVERY_ADDRESS = MappingProxyType({"0.0.0.0": "127.0.0.1", "::": "::1"})  # noqa: S104 - as names, not as places to bind
"""Bound as they are, they are no names: browsers take the first for loopback. With what this machine says instead."""

_AUTHORITY = re.compile(r"(?:\[(?P<literal>[^\s\[\]@/\\?#]+)\]|(?P<name>[^\s\[\]@/\\?#:]+))(?::[0-9]{0,5})?")
"""A host with or without a port (RFC 9110, 7.2), and nothing else beside it, such as a user's name or a path."""


class HostRule:
    """Accepts the Host and Origin headers of this daemon."""

    def __init__(self, settings: Server) -> None:
        self._hosts = LOOPBACK_NAMES | {name.lower() for name in settings.allowed_hosts}
        if settings.host not in EVERY_ADDRESS:
            self._hosts |= {settings.host.lower()}
        self._origins = {origin.lower().rstrip("/") for origin in settings.allowed_origins}
        if settings.public_url is not None and settings.public_url.host is not None:
            self._hosts |= {settings.public_url.host.strip("[]")}

    def refusal(
        self, headers: RawHeaders, *, takes_any_host: bool = False, takes_any_origin: bool = False
    ) -> PlainRefusal | None:
        """Check these headers; returns `None` when the request may come in."""
        hosts = [value for name, value in headers if name == b"host"]
        origins = [value for name, value in headers if name == b"origin"]
        is_our_name = len(hosts) == 1 and host_name(hosts[0].decode("latin-1")) in self._hosts
        if not (is_our_name or takes_any_host):
            return PlainRefusal(
                421,
                "The Host header names no address of this EXAI. Connect to 127.0.0.1 or localhost, "
                "or add the name to server.allowed_hosts.",
            )
        if takes_any_origin:
            return None
        if any(not self._is_ours(origin.decode("latin-1").lower()) for origin in origins):
            return PlainRefusal(
                403,
                "Pages of this origin may not connect. Add it to server.allowed_origins if they should.",
            )
        return None

    def _is_ours(self, origin: str) -> bool:
        origin = origin.rstrip("/")
        scheme, _, host = origin.partition("://")
        return origin in self._origins or (scheme in {"http", "https"} and host_name(host) in LOOPBACK_NAMES)


def host_name(host: str) -> str:
    """Return a Host's name without port and brackets, in lower case; empty for what is no host."""
    found = _AUTHORITY.fullmatch(host)
    return "" if found is None else (found["literal"] or found["name"]).lower()


def peer_address(scope: Mapping[str, Any]) -> str:
    """Return the peer's address of an ASGI request or socket; empty where the server does not know it."""
    client = scope.get("client")
    return str(client[0]) if client else ""
