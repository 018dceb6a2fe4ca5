"""Shares with intervals."""

import math

import msgspec

__all__ = ["Share", "share_of", "wilson"]

Z = 1.96


class Share(msgspec.Struct, frozen=True):
    """How many of some, and between what the true share lies in 95 of 100 cases."""

    hits: int
    of: int
    low: float
    high: float

    @property
    def share(self) -> float:
        """Return the share that was seen; 0 of none."""
        return self.hits / self.of if self.of else 0.0


def wilson(hits: int, of: int) -> tuple[float, float]:
    """Return the interval that holds the true share in 95 of 100 cases (Wilson 1927)."""
    if of == 0:
        return 0.0, 1.0
    share = hits / of
    centre = (share + Z * Z / (2 * of)) / (1 + Z * Z / of)
    half = Z * math.sqrt(share * (1 - share) / of + Z * Z / (4 * of * of)) / (1 + Z * Z / of)
    return centre - half, centre + half


def share_of(hits: int, of: int) -> Share:
    """Return a share with its interval, which lies between 0 and 1."""
    low, high = wilson(hits, of)
    return Share(hits, of, max(0.0, low), min(1.0, high))
