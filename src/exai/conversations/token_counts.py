"""How many tokens a prompt will be for a model: the estimate by script, corrected by what its provider counted before.

Learning costs a call nothing but arithmetic. What was learnt is in the database
within half a minute and at the end; what a crash takes with it is learnt again.
"""

from exai.runtime.clock import Clock
from exai.storage.conversations.calibrations import Calibration, CalibrationTable

__all__ = ["TokenCounts"]

LEAST_TOKENS = 100
"""Prompts below this are mostly template, and teach nothing about their text."""

STORE_EVERY_S = 30.0

_UNKNOWN = Calibration()


class TokenCounts:
    """Corrects estimates, and learns from every count that a provider reports."""

    def __init__(self, table: CalibrationTable, clock: Clock, known: dict[str, Calibration]) -> None:
        self._table = table
        self._clock = clock
        self._known = known
        self._unstored: dict[str, Calibration] = {}
        self._stored_at = clock.monotonic()

    @classmethod
    async def open(cls, table: CalibrationTable, clock: Clock) -> "TokenCounts":
        """With what earlier runs learnt.

        Raises:
            StoreFailed: the database is out of reach.
        """
        return cls(table, clock, await table.all())

    def of(self, model: str) -> Calibration | None:
        """What is known of a model; `None` before its provider has counted any prompt of it."""
        return self._known.get(model)

    def factor(self, model: str) -> float:
        """By which estimates for a model are multiplied."""
        return self._known.get(model, _UNKNOWN).factor

    def learn(self, model: str, *, estimated: int, reported: int) -> None:
        """A prompt that was estimated, by script alone, at `estimated` tokens was counted as `reported`."""
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
        """Hand to the database what it does not have yet."""
        now = self._clock.utc()
        for model, observed in self._unstored.items():
            self._table.add_soon(model, observed, now)
        self._unstored.clear()
        self._stored_at = self._clock.monotonic()
