"""Describes resumable sessions for people."""

import hashlib
from typing import Protocol

from exai.callers import Caller
from exai.protocol.session import Endpoint, State
from exai.transports.websocket.reader_breaker import ReaderBreaker
from exai.web.shown_sessions import ShownSession

__all__ = ["shown_name", "state_of"]


class Session(Protocol):
    """What is read of a session."""

    id: str
    caller: Caller
    endpoint: Endpoint
    breaker: ReaderBreaker
    cut_since: float
    opened_at: float
    gaps: int


def shown_name(session_id: str) -> str:
    """Name a session by a digest of its id."""
    return f"ses_{hashlib.sha256(session_id.encode()).hexdigest()[:16]}"


def state_of(session: Session, now: float, grace_s: float) -> ShownSession:
    """Describe a session; `now` is by the monotonic clock."""
    endpoint = session.endpoint
    connected = endpoint.state is State.ATTACHED
    since = endpoint.pending_since
    return ShownSession(
        session=shown_name(session.id),
        caller=session.caller.subject,
        client=session.caller.client,
        connected=connected,
        open_s=now - session.opened_at,
        cut_s=None if connected else now - session.cut_since,
        ends_in_s=None if connected else max(0.0, session.cut_since + grace_s - now),
        generation=endpoint.generation,
        pending=endpoint.pending,
        pending_bytes=endpoint.pending_bytes,
        ack_lag_s=None if since is None else now - since,
        sent=endpoint.written,
        received=endpoint.received,
        duplicates=endpoint.duplicates,
        evicted=endpoint.evicted,
        gaps=session.gaps,
        kept_out=session.breaker.wait_s > 0,
    )
