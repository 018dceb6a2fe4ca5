"""Incidents: failures that nobody foresaw.

Whoever catches one, at a port or in a background duty, records it here once. The caller reads a sentence with an id;
the log has the exception under that id, and watchers of the bus get the exception itself.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from exai.events.events import Event, IncidentRecorded

__all__ = ["RecordedIncident", "record_incident"]

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class RecordedIncident:
    """What may be told of an incident."""

    id: str

    @property
    def sentence(self) -> str:
        """For the caller."""
        return (
            f"Something unforeseen went wrong inside EXAI. The log has it under {self.id}; "
            "please report it with that id."
        )


def record_incident(
    error: BaseException, *, where: str, publish: Callable[[Event], None]
) -> RecordedIncident:
    """Log `error` with its traceback under a new id, and publish both.

    Args:
        where: a tool, a method, a route or a duty; never text of a caller.
    """
    incident = RecordedIncident(f"inc_{secrets.token_hex(6)}")
    publish(IncidentRecorded(incident.id, where, error))
    _log.error("incident", incident_id=incident.id, where=where, exc_info=error)
    return incident
