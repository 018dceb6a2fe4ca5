"""The identity of the caller, which is attached to every request."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

__all__ = ["ALL_SCOPES", "LOCAL_SUBJECT", "Caller", "Credential", "Door", "RawHeaders"]

RawHeaders = Iterable[tuple[bytes, bytes]]
"""The headers of a request as ASGI has them: names in lower case."""

LOCAL_SUBJECT = "local"
"""The subject of every caller while `auth.mode` is `local`: one machine, one user."""

ALL_SCOPES = "*"
"""In the scopes of the local user: everything is allowed. No token carries it."""


class Door(StrEnum):
    """Where a request enters. The values are metric labels and journal values."""

    WEBSOCKET = "websocket"
    HTTP = "http"
    """Streamable HTTP and whatever else the MCP port serves by HTTP."""
    STDIO = "stdio"
    OPERATIONS = "operations"
    """The operations port, with a token."""
    DASHBOARD = "dashboard"
    """The operations port, with the cookie of a browser that signed in."""
    REPORTS = "reports"
    """The port on which programs report errors."""
    INSIDE = "inside"
    """None: EXAI itself asks."""


@dataclass(frozen=True, slots=True)
class Credential:
    """Facts about the credential that authenticated a caller; it holds no secret."""

    issuer: str
    """Its issuer: `exai` for our own tokens and keys, else the name under `auth.issuers`, or `shared`."""

    token_id: str
    """The id by which it is revoked, unique within its issuer: for our tokens and keys the id that `exai token list`
    shows, for another issuer's token its `jti`."""

    issued_at: float
    """Seconds since 1970, by the wall clock."""

    expires_at: float | None
    """The same; `None` for an API key that does not expire."""

    kid: str | None = None
    """The key that signed a token of our own."""


@dataclass(frozen=True, slots=True)
class Caller:
    """A verified principal.

    Conversations, files, permits and journal rows belong to `subject`.
    """

    subject: str
    """The owner of what is stored for the caller. For another issuer's token: `<issuer>:<sub>`."""

    door: Door

    client: str = ""
    """The name and version that the client gives itself; for people, never for decisions."""

    scopes: frozenset[str] = field(default_factory=frozenset)
    """What the caller may do; `exai.auth.scopes` has the names."""

    credential: Credential | None = None
    """The credential that authenticated it; `None` for the local user."""

    @classmethod
    def local(cls, door: Door) -> "Caller":
        """Return the caller of local mode, in which only this machine can connect."""
        return cls(subject=LOCAL_SUBJECT, door=door, scopes=frozenset({ALL_SCOPES}))

    def may(self, scope: str) -> bool:
        """Return whether the caller has `scope`."""
        return scope in self.scopes or ALL_SCOPES in self.scopes
