"""Sessions of browsers that are signed in: a random cookie each, known to this process alone.

RFC 6265bis, 4.1.3.2: a cookie named `__Host-` comes from this very host over a trustworthy connection, and from no
other name of its site. It is sent by the browser and not by the person, so every request that it lets in must also
come from a page of our own (`is_page_of_our_own`).
"""

import hashlib
import secrets
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from exai.callers import Caller, RawHeaders
from exai.runtime.clock import Clock
from exai.runtime.samples import Sample
from exai.web.hosts import LOOPBACK_NAMES, host_name

__all__ = ["COOKIE", "BrowserSessions", "cookie_of", "is_fetched_by_another", "is_page_of_our_own"]

COOKIE = "__Host-exai"
IDLE_S = 3600.0
"""How long a browser may be away before it has to sign in again."""
MOST_BROWSERS = 1_000
"""Signed in at once; the longest unseen has to sign in again first."""


@dataclass(slots=True)
class _Browser:
    caller: Caller
    seen: float


class BrowserSessions:
    """Begins, finds and ends them."""

    def __init__(self, clock: Clock, end_of: Callable[[Caller], object | None]) -> None:
        """Begin without sessions; `end_of` says how a caller's credential ended, `None` while it is good."""
        self._clock = clock
        self._end_of = end_of
        self._by_digest: OrderedDict[bytes, _Browser] = OrderedDict()

    def __len__(self) -> int:
        return len(self._by_digest)

    def samples(self) -> list[Sample]:
        """Return the metrics of the browsers."""
        return [Sample("dashboard_browsers", "Browsers signed in to the dashboard.", len(self))]

    def sign_in(self, caller: Caller) -> str:
        """Begin a session of this caller; returns the cookie's value."""
        secret = secrets.token_urlsafe(32)
        self._by_digest[_digest(secret)] = _Browser(caller, self._clock.monotonic())
        if len(self._by_digest) > MOST_BROWSERS:
            self._by_digest.popitem(last=False)
        return secret

    def caller(self, secret: str) -> Caller | None:
        """Find whose session has this cookie; `None` when it has none, or one that has ended."""
        digest = _digest(secret)
        browser = self._by_digest.get(digest)
        if browser is None:
            return None
        now = self._clock.monotonic()
        if now - browser.seen > IDLE_S or self._end_of(browser.caller) is not None:
            del self._by_digest[digest]
            return None
        browser.seen = now
        self._by_digest.move_to_end(digest)
        return browser.caller

    def sign_out(self, secret: str) -> None:
        """End a session; nothing happens when there is none."""
        self._by_digest.pop(_digest(secret), None)


def cookie_of(headers: RawHeaders) -> str | None:
    """Read the value of our cookie; `None` where there is none, or more than one."""
    values = [
        value
        for name, field in headers
        if name == b"cookie"
        for pair in field.split(b";")
        for key, _, value in [pair.strip(b" ").partition(b"=")]
        if key == COOKIE.encode()
    ]
    return values[0].decode("latin-1") if len(values) == 1 else None


def is_page_of_our_own(headers: RawHeaders) -> bool:
    """Check whether a page of this very host and port sends the request, by what the browser says.

    Stricter than the rule of Origin for all doors: a page of another port of this machine is another's, although
    the browser counts it to the same site and sends it our cookie.
    """
    origins = [value for name, value in headers if name == b"origin"]
    hosts = [value for name, value in headers if name == b"host"]
    if len(origins) != 1 or len(hosts) != 1:
        return False
    origin, host = origins[0].decode("latin-1"), hosts[0].decode("latin-1")
    if origin == f"https://{host}":
        return True
    return origin == f"http://{host}" and host_name(host) in LOOPBACK_NAMES


def is_fetched_by_another(headers: RawHeaders) -> bool:
    """Check whether another's page had this fetched, by what the browser says; clients that say nothing pass.

    By Fetch Metadata, or by the Origin where the browser knows none.
    """
    sites = [value for name, value in headers if name == b"sec-fetch-site"]
    has_origin = any(name == b"origin" for name, _ in headers)
    return any(site not in {b"same-origin", b"none"} for site in sites) or (
        has_origin and not is_page_of_our_own(headers)
    )


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "replace")).digest()
