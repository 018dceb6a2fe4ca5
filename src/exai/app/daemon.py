"""Runs the process of `exai serve` and of `exai stdio`: services, ports, and the order in which they stop."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from socket import socket
from typing import TypeVar

from pydantic import SecretStr

from exai.app.duties import mcp_port_duties, readiness_duties, stdio_duties
from exai.app.faults.failed_starts import FailedStarts
from exai.app.ports import NO_ORIGINS, build_ports, mcp_server
from exai.app.services import Services, build
from exai.callers import Caller, Door
from exai.config import Settings
from exai.config.client import TOKEN_VARIABLE
from exai.errors import ExaiError, StartFault, Unauthenticated
from exai.runtime.clock import Clock, SystemClock
from exai.runtime.version import __version__
from exai.transports.key_advice import explain_missing_keys
from exai.transports.listener import NONE_INHERITED, Addresses, Listener
from exai.transports.opening import Opening
from exai.transports.stdio import serve_stdio
from exai.web.credential_watch import CredentialWatcher

__all__ = ["run_daemon", "run_stdio", "run_without_ports"]

T = TypeVar("T")


async def run_daemon(
    settings: Settings,
    *,
    demo: bool,
    on_ready: Callable[[Addresses, Services], None],
    origins: Mapping[str, str] = NO_ORIGINS,
    clock: Clock | None = None,
    inherited: Mapping[str, socket] = NONE_INHERITED,
) -> None:
    """Serve the ports until a signal asks to stop.

    Args:
        origins: where each setting came from.
        inherited: listening sockets that were handed over with the start, by the names of `listener.PORTS`.

    Raises:
        StartFault: a port, the database, a key or a setting makes it impossible to start.
    """
    clock = clock or SystemClock()
    listener = Listener(settings.server, clock, inherited)
    try:
        async with _services(settings, demo=demo, clock=clock) as services:
            if not services.configured_providers:
                raise StartFault(
                    "No provider has a key. Set GLM_API_KEY or KIMI_API_KEY, "
                    "or try everything without one: `exai serve --demo`."
                )
            ports = build_ports(services, settings, origins)
            duties = (*mcp_port_duties(ports.mcp), *readiness_duties(ports.reachability))
            async with services.scheduler.running(*duties):
                await listener.serve(
                    ports.mcp,
                    ports.operations_app,
                    ports.errors,
                    services.dispatcher,
                    settings.websocket,
                    on_ready=lambda: on_ready(listener.addresses, services),
                    on_stop=ports.readiness.stop,
                )
    finally:
        listener.close()


async def run_stdio(
    settings: Settings,
    *,
    demo: bool,
    opening: Opening | None = None,
    token: SecretStr | None = None,
    token_from: str = TOKEN_VARIABLE,
) -> None:
    """Serve one client over stdin and stdout until it ends, or until its token does.

    Args:
        opening: what answers the client until this serves it.
        token_from: where the token was found, for the sentence about one that is not accepted.

    Raises:
        StartFault: the database, a key, a setting or the token makes it impossible to start.
    """
    async with _services(settings, demo=demo, runs_jobs=False) as services:
        caller = await _parent(services, token, token_from)
        watcher = CredentialWatcher(services.identity.authenticator, services.clock)
        async with services.scheduler.running(*stdio_duties(watcher)):
            await serve_stdio(
                mcp_server(services, settings, explain_missing_keys),
                services.dispatcher,
                caller=caller,
                watcher=watcher,
                limits=settings.websocket,
                drain_s=settings.server.drain_s,
                bus=services.monitoring.bus,
                opening=opening,
            )


async def run_without_ports(settings: Settings, work: Callable[[Services], Awaitable[T]], *, demo: bool) -> T:
    """Do something with the services of a daemon, jobs included, and none of its ports.

    Raises:
        StartFault: the database or a setting makes it impossible.
    """
    async with _services(settings, demo=demo) as services:
        return await work(services)


@asynccontextmanager
async def _services(
    settings: Settings, *, demo: bool, runs_jobs: bool = True, clock: Clock | None = None
) -> AsyncIterator[Services]:
    clock = clock or SystemClock()
    async with AsyncExitStack() as scopes:
        scopes.enter_context(FailedStarts(settings).kept(clock))
        if demo:
            from exai.app.demo import emulated_providers  # noqa: PLC0415 - only a demonstration needs the emulator

            settings = await scopes.enter_async_context(emulated_providers(settings))
        yield await scopes.enter_async_context(
            build(settings, version=__version__, demo=demo, runs_jobs=runs_jobs, clock=clock)
        )


async def _parent(services: Services, token: SecretStr | None, token_from: str) -> Caller:
    """Authenticate whoever started this process, by the token that it was given."""
    headers = [] if token is None else [(b"authorization", f"Bearer {token.get_secret_value()}".encode())]
    try:
        return await services.identity.authenticator.authenticate(headers, door=Door.STDIO, address="")
    except Unauthenticated as fault:
        if not fault.presented:
            raise StartFault(
                "Here a token is required: put one into the variable EXAI_TOKEN, or name a credentials file by "
                "EXAI_CREDENTIALS. Whoever runs this EXAI makes one with `exai token create`."
            ) from None
        raise StartFault(f"{token_from}: {fault}") from None
    except ExaiError as fault:
        raise StartFault(str(fault)) from None
