"""The document `connections`: sockets by door, resumable sessions, and what clean-up did."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from exai.dashboard.documents.moments import ago, cut, first
from exai.monitoring.open_connections import OpenConnections
from exai.runtime.clock import Clock
from exai.runtime.periodic import DutyRecord
from exai.web.shown_sessions import ShownSession

__all__ = ["Connections"]

MOST_CALLERS = 100
MOST_SESSIONS = 100
CLEANS_UP = ("sweep", "prune", "delete", "collect", "drop", "mark", "end_")
"""How the names of duties begin that clean up."""


@dataclass(frozen=True)
class Connections:
    """Makes the document."""

    clock: Clock
    connected: OpenConnections
    sessions: Callable[[], Iterable[ShownSession]]
    totals: Callable[[], Mapping[str, float]]
    duties: Iterable[DutyRecord]
    browsers: Callable[[], Mapping[str, int]]
    """How many are signed in, and how many look on."""

    async def make(self, share: float) -> dict[str, Any]:
        """Make it, with this share of what its lists may hold."""
        wall = self.clock.wall()
        doors: Counter[str] = Counter()
        for each in self.connected:
            doors[each.door] += each.connections
        callers = [
            {"caller": cut(each.caller), "door": each.door, "connections": each.connections}
            for each in islice(self.connected, MOST_CALLERS)
        ]
        sessions = sorted(self.sessions(), key=lambda each: (-each.pending, each.session))
        totals = dict(self.totals())
        rounds, reclaimed = totals.pop("sweeps", 0), totals.pop("reclaimed_bytes", 0)
        return {
            "doors": [{"door": door, "connections": count} for door, count in sorted(doors.items())],
            "callers": list(first(callers, MOST_CALLERS, share)),
            "sessions": [_session(each, wall) for each in first(sessions, MOST_SESSIONS, share)],
            "totals": totals,
            "clean_up": {
                "rounds": rounds,
                "reclaimed_bytes": reclaimed,
                "duties": [_duty(each) for each in self.duties if each.duty.name.startswith(CLEANS_UP)],
            },
            "browsers": dict(self.browsers()),
        }


def _session(each: ShownSession, wall: float) -> dict[str, Any]:
    return {
        "session": each.session,
        "caller": cut(each.caller),
        "client": cut(each.client),
        "connected": each.connected,
        "opened_at": ago(wall, each.open_s),
        "cut_at": ago(wall, each.cut_s),
        "ends_at": None if each.ends_in_s is None else ago(wall, -each.ends_in_s),
        "generation": each.generation,
        "pending": each.pending,
        "pending_bytes": each.pending_bytes,
        "ack_lag_s": None if each.ack_lag_s is None else round(each.ack_lag_s, 1),
        "sent": each.sent,
        "received": each.received,
        "duplicates": each.duplicates,
        "evicted": each.evicted,
        "gaps": each.gaps,
        "kept_out": each.kept_out,
    }


def _duty(record: DutyRecord) -> dict[str, Any]:
    return {
        "duty": record.duty.name,
        "runs": record.runs,
        "elsewhere": record.is_standby,
        "removed": record.removed if record.duty.removes else None,
        "failed_in_a_row": record.failures_in_a_row,
        "error": record.last_error,
    }
