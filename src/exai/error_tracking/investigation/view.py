"""Investigations as they are shown."""

from datetime import datetime

import msgspec

from exai.error_tracking.investigation.report import InvestigationReport
from exai.storage.error_tracking.investigations import InvestigationRow, InvestigationState, Reason

__all__ = ["InvestigationView", "view_of"]


class InvestigationView(msgspec.Struct, frozen=True, kw_only=True):
    """An investigation, as it is shown."""

    investigation: str
    """Its id."""
    state: InvestigationState
    stage: str
    """What a running one does."""
    reason: Reason
    asked_by: str
    asked_at: datetime
    ended_at: datetime | None
    why: str
    """Why it failed, waits or was cancelled."""
    requests: int
    cost_usd: float | None
    report: InvestigationReport | None


def view_of(row: InvestigationRow) -> InvestigationView:
    """Make it of the row."""
    report = None if row.report is None else msgspec.json.decode(row.report, type=InvestigationReport)
    return InvestigationView(
        investigation=row.investigation_id,
        state=row.state,
        stage=row.stage,
        reason=row.reason,
        asked_by=row.asked_by,
        asked_at=row.asked_at,
        ended_at=row.ended_at,
        why=row.why,
        requests=row.requests,
        cost_usd=row.cost_usd,
        report=report,
    )
