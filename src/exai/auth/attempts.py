"""Limits how often an address may present refused tokens before it gets 429.

Good tokens are never counted and always pass: 256 random bits cannot be guessed, and many callers may share an
address. What is refused beyond the limit is not logged.
"""

import ipaddress
from collections import OrderedDict

from exai.errors import TooManyAttempts
from exai.runtime.clock import Clock

__all__ = ["Attempts"]

WINDOW_S = 60.0
MOST_ADDRESSES = 10_000
"""Remembered at once; the longest unseen is forgotten first."""


class Attempts:
    """Counts refusals by address; a window begins with its first."""

    def __init__(self, limit: int, clock: Clock) -> None:
        self._limit = limit
        self._clock = clock
        self._windows: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def refused(self, address: str) -> None:
        """Count a refusal.

        Raises:
            TooManyAttempts: there were too many within a minute.
        """
        now, network = self._clock.monotonic(), _network(address)
        began, refusals = self._windows.pop(network, (now, 0))
        if now - began >= WINDOW_S:
            began, refusals = now, 0
        self._windows[network] = (began, min(refusals + 1, self._limit))
        if len(self._windows) > MOST_ADDRESSES:
            self._windows.popitem(last=False)
        if refusals >= self._limit:
            left = began + WINDOW_S - now
            raise TooManyAttempts(
                "Too many tokens from this address were refused. Correct the token, then try again in "
                f"{left:.0f} seconds.",
                retry_after_s=left,
            )


def _network(address: str) -> str:
    """What one party can take addresses from: of IPv6 the first 64 bits."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return address
    return str(parsed.ipv4_mapped or int(parsed) >> 64)
