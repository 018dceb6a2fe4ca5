"""Whether bytes are under way between the sockets of this process, as the kernel counts them.

On loopback a sent byte is readable a moment later, and on a busy machine that moment can be long. So what
one end has sent is compared with what the other has received. Only Linux shows these figures.
"""

import fcntl
import os
import socket
import stat
import struct
import termios
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

__all__ = ["under_way"]

_FIN_WAIT1, _LISTEN = 4, 10
"""States of TCP that matter here, from <netinet/tcp.h>."""

_Names = tuple[object, object]
"""The address of an end, and that of its peer."""


@dataclass(frozen=True, slots=True)
class _End:
    """One end of a TCP connection."""

    names: _Names | None
    """`None` while it is being opened."""
    state: int
    sent: int
    unsent: int
    """Taken from the program and held back by the kernel, which waits for room at the peer or gathers small pieces."""
    received: int
    unread: int


def under_way(descriptors: Iterable[int]) -> str | None:
    """What may yet arrive at one of `descriptors` without this process doing anything; `None` if nothing can."""
    ends: list[_End] = []
    for descriptor in descriptors:
        seen = _look(descriptor)
        if isinstance(seen, str):
            return seen
        if seen is not None:
            ends.append(seen)
    by_names = {end.names: end for end in ends}
    if not all(end.names is None or end.names[::-1] in by_names for end in ends):
        by_names = _every_end()  # the loop reads only one of the two
    for end in ends:
        if awaited := _on_its_way(end, by_names):
            return awaited
    return None


def _on_its_way(own: _End, by_names: Mapping[_Names | None, _End]) -> str | None:
    if own.names is None:
        return "a connection that is being opened"
    peer = by_names.get(own.names[::-1])
    if peer is None:
        return f"a peer outside of this process, at {own.names[1]!r}"
    if _is_sending(own, peer) or _is_sending(peer, own) or _FIN_WAIT1 in {own.state, peer.state}:
        return f"bytes between {own.names[0]!r} and {own.names[1]!r}"
    return None


def _is_sending(sender: _End, receiver: _End) -> bool:
    """Whether the receiver will find something. One that leaves what it has unread waits for itself, not for time."""
    return receiver.unread == 0 and (receiver.received != sender.sent or sender.unsent > 0)


def _every_end() -> dict[_Names | None, _End]:
    """Every TCP connection of this process by its names."""
    seen = [_look(int(entry)) for entry in os.listdir("/dev/fd")]  # noqa: PTH208 - some hundred names, often
    return {end.names: end for end in seen if isinstance(end, _End)}


def _look(descriptor: int) -> _End | str | None:
    """An end of TCP, `None` where nothing can arrive of itself, or what else there is that may wake a loop."""
    try:
        if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
            return f"descriptor {descriptor}, which is no socket"
    except OSError:
        return None  # closed since it was listed
    opened = socket.socket(fileno=descriptor)
    try:
        if opened.type != socket.SOCK_STREAM:
            return f"descriptor {descriptor}, a socket without connections"
        if opened.family == socket.AF_UNIX:
            return None if _is_of_this_process(opened) else f"another process at {opened.getsockname()!r}"
        return _end(opened)
    finally:
        opened.detach()


def _is_of_this_process(opened: socket.socket) -> bool:
    """Whether a listener, or the peer, is of this process: between Unix sockets bytes arrive as they are sent."""
    peer = opened.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid: int = struct.unpack("3i", peer)[0]
    return pid == os.getpid()


def _end(opened: socket.socket) -> _End | None:
    info = opened.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    if info[0] == _LISTEN:
        return None
    (received,) = struct.unpack_from("Q", info, 128)
    (unsent,) = struct.unpack_from("I", info, 144)
    (unread,) = struct.unpack("i", fcntl.ioctl(opened, termios.FIONREAD, bytes(4)))
    sent, sent_again = struct.unpack_from("QQ", info, 200)
    try:
        names = (opened.getsockname(), opened.getpeername())
    except OSError:
        names = None
    return _End(names, info[0], sent - sent_again, unsent, received, unread)
