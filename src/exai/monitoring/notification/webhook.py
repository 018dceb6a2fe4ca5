"""Posts to a webhook: to the address that the operator named, and nowhere else.

Redirects and proxies are not followed; every address that its name leads to is checked, and it is that address that is
connected to; nothing of the answer but its status is read; time is bounded.
"""

import aiohttp
from aiohttp.abc import AbstractResolver

from exai.config.values import is_loopback
from exai.config.watching.notify import Webhook, key_of
from exai.monitoring.notification.signing import signed_headers
from exai.runtime.clock import Clock
from exai.runtime.network.checked_addresses import AddressRefused, CheckedAddresses, Reach
from exai.runtime.version import __version__

__all__ = ["TIMEOUT_S", "PostFailed", "post"]

TIMEOUT_S = 15.0
GONE = 410


class PostFailed(Exception):
    """A message was not accepted; the message says why, for the operator, without a word of the receiver's."""

    def __init__(self, reason: str, *, is_gone: bool = False) -> None:
        super().__init__(reason)
        self.is_gone = is_gone
        """Whether the receiver said that it wants no more."""


async def post(
    webhook: Webhook,
    body: bytes,
    message_id: str,
    *,
    secret: str | None,
    clock: Clock,
    resolver: AbstractResolver | None = None,
    timeout_s: float = TIMEOUT_S,
) -> None:
    """Post a message once.

    Args:
        secret: what it is signed by; `None`: it is not.
        resolver: asks for addresses instead of the system's.

    Raises:
        PostFailed: it was not accepted.
    """
    host = (webhook.address.host or "").strip("[]")
    addresses = CheckedAddresses(resolver or aiohttp.DefaultResolver(), _reach(webhook, host))
    headers = {"Content-Type": "application/json", "User-Agent": f"exai/{__version__}"}
    if secret is not None:
        headers |= signed_headers(key_of(secret), message_id, int(clock.wall()), body)
    connector = aiohttp.TCPConnector(resolver=addresses, use_dns_cache=False, limit=1, force_close=True)
    try:
        addresses.check_literal(host)
        async with (
            aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=timeout_s),
                trust_env=False,
                auto_decompress=False,
            ) as session,
            session.post(
                webhook.url.get_secret_value(), data=body, headers=headers, allow_redirects=False
            ) as response,
        ):
            _check(response.status)
    except AddressRefused as refused:
        further = "" if webhook.private else "; set `private` if that is meant"
        raise PostFailed(f"{refused}{further}") from None
    except TimeoutError:
        raise PostFailed(f"no answer within {timeout_s:g} s") from None
    except (aiohttp.ClientError, OSError) as error:
        raise PostFailed(f"no answer ({type(error).__name__})") from error
    finally:
        await connector.close()
        await addresses.close()


def _reach(webhook: Webhook, host: str) -> Reach:
    if not webhook.private:
        return Reach.PUBLIC
    return Reach.LOOPBACK if is_loopback(host) else Reach.NETWORK


def _check(status: int) -> None:
    if 200 <= status < 300:
        return
    if 300 <= status < 400:
        raise PostFailed(f"status {status}: a redirect, which is not followed; name the address it leads to")
    raise PostFailed(f"status {status}", is_gone=status == GONE)
