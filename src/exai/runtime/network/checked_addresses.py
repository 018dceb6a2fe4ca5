"""Resolves names to addresses that may be connected to, and to no others (SSRF).

Whatever a name leads to is checked, and it is that address that is connected to: a name that leads elsewhere a moment
later (DNS rebinding) is not asked again.
"""

import ipaddress
import socket
from collections.abc import Callable
from enum import Enum

from aiohttp.abc import AbstractResolver, ResolveResult

__all__ = ["AddressRefused", "CheckedAddresses", "MakeResolver", "Reach"]

MakeResolver = Callable[[], AbstractResolver]
"""Makes what is asked for the addresses of names."""

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_THIS_NETWORK = ipaddress.ip_network("0.0.0.0/8")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_OF_CLOUDS = tuple(
    ipaddress.ip_network(network)
    for network in ("100.100.100.200", "168.63.129.16", "192.0.0.0/24", "fd00:ec2::/32", "fd20:ce::254")
)
"""Where clouds answer a machine with its own credentials beside 169.254.0.0/16: Alibaba, Azure, Oracle; AWS, Google."""


class Reach(Enum):
    """Which addresses may be connected to."""

    PUBLIC = "public"
    NETWORK = "network"
    """Those of private networks too, and none of this machine's own."""
    LOOPBACK = "loopback"
    """This machine, and no other."""


class AddressRefused(Exception):
    """An address may not be connected to; the message says why, for the operator."""

    def __init__(self, reach: Reach) -> None:
        away = (
            "leads away from loopback"
            if reach is Reach.LOOPBACK
            else "leads to an address that is not public"
        )
        super().__init__(f"its name {away}")
        self.reach = reach


class CheckedAddresses(AbstractResolver):
    """Resolves names by another resolver, and refuses what is out of reach."""

    def __init__(self, resolver: AbstractResolver, reach: Reach) -> None:
        self._resolver = resolver
        self._reach = reach

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Resolve a name.

        Raises:
            AddressRefused: one of its addresses is out of reach.
            OSError: it cannot be resolved.
        """
        found = await self._resolver.resolve(host, port, family)
        for result in found:
            self._check(result["host"])
        return found

    async def close(self) -> None:
        """Close the resolver that is asked."""
        await self._resolver.close()

    def check_literal(self, host: str) -> None:
        """Check an address in a URL itself, which is not resolved.

        Raises:
            AddressRefused: it is out of reach.
        """
        try:
            ipaddress.ip_address(host)
        except ValueError:
            return
        self._check(host)

    def _check(self, text: str) -> None:
        address = _innermost(ipaddress.ip_address(text.partition("%")[0]))
        if self._reach is Reach.LOOPBACK:
            allowed = address.is_loopback
        else:
            allowed = (self._reach is Reach.NETWORK or address.is_global) and not _is_odd(address)
        if not allowed:
            raise AddressRefused(self._reach)


def _innermost(address: _Address) -> _Address:
    """Return the IPv4 address that an IPv6 one embeds, which is the one that is reached."""
    if isinstance(address, ipaddress.IPv6Address):
        if address in _NAT64:
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        teredo = address.teredo
        return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else address)
    return address


def _is_odd(address: _Address) -> bool:
    """Whether an address is no server's: loopback, link-local (such as a cloud's metadata), multicast, reserved."""
    return (
        address.is_loopback
        or address.is_link_local
        or address.is_multicast
        or address.is_unspecified
        or address.is_reserved
        or (isinstance(address, ipaddress.IPv6Address) and address.is_site_local)
        or any(address in network for network in _OF_CLOUDS)
        or address in _THIS_NETWORK
    )
