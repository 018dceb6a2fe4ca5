"""Token counts of prompts per model: estimates by script, corrected by what the provider counted before.

Learning costs a call only arithmetic. What was learnt is written to the database within half a minute, and at the end;
what a crash loses is learnt again.
"""

from exai.runtime.clock import Clock
from exai.storage.conversations.calibrations import Calibration, CalibrationTable

__all__ = ["TokenCounts"]

LEAST_TOKENS = 100
"""Smaller prompts are mostly template, and say nothing about their text."""

STORE_EVERY_S = 30.0

_UNKNOWN = Calibration()


class TokenCounts:
    """Corrects estimates, and learns from each count that a provider reports."""

    def __init__(self, table: CalibrationTable, clock: Clock, known: dict[str, Calibration]) -> None:
        self._table = table
        self._clock = clock
        self._known = known
        self._unstored: dict[str, Calibration] = {}
        self._stored_at = clock.monotonic()

    @classmethod
    async def open(cls, table: CalibrationTable, clock: Clock) -> "TokenCounts":
        """Load what earlier runs learnt.

        Raises:
            StoreFailed: the database is out of reach.
        """
        return cls(table, clock, await table.all())

    def of(self, model: str) -> Calibration | None:
        """Return the calibration of a model; `None` before its provider has counted a prompt."""
        return self._known.get(model)

    def factor(self, model: str) -> float:
        """Return the factor by which estimates for a model are multiplied."""
        return self._known.get(model, _UNKNOWN).factor

    def learn(self, model: str, *, estimated: int, reported: int) -> None:
        """Learn that a prompt, estimated by script at `estimated` tokens, was counted as `reported`."""
        if estimated < LEAST_TOKENS or reported <= 0:
            return
        observed = Calibration(
            samples=1,
            estimated=estimated,
            reported=reported,
            error=abs(estimated * self.factor(model) - reported) / reported,
            weight=1.0,
        )
        self._known[model] = self._known.get(model, _UNKNOWN).then(observed)
        self._unstored[model] = self._unstored.get(model, _UNKNOWN).then(observed)
        if self._clock.monotonic() - self._stored_at >= STORE_EVERY_S:
            self.store_soon()

    def store_soon(self) -> None:
        """Write what was learnt to the database, without waiting."""
        now = self._clock.utc()
        for model, observed in self._unstored.items():
            self._table.add_soon(model, observed, now)
        self._unstored.clear()
        self._stored_at = self._clock.monotonic()
