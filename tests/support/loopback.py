"""Whether bytes are under way between the sockets of this process, as the kernel counts them.

On loopback a sent byte is readable a moment later, and on a busy machine that moment can be long. So what
one end has sent is compared with what the other has received. Only Linux shows these figures.
"""

import os
import socket
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

__all__ = ["under_way"]

_FIN_WAIT1, _LISTEN = 4, 10
"""States of TCP that matter here, from <netinet/tcp.h>."""


@dataclass(frozen=True, slots=True)
class _End:
    """One end of a TCP connection."""

    state: int
    sent: int
    received: int


def under_way(descriptors: Iterable[int]) -> str | None:
    """What may yet arrive at one of `descriptors` without this process doing anything; `None` if nothing can."""
    ends: dict[tuple[object, object], _End] | None = None
    for descriptor in descriptors:
        opened = _opened(descriptor)
        if opened is None:
            return f"descriptor {descriptor}, which is no stream socket"
        with opened:
            if opened.family == socket.AF_UNIX:
                if not _is_of_this_process(opened):
                    return f"another process at {opened.getsockname()!r}"
                continue
            if _end(opened).state == _LISTEN:
                continue
            names = _names(opened)
        if ends is None:
            ends = dict(_tcp_ends())
        if awaited := _on_its_way(names, ends):
            return awaited
    return None


def _on_its_way(names: tuple[object, object] | None, ends: dict[tuple[object, object], _End]) -> str | None:
    if names is None:
        return "a connection that is being opened"
    own_name, peer_name = names
    own, peer = ends.get((own_name, peer_name)), ends.get((peer_name, own_name))
    if own is None or peer is None:
        return f"a peer outside of this process, at {peer_name!r}"
    if own.received != peer.sent or peer.received != own.sent or _FIN_WAIT1 in {own.state, peer.state}:
        return f"bytes between {own_name!r} and {peer_name!r}"
    return None


def _tcp_ends() -> Iterator[tuple[tuple[object, object], _End]]:
    """Every TCP connection of this process by its two names."""
    for entry in os.listdir("/dev/fd"):  # noqa: PTH208 - some hundred names, often
        opened = _opened(int(entry))
        if opened is not None:
            with opened:
                if opened.family != socket.AF_UNIX and (names := _names(opened)) is not None:
                    yield names, _end(opened)


def _opened(descriptor: int) -> socket.socket | None:
    """A second handle on a stream socket; `None` if it is none."""
    try:
        copy = os.dup(descriptor)
    except OSError:
        return None
    try:
        opened = socket.socket(fileno=copy)
    except OSError:
        os.close(copy)
        return None
    if (
        opened.family not in {socket.AF_INET, socket.AF_INET6, socket.AF_UNIX}
        or opened.type != socket.SOCK_STREAM
    ):
        opened.close()
        return None
    return opened


def _is_of_this_process(opened: socket.socket) -> bool:
    """Of a listener too: it gives the credentials of the process that listens."""
    peer = opened.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid: int = struct.unpack("3i", peer)[0]
    return pid == os.getpid()


def _names(opened: socket.socket) -> tuple[object, object] | None:
    try:
        return opened.getsockname(), opened.getpeername()
    except OSError:
        return None


def _end(opened: socket.socket) -> _End:
    info = opened.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    (received,) = struct.unpack_from("Q", info, 128)
    sent, sent_again = struct.unpack_from("QQ", info, 200)
    return _End(info[0], sent - sent_again, received)
