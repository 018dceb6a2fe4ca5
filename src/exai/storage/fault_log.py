"""The log of a database that fails: one line when it begins, one a minute while it lasts, one when it is over."""

import asyncio
from collections.abc import Iterator

import structlog

from exai.runtime.samples import Sample
from exai.storage.faults import kind_of

__all__ = ["REPEAT_S", "FaultLog"]

_log = structlog.get_logger(__name__)

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
        self._failures = self._writes_lost = 0
        """Since the last line that told them."""
        self.total = 0
        """Failures since the start."""

    @property
    def is_failing(self) -> bool:
        """Whether the latest try failed."""
        return self._began is not None

    def failed(self, error: BaseException, *, writes_lost: int = 0) -> None:
        """Take account of a failure; the traceback is logged once, and no caller sees it."""
        now = asyncio.get_running_loop().time()
        self.total += 1
        self._failures += 1
        self._writes_lost += writes_lost
        if self._began is None:
            self._began = now
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

    def succeeded(self) -> None:
        """Note that a try went well, which ends what was failing."""
        if self._began is None:
            return
        began, self._began = self._began, None
        if self._is_told:
            seconds = round(asyncio.get_running_loop().time() - began, 3)
            _log.info("the database works again", of=self._of, seconds=seconds, **self._counts())
        self._is_told = False

    def samples(self) -> Iterator[Sample]:
        """Return the metric."""
        labels = (("of", self._of),)
        yield Sample("database_failures", "Failed transactions.", self.total, labels, is_total=True)

    def _counts(self) -> dict[str, int]:
        counts = {"failures": self._failures, "writes_lost": self._writes_lost}
        self._failures = self._writes_lost = 0
        return counts
