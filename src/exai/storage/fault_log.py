"""How reads, or writes, go: what is known of it, and the log of what fails.

The log has one line when failures begin, one a minute while they last, and one when they are over.
"""

import asyncio
from collections.abc import Iterator

import structlog

from exai.runtime.samples import Sample
from exai.storage.faults import Verdict, kind_of, verdict_on

__all__ = ["REPEAT_S", "FaultLog"]

_log = structlog.get_logger(__name__)

PROOF_S = 5.0
"""How long a success proves that the database works."""
REMEMBERED_S = 10.0
"""How long a failure counts that nothing has followed."""
REPEAT_S = 60.0
"""How long failures of one kind are counted, and not logged again."""


class FaultLog:
    """Logs and counts the failures of reads, or of writes."""

    def __init__(self, of: str) -> None:
        self._of = of
        self._quiet_until: dict[str, float] = {}
        """By kind of failure."""
        self._began: float | None = None
        """When the first failure since the last success came."""
        self._is_told = False
        self._failures = self._writes_lost = self._given_up = 0
        """Since the last line that told them."""
        self._worked_at: float | None = None
        self._away_at: float | None = None
        """When a try found the database away; `None`: it worked since."""
        self.total = 0
        """Failures since the start."""
        self.busy = 0
        """Tries since the start that got no connection, as others of this process had them all."""
        self._busy_quiet_until = float("-inf")

    @property
    def worked_lately(self) -> bool:
        """Whether a try went well a moment ago."""
        return self._worked_at is not None and self._since(self._worked_at) < PROOF_S

    @property
    def is_away(self) -> bool:
        """Whether the database was found away a moment ago, and nothing went well since."""
        return self._away_at is not None and self._since(self._away_at) < REMEMBERED_S

    def failed(self, error: BaseException, *, writes_lost: int = 0) -> None:
        """Take account of a failure; the traceback is logged once, and no caller sees it."""
        now = asyncio.get_running_loop().time()
        self.total += 1
        self._failures += 1
        self._writes_lost += writes_lost
        if self._began is None:
            self._began = now
        if verdict_on(error) is Verdict.AWAY:
            self._away_at = now
        kind = kind_of(error)
        last = self._quiet_until.get(kind)
        if last is not None and now < last:
            return
        self._quiet_until[kind] = now + REPEAT_S
        _log.error(
            "the database failed",
            of=self._of,
            kind=kind,
            **self._counts(),
            exc_info=None if self._is_told and last is not None else error,
        )
        self._is_told = True

    def was_busy(self) -> None:
        """Take account of a try that got no connection in time: no outage begins, and none ends."""
        self.busy += 1
        now = asyncio.get_running_loop().time()
        if now >= self._busy_quiet_until:
            self._busy_quiet_until = now + REPEAT_S
            _log.warning("every connection to the database is in use", of=self._of, so_far=self.busy)

    def succeeded(self) -> None:
        """Note that a try went well, which ends what was failing."""
        self._worked_at, self._away_at = asyncio.get_running_loop().time(), None
        if self._began is None:
            return
        began, self._began = self._began, None
        if self._is_told:
            seconds = round(self._since(began), 3)
            _log.info("the database works again", of=self._of, seconds=seconds, **self._counts())
        self._is_told = False

    def gave_up(self, writes: int) -> None:
        """Count durable writes that are lost for good; the next line tells how many."""
        self._given_up += writes

    def close(self) -> None:
        """Tell what no line has told yet."""
        if self._given_up:
            _log.error("durable writes were given up", of=self._of, **self._counts())

    def samples(self) -> Iterator[Sample]:
        """Return the metric."""
        labels = (("of", self._of),)
        yield Sample("database_failures", "Failed transactions.", self.total, labels, is_total=True)
        busy = "Transactions that got no connection in time, as others of this process had them all."
        yield Sample("database_busy", busy, self.busy, labels, is_total=True)

    def _since(self, moment: float) -> float:
        return asyncio.get_running_loop().time() - moment

    def _counts(self) -> dict[str, int]:
        counts = {
            "failures": self._failures,
            "writes_lost": self._writes_lost,
            "durable_writes_given_up": self._given_up,
        }
        self._failures = self._writes_lost = self._given_up = 0
        return counts
