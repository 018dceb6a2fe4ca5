"""Makes faults of failed calls that no group has counted, from what the journal has of them."""

from collections.abc import Sequence

import structlog

from exai.error_tracking.faults import OURSELVES, Fault, FaultSource
from exai.error_tracking.fingerprints import RULE, Fingerprint, fingerprint
from exai.error_tracking.states import begins_to_escalate, weigh
from exai.error_tracking.tracker import add_to, tally_of
from exai.monitoring.logs import Redaction
from exai.runtime.clock import Clock
from exai.storage.error_tracking.recovery import UncountedCall, UncountedCalls
from exai.storage.error_tracking.rows import FaultBatch, GroupTally

__all__ = ["CALL_LOST", "Recovery"]

_log = structlog.get_logger(__name__)

CALL_LOST = "call_lost"
"""The code of a call whose process died while it ran."""


class Recovery:
    """Counts what a process that died had noticed and not counted."""

    def __init__(self, uncounted: UncountedCalls, clock: Clock, redaction: Redaction) -> None:
        self._uncounted = uncounted
        self._clock = clock
        self._redaction = redaction

    async def run(self) -> None:
        """Count the failed calls of runs that are over.

        Raises:
            StoreFailed: the database is out of reach.
        """
        turns = await self._uncounted.recover(self._batch)
        if turns:
            _log.info("failed calls of an earlier run are counted", turns=len(turns))

    def _batch(self, calls: Sequence[UncountedCall]) -> FaultBatch:
        tallies: dict[str, GroupTally] = {}
        for call in calls:
            fault = _fault_of(call)
            made = fingerprint(fault)
            if call.error_hash is not None:
                made = Fingerprint(RULE, "recovered", call.error_hash, made.parts)
            tally = tallies.get(made.hash)
            if tally is None:
                tally = tallies[made.hash] = tally_of(fault, made, self._redaction)
            add_to(tally, fault)
        return FaultBatch(0, list(tallies.values()), [], self._clock.utc(), weigh, begins_to_escalate)


def _fault_of(call: UncountedCall) -> Fault:
    is_lost = call.error_hash is None
    return Fault(
        occurrence_id=f"occ_{call.call_id.removeprefix('call_')}",
        at=call.ended_at.timestamp(),
        source=FaultSource.START,
        code=CALL_LOST if is_lost else call.error_code,
        message="The process that ran the call died before it ended." if is_lost else "",
        fixable_by="operator" if is_lost else None,
        call_id=call.call_id,
        tool=call.tool,
        provider=call.provider,
        model=call.model,
        door=call.door,
        subject=call.owner,
        client=call.client,
        release=call.release or "",
        own_doing=call.owner.startswith(OURSELVES),
    )
