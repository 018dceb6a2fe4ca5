"""Runs the process of `exai serve` and of `exai stdio`: services, ports, and the order in which they stop."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from pydantic import SecretStr

from exai.app.duties import mcp_port_duties, stdio_duties
from exai.app.services import Services, build
from exai.callers import Caller, Door
from exai.config import Settings
from exai.config.client import TOKEN_VARIABLE
from exai.dashboard.operations import operations_port
from exai.dashboard.overview import Check, Overview
from exai.dashboard.routes import OperationsPort
from exai.errors import ExaiError, StartFault, Unauthenticated
from exai.runtime.clock import SystemClock
from exai.runtime.version import __version__
from exai.transports.doors import McpDoors
from exai.transports.listener import Addresses, Listener
from exai.transports.server import build_server
from exai.transports.stdio import serve_stdio
from exai.web.credential_watch import CredentialWatcher
from exai.web.hosts import HostRule

__all__ = ["run_daemon", "run_stdio"]


async def run_daemon(
    settings: Settings, *, demo: bool, on_ready: Callable[[Addresses, Services], None]
) -> None:
    """Serve both ports until a signal asks to stop.

    Raises:
        StartFault: a port, the database, a key or a setting makes it impossible to start.
    """
    listener = Listener(settings.server)
    try:
        async with _services(settings, demo=demo) as services:
            server = build_server(
                services.dispatcher, name="exai", version=__version__, bus=services.monitoring.bus
            )
            doors = McpDoors(
                server,
                services.dispatcher,
                services.identity.authenticator,
                services.identity.authority,
                settings,
                services.monitoring.bus,
            )
            services.monitoring.metrics.read_samples(doors.sessions.samples)
            readiness = _Readiness(services)
            operations = _operations(services, doors, settings, readiness)
            async with services.scheduler.running(*mcp_port_duties(doors)):
                await listener.serve(
                    doors,
                    operations,
                    services.dispatcher,
                    settings.websocket,
                    on_ready=lambda: on_ready(listener.addresses, services),
                    on_stop=readiness.stop,
                )
    finally:
        listener.close()


async def run_stdio(
    settings: Settings, *, demo: bool, token: SecretStr | None = None, token_from: str = TOKEN_VARIABLE
) -> None:
    """Serve one client over stdin and stdout until it ends, or until its token does.

    Args:
        token_from: where the token was found, for the sentence about one that is not accepted.

    Raises:
        StartFault: the database, a key, a setting or the token makes it impossible to start.
    """
    async with _services(settings, demo=demo, runs_jobs=False) as services:
        caller = await _parent(services, token, token_from)
        watcher = CredentialWatcher(services.identity.authenticator, SystemClock())
        async with services.scheduler.running(*stdio_duties(watcher)):
            await serve_stdio(
                build_server(
                    services.dispatcher, name="exai", version=__version__, bus=services.monitoring.bus
                ),
                services.dispatcher,
                caller=caller,
                watcher=watcher,
                limits=settings.websocket,
                drain_s=settings.server.drain_s,
                bus=services.monitoring.bus,
            )


@asynccontextmanager
async def _services(settings: Settings, *, demo: bool, runs_jobs: bool = True) -> AsyncIterator[Services]:
    async with AsyncExitStack() as scopes:
        if demo:
            from exai.app.demo import emulated_providers  # noqa: PLC0415 - only a demonstration needs the emulator

            settings = await scopes.enter_async_context(emulated_providers(settings))
        services = await scopes.enter_async_context(
            build(settings, version=__version__, demo=demo, runs_jobs=runs_jobs)
        )
        if not services.configured_providers:
            raise StartFault(
                "No provider has a key. Set GLM_API_KEY or KIMI_API_KEY, "
                "or try everything without one: `exai serve --demo`."
            )
        yield services


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


def _operations(
    services: Services, doors: McpDoors, settings: Settings, readiness: "_Readiness"
) -> OperationsPort:
    clock = SystemClock()

    def sessions() -> dict[str, float]:
        now = doors.sessions.statistics()
        return {"open": now.sessions, "without_a_socket": now.cut, "messages_kept": now.pending}

    overview = Overview(
        version=__version__,
        auth_mode=settings.auth.mode,
        clock=clock,
        began=clock.monotonic(),
        checks=readiness.checks,
        providers=lambda: [
            (name, each.configured) for name, each in services.asking.router.providers.items()
        ],
        duties=services.scheduler,
        sessions=sessions,
        running=services.monitoring.running_calls,
        connected=services.monitoring.open_connections,
        usage=services.storage.usage,
    )
    return operations_port(
        identity=services.identity,
        overview=overview,
        metrics=services.monitoring.metrics,
        hosts=HostRule(settings.server),
        clock=clock,
        publish=services.monitoring.bus.publish,
    )


class _Readiness:
    """The checks of `/readyz`."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._stopping = False
        self.checks: dict[str, Check] = {
            "admitting": self._admitting,
            "database": self._database,
            "providers": self._providers,
        }

    def stop(self) -> None:
        """Report not ready from now on, and begin no job."""
        self._stopping = True
        if self._services.jobs is not None:
            self._services.jobs.stop()

    async def _admitting(self) -> str | None:
        return "stopping" if self._stopping else None

    async def _database(self) -> str | None:
        await self._services.storage.database.check()
        return None

    async def _providers(self) -> str | None:
        return None if self._services.configured_providers else "no provider has a key"
