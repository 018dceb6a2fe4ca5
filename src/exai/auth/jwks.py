"""The public keys of another issuer, fetched from the one place that the operator named.

No caller can choose what is fetched (SSRF): the URL is the configured one, `https` or on loopback; redirects and
proxies are not followed; every address that its name leads to must be a public one, and it is that address that is
connected to; size and time are bounded. Unknown `kid`s cause one fetch every few seconds at most.
"""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import aiohttp
import structlog
from aiohttp.abc import AbstractResolver

from exai.auth.keys import from_jwk
from exai.auth.verifying_key import VerifyingKey
from exai.config import Issuer
from exai.config.values import is_loopback
from exai.errors import KeysUnavailable
from exai.runtime import tasks
from exai.runtime.clock import Clock
from exai.runtime.network.checked_addresses import AddressRefused, CheckedAddresses, Reach

__all__ = ["FetchFailed", "IssuerKeys"]

FRESH_S = 600.0
"""Then the keys are fetched again, while the known ones stay in use."""
STALE_S = 86_400.0
"""So long keys serve when the issuer cannot be reached; one that it took back meanwhile goes unnoticed."""
BETWEEN_FETCHES_S = 10.0
TIMEOUT_S = 5.0
LARGEST = 256 * 1024
"""Bytes; a set of keys has a few thousand."""
MOST_KEYS = 100

_log = structlog.get_logger(__name__)


class FetchFailed(Exception):
    """The keys could not be fetched; the message says why, for the operator."""


class IssuerKeys:
    """Finds an issuer's keys by `kid`."""

    def __init__(
        self,
        name: str,
        settings: Issuer,
        clock: Clock,
        *,
        resolver: AbstractResolver | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        """`resolver` asks for addresses instead of the system's."""
        self._name = name
        self._url = settings.jwks_url
        self._algorithms = frozenset(settings.algorithms)
        self._allows_private = settings.private_network
        self._clock = clock
        self._resolver = resolver
        self._timeout_s = timeout_s
        self._keys: Mapping[str, VerifyingKey] = {}
        self._fetched_at: float | None = None
        self._tried_at: float | None = None
        self._fetching: asyncio.Task[None] | None = None

    async def find(self, kid: str | None) -> VerifyingKey | None:
        """Find the key of that `kid`; fetch again for an unknown one, unless that was done a moment ago.

        Raises:
            KeysUnavailable: there are no keys, because their place cannot be reached.
        """
        if kid is None:
            return None
        if (key := self._known().get(kid)) is not None:
            if self._age() > FRESH_S:
                self._fetch_soon()
            return key
        if (fetching := self._fetch_soon()) is not None:
            await asyncio.wait([fetching])
        known = self._known()
        if not known and self._fetched_at is None:
            raise KeysUnavailable(
                f"The keys of the issuer `{self._name}` cannot be fetched at the moment. Try again in a few seconds.",
                retry_after_s=BETWEEN_FETCHES_S,
            )
        return known.get(kid)

    async def fetch(self) -> Mapping[str, VerifyingKey]:
        """Fetch the keys as they are published now.

        Raises:
            FetchFailed: they could not be had, or there is none that EXAI can use.
        """
        keys = _usable(await self._document(), self._algorithms)
        if not keys:
            raise FetchFailed("there is no key in it that EXAI can use")
        return keys

    async def close(self) -> None:
        """Cancel a fetch that runs."""
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.wait([self._fetching])

    def _known(self) -> Mapping[str, VerifyingKey]:
        return self._keys if self._age() <= STALE_S else {}

    def _age(self) -> float:
        return STALE_S + 1 if self._fetched_at is None else self._clock.monotonic() - self._fetched_at

    def _fetch_soon(self) -> asyncio.Task[None] | None:
        """Return the fetch that runs, or begin one; `None` so soon after the last."""
        if self._fetching is not None and not self._fetching.done():
            return self._fetching
        now = self._clock.monotonic()
        if self._tried_at is not None and now - self._tried_at < BETWEEN_FETCHES_S:
            return None
        self._tried_at = now
        self._fetching = tasks.spawn(self._renew(), name=f"keys of {self._name}")
        return self._fetching

    async def _renew(self) -> None:
        try:
            self._keys = await self.fetch()
        except FetchFailed as failure:
            _log.warning("the keys of an issuer cannot be fetched", issuer=self._name, reason=str(failure))
            return
        self._fetched_at = self._clock.monotonic()

    def _reach(self, host: str) -> Reach:
        if is_loopback(host):
            return Reach.LOOPBACK
        return Reach.NETWORK if self._allows_private else Reach.PUBLIC

    async def _document(self) -> Any:
        host = (self._url.host or "").strip("[]")
        addresses = CheckedAddresses(self._resolver or aiohttp.DefaultResolver(), self._reach(host))
        connector = aiohttp.TCPConnector(resolver=addresses, use_dns_cache=False, limit=1, force_close=True)
        try:
            addresses.check_literal(host)
            async with (
                aiohttp.ClientSession(
                    connector=connector,
                    cookie_jar=aiohttp.DummyCookieJar(),
                    timeout=aiohttp.ClientTimeout(total=self._timeout_s),
                    trust_env=False,
                    auto_decompress=False,
                ) as session,
                session.get(
                    str(self._url),
                    allow_redirects=False,
                    headers={"Accept": "application/json", "Accept-Encoding": "identity"},
                ) as response,
            ):
                if response.status != 200:
                    raise FetchFailed(f"the answer has status {response.status}")
                return _decoded(await _bounded(response.content))
        except AddressRefused as refused:
            further = "" if refused.reach is Reach.LOOPBACK else "; set `private_network` if that is meant"
            raise FetchFailed(f"{refused}{further}") from None
        except TimeoutError:
            raise FetchFailed(f"no whole answer within {self._timeout_s:g} s") from None
        except aiohttp.ClientError as error:
            raise FetchFailed(f"no answer ({type(error).__name__})") from error
        finally:
            await addresses.close()


async def _bounded(stream: aiohttp.StreamReader) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in stream.iter_any():
        size += len(part)
        if size > LARGEST:
            raise FetchFailed(f"the answer has more than {LARGEST} bytes")
        parts.append(part)
    return b"".join(parts)


def _decoded(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise FetchFailed("the answer is not JSON") from None


def _usable(document: Any, algorithms: frozenset[str]) -> dict[str, VerifyingKey]:
    """Select keys that can verify what this issuer may sign; a `kid` that two of them share is dropped."""
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise FetchFailed("the answer is no set of keys")
    keys: dict[str, VerifyingKey] = {}
    shared: set[str] = set()
    for entry in entries[:MOST_KEYS]:
        kid = entry.get("kid") if isinstance(entry, dict) else None
        if not isinstance(kid, str) or not kid:
            continue
        key = from_jwk(entry)
        if key is None or key.algorithm not in algorithms:
            continue
        if kid in keys:
            shared.add(kid)
        keys[kid] = key
    return {kid: key for kid, key in keys.items() if kid not in shared}
