"""Reads the reply of a service beside chat, within limits of time and size."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp

from exai.errors import (
    DeadlineExceeded,
    ProviderFailed,
    ProviderFault,
    ProviderSilent,
    ProviderTimeout,
    ProviderUnreachable,
)
from exai.providers.faults import Names, Refusal, Row, fault_of
from exai.runtime.clock import Clock

__all__ = ["PlainReply", "disconnected"]

MAX_BYTES = 8 * 2**20
"""Twenty search results with the text of their pages have a fraction of it."""

MAX_ERROR_BYTES = 64 * 2**10


class PlainReply:
    """One reply; the names are for messages, `errors` has the service's errors."""

    def __init__(self, names: Names, errors: tuple[Row, ...], clock: Clock) -> None:
        self._names = names
        self._errors = errors
        self._clock = clock

    @asynccontextmanager
    async def within(self, deadline: float, longest_s: float) -> AsyncIterator[None]:
        """The context of the request: failures inside it become our errors.

        Raises:
            ProviderFault: there was no complete reply.
            DeadlineExceeded: `deadline` passed first.
        """
        left_s = deadline - self._clock.monotonic()
        limit = asyncio.timeout(min(left_s, longest_s))
        try:
            async with limit:
                yield
        except aiohttp.ClientError as broken:
            raise disconnected(broken, self._names) from broken
        except TimeoutError:
            if left_s <= longest_s:
                raise DeadlineExceeded(
                    f"The time of this call ran out before the {self._names.model} of {self._names.title} was "
                    "done. Ask for less."
                ) from None
            raise ProviderSilent(
                f"The {self._names.model} of {self._names.title} gave no answer within {longest_s:g} s. Try again."
            ) from None

    async def read(self, response: aiohttp.ClientResponse) -> bytes:
        """Read the body of a successful reply.

        Raises:
            ProviderFault: the provider refused, or sent too much.
        """
        limit = MAX_BYTES if response.status == 200 else MAX_ERROR_BYTES
        body = bytearray()
        while chunk := await response.content.readany():
            body += chunk
            if len(body) > limit:
                if response.status == 200:
                    raise ProviderFailed(
                        f"The {self._names.model} of {self._names.title} sent more than any reply may be."
                    )
                break
        if response.status != 200:
            refusal = Refusal.read(response.status, response.headers, bytes(body), self._clock.wall())
            raise fault_of(refusal, self._errors, self._names)
        return bytes(body)


def disconnected(broken: aiohttp.ClientError, names: Names) -> ProviderFault:
    """Return our error for a missing connection, or one that broke before an answer."""
    title, url_setting = names.title, names.url_setting
    if isinstance(broken, aiohttp.ConnectionTimeoutError):
        return ProviderTimeout(
            f"No connection to {title} within the time allowed. Check the network and {url_setting}, or "
            "raise timeouts.connect_s."
        )
    if isinstance(broken, aiohttp.ClientSSLError):
        return ProviderUnreachable(
            f"No secure connection to {title} could be made, so nothing was sent. Check {url_setting}, "
            "this machine's certificates and its clock."
        )
    if isinstance(broken, aiohttp.ClientConnectorError):
        return ProviderUnreachable(
            f"{title} cannot be reached. Check the network and {url_setting}, then try again."
        )
    return ProviderUnreachable(f"The connection to {title} broke before {names.model} answered. Try again.")
