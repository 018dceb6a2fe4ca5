"""Values that their owner is asked for when the metrics are read, such as how many permits are in use."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

__all__ = ["ReadSamples", "Sample"]


@dataclass(frozen=True, slots=True)
class Sample:
    """One value of a metric at the time of a scrape."""

    name: str
    """Without the prefix `exai_`, and without the suffix `_total`."""
    help: str
    value: float
    labels: tuple[tuple[str, str], ...] = ()
    """Names and values. All samples of one name have the same label names, and values come from a closed set."""
    is_total: bool = False
    """Whether it only grows."""


ReadSamples = Callable[[], Iterable[Sample]]
"""Called once per scrape; returns at once."""
