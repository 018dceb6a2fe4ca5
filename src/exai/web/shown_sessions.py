"""How a resumable session stands, for people: under a name that opens nothing."""

import msgspec

__all__ = ["ShownSession"]


class ShownSession(msgspec.Struct, frozen=True, kw_only=True):
    """One session at this moment. Seconds are ages, or what is left."""

    session: str
    """Its name as it is shown."""
    caller: str
    client: str
    connected: bool
    open_s: float
    cut_s: float | None
    """Since when it has no socket; `None` while it has one."""
    ends_in_s: float | None
    """When it ends unless its client comes back; `None` while it has a socket."""
    generation: int
    """How many sockets have carried it."""
    pending: int
    pending_bytes: int
    ack_lag_s: float | None
    """Age of the oldest message that its client has not acknowledged; `None` without one."""
    sent: int
    received: int
    duplicates: int
    evicted: int
    gaps: int
    kept_out: bool
    """Whether its client may not come back yet, as it did not read."""
