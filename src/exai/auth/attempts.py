"""How often an address may be refused before it has to wait."""

import ipaddress
from collections import OrderedDict

from exai.clock import Clock
from exai.errors import TooManyAttempts

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

    def check(self, address: str) -> None:
        """Let an address try.

        Raises:
            TooManyAttempts: it was refused too often within a minute.
        """
        network = _network(address)
        if (window := self._windows.get(network)) is None:
            return
        began, refusals = window
        left = began + WINDOW_S - self._clock.monotonic()
        if left <= 0:
            del self._windows[network]
        elif refusals >= self._limit:
            raise TooManyAttempts(
                "Too many tokens from this address were refused. Correct the token, then try again in "
                f"{left:.0f} seconds.",
                retry_after_s=left,
            )

    def refused(self, address: str) -> None:
        """Count a refusal."""
        now, network = self._clock.monotonic(), _network(address)
        began, refusals = self._windows.pop(network, (now, 0))
        if now - began >= WINDOW_S:
            began, refusals = now, 0
        self._windows[network] = (began, refusals + 1)
        if len(self._windows) > MOST_ADDRESSES:
            self._windows.popitem(last=False)


def _network(address: str) -> str:
    """What one party can take addresses from: of IPv6 the first 64 bits."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return address
    return str(parsed.ipv4_mapped or int(parsed) >> 64)
