"""Listening sockets that whoever starts the process hands over, as systemd does for a service with sockets.

They stay open while the service is restarted, so connections wait instead of being refused. The protocol is that of
`sd_listen_fds(3)`: `LISTEN_FDS` descriptors from 3 on, named by `LISTEN_FDNAMES`, meant for the process `LISTEN_PID`.
"""

import os
import socket
from collections.abc import Mapping, MutableMapping

from exai.errors import StartFault

__all__ = ["take_inherited"]

FIRST = 3
VARIABLES = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")


def take_inherited(environ: MutableMapping[str, str], names: Mapping[str, str]) -> dict[str, socket.socket]:
    """Take the sockets over, and their variables away, so that no child takes them for its own.

    Args:
        environ: the environment of the process.
        names: what a socket may be called, and what it is for.

    Returns: by name; none where nothing was handed to this process.

    Raises:
        StartFault: a descriptor has no name of these, or is no listening stream socket.
    """
    meant_for, count, called = (environ.pop(variable, "") for variable in VARIABLES)
    if meant_for != str(os.getpid()):
        return {}
    if not count.isdecimal():
        raise StartFault(f"LISTEN_FDS is {count[:20]!r}, which is no number of sockets.")
    descriptors = range(FIRST, FIRST + int(count))
    given = called.split(":") if called else []
    if len(given) != len(descriptors) or len(set(given)) != len(given) or not set(given) <= names.keys():
        known = ", ".join(f"`{name}` ({purpose})" for name, purpose in names.items())
        raise StartFault(
            f"{len(descriptors)} sockets were handed over under the names {':'.join(given)[:200] or '(none)'!r}. "
            f"Each needs one name of its own, `FileDescriptorName=` in its unit: {known}."
        )
    taken: dict[str, socket.socket] = {}
    try:
        for name, descriptor in zip(given, descriptors, strict=True):
            taken[name] = _listening(name, descriptor)
    except StartFault:
        for each in taken.values():
            each.close()
        raise
    return taken


def _listening(name: str, descriptor: int) -> socket.socket:
    try:
        inherited = socket.socket(fileno=descriptor)
    except OSError:
        raise StartFault(
            f"What was handed over as {name!r}, descriptor {descriptor}, is no socket."
        ) from None
    takes_connections = (
        inherited.family in {socket.AF_INET, socket.AF_INET6}
        and inherited.type == socket.SOCK_STREAM
        and inherited.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    )
    if not takes_connections:
        inherited.detach()
        raise StartFault(
            f"What was handed over as {name!r} is no TCP socket that listens: `ListenStream=ADDRESS:PORT`, "
            "with `Accept=no`, makes one."
        )
    os.set_inheritable(descriptor, False)
    inherited.setblocking(False)
    return inherited
