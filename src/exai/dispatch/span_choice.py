"""Chooses the calls whose spans are kept: those that failed, that were slow for their model, a share of all,
and every one while a baseline collects.
"""

__all__ = ["SpanChoice"]

ONE_IN = 20
SLOW = 0.95
"""The share of a model's calls that are faster than those that count as slow."""
STEP = 0.02
"""By what share of itself an estimate moves with a call."""


class SpanChoice:
    """Knows about how slow the slowest twentieth of each model's calls is."""

    def __init__(self) -> None:
        self._calls = 0
        self._slow_ms: dict[str | None, float] = {}
        self.keeps_all = False
        """Whether a baseline collects."""

    def keeps(self, model: str | None, latency_ms: float, *, failed: bool) -> bool:
        """Take account of a call, and say whether its spans are kept."""
        self._calls += 1
        slow_ms = self._slow_ms.get(model)
        if slow_ms is None:
            self._slow_ms[model] = latency_ms
            return True
        # A call above raises the estimate by nineteen times what one below lowers it: it settles at one in twenty.
        is_slow = latency_ms > slow_ms
        self._slow_ms[model] = slow_ms * (1 + STEP * (SLOW if is_slow else SLOW - 1))
        return self.keeps_all or failed or is_slow or self._calls % ONE_IN == 0
