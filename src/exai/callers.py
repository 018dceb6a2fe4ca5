"""Who is asking: the identity that every door attaches to every request."""

from dataclasses import dataclass, field

__all__ = ["LOCAL_SUBJECT", "Caller"]

LOCAL_SUBJECT = "local"
"""The subject of every caller while `auth.mode` is `local`: one machine, one user."""


@dataclass(frozen=True, slots=True)
class Caller:
    """A verified principal, as the rooms behind the doors see it.

    Conversations, files, permits and journal rows belong to `subject`.
    """

    subject: str
    """The owner of what is stored on the caller's behalf."""

    door: str
    """The transport it came through: `websocket`, `http` or `stdio`."""

    client: str = ""
    """The name and version that the client gives itself; for people, never for decisions."""

    scopes: frozenset[str] = field(default_factory=frozenset)
    """What it may do."""

    @classmethod
    def local(cls, door: str) -> "Caller":
        """The fixed caller of local mode, where the loopback interface is the fence."""
        return cls(subject=LOCAL_SUBJECT, door=door, scopes=frozenset({"*"}))
