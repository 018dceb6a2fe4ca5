"""Many tests at once: which of them count, so that only one in twenty of those that count is a chance find."""

from collections.abc import Sequence

__all__ = ["benjamini_hochberg"]


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Adjust the p values of a family of tests, in their order (Benjamini and Hochberg 1995)."""
    n = len(p_values)
    adjusted = [1.0] * n
    least = 1.0
    for rank, place in sorted(enumerate(sorted(range(n), key=p_values.__getitem__), 1), reverse=True):
        least = min(least, p_values[place] * n / rank)
        adjusted[place] = least
    return adjusted
