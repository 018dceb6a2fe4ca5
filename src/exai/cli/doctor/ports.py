"""Checks of the ports: free, used by a daemon that is ready or not, or used by another program."""

import asyncio
import http.client
import json
import socket
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass

from exai.cli.doctor.findings import Finding, ok, problem, warning
from exai.config import Server
from exai.config.sources import Loaded
from exai.config.values import is_loopback
from exai.runtime.os_errors import reason_of
from exai.web.hosts import EVERY_ADDRESS

__all__ = ["Running", "check_ports", "readiness"]

ANSWER_S = 5.0


async def check_ports(loaded: Loaded) -> list[Finding]:
    """Check that the ports are free or used by a running EXAI, and that it is ready."""
    return await asyncio.to_thread(lambda: list(_ports(loaded.settings.server)))


def _ports(server: Server) -> Iterator[Finding]:
    running = None if server.operations_port == 0 else readiness(server.host, server.operations_port)
    for setting, port in (
        ("server.port", server.port),
        ("server.operations_port", server.operations_port),
        ("server.errors_port", server.errors_port),
    ):
        if port == 0:
            yield ok("ports", f"`{setting}` is 0: any free port is taken")
        elif (why := _refusal(server.host, port)) is None:
            yield ok("ports", f"{port} on {server.host} is free")
        elif running is not None:
            yield ok("ports", f"{port} on {server.host} is in use, and EXAI answers there")
        else:
            fix = f"Stop what uses it, or choose another with `{setting}`."
            yield problem("ports", f"{port} on {server.host} cannot be opened ({why})", fix)
    if running is not None:
        yield from _not_well(running)
    has_tls = server.public_url is not None and server.public_url.scheme == "https"
    if not is_loopback(server.host) and not has_tls:
        yield warning(
            "ports",
            f"{server.host} can be reached from other machines, and tokens travel unencrypted",
            "Put a proxy with TLS before it, and its https address into `server.public_url`.",
        )


def _not_well(running: "Running") -> Iterator[Finding]:
    for name, verdict in running.checks.items():
        if verdict == "ok":
            continue
        if running.status == "degraded":
            yield warning(
                "daemon", f"it runs and serves not all it should: {name}: {verdict}", "See its log."
            )
        else:
            yield problem("daemon", f"it runs and is not ready: {name}: {verdict}", "See its log.")


def _refusal(host: str, port: int) -> str | None:
    """Return why the port cannot be opened, in a few words; `None` when it can."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(address)
            sock.listen(1)
    except OSError as error:
        return reason_of(error)
    return None


@dataclass(frozen=True, slots=True)
class Running:
    """What a running EXAI says of itself."""

    status: str
    checks: Mapping[str, str]


def readiness(host: str, port: int) -> Running | None:
    """Fetch the readiness of a running EXAI; `None` when none answers."""
    reached_at = EVERY_ADDRESS.get(host, host)
    with closing(http.client.HTTPConnection(reached_at, port, timeout=ANSWER_S)) as connection:
        try:
            # The one host name that is accepted whatever the address.
            connection.request("GET", "/readyz", headers={"Host": "localhost"})
            document = json.loads(connection.getresponse().read(64 * 2**10))
        except (OSError, http.client.HTTPException, ValueError):
            return None
    checks = document.get("checks") if isinstance(document, dict) else None
    if not isinstance(checks, dict):
        return None
    return Running(str(document.get("status")), {str(name): str(says) for name, says in checks.items()})
