"""Who is asking: the identity that every door attaches to every request."""

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


@dataclass(frozen=True, slots=True)
class Credential:
    """What a caller proved itself with; opens nothing by itself."""

    issuer: str
    """Who vouches for it: `exai` for tokens and keys of its own, else the name under `auth.issuers`, or `shared`."""

    token_id: str
    """What revokes it, unique within its issuer: of our own tokens and keys the id that `exai token list` shows, of
    another issuer's the token's `jti`."""

    issued_at: float
    """Seconds since 1970, by the wall clock."""

    expires_at: float | None
    """The same; `None` for an API key without end."""

    kid: str | None = None
    """The key that signed a token of our own."""


@dataclass(frozen=True, slots=True)
class Caller:
    """A verified principal, as the rooms behind the doors see it.

    Conversations, files, permits and journal rows belong to `subject`.
    """

    subject: str
    """The owner of what is stored on the caller's behalf. Of another issuer's token: `<issuer>:<sub>`."""

    door: Door

    client: str = ""
    """The name and version that the client gives itself; for people, never for decisions."""

    scopes: frozenset[str] = field(default_factory=frozenset)
    """What it may do, as `exai.auth.scopes` names it."""

    credential: Credential | None = None
    """What it proved that with; `None` for the local user."""

    @classmethod
    def local(cls, door: Door) -> "Caller":
        """The fixed caller of local mode, where the loopback interface is the fence."""
        return cls(subject=LOCAL_SUBJECT, door=door, scopes=frozenset({ALL_SCOPES}))

    def may(self, scope: str) -> bool:
        """Whether it may do what `scope` stands for."""
        return scope in self.scopes or ALL_SCOPES in self.scopes
