"""An emulator that runs in the caller's event loop for as long as a scope."""

import asyncio
import functools
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from aiohttp import web

from exai_emulator.control import control_app
from exai_emulator.custom.api import ROOT as CUSTOM_ROOT
from exai_emulator.emulator import Addresses, Emulator
from exai_emulator.glm.api import CODING_ROOT, GENERAL_ROOT
from exai_emulator.kimi.api import ROOT as KIMI_ROOT
from exai_emulator.messages_root import ROOTS as ANTHROPIC_ROOTS
from exai_emulator.options import EmulatorOptions

__all__ = ["PortInUseError", "running"]

_SHUTDOWN_SECONDS = 0.1
_BACKLOG = 1024


class PortInUseError(OSError):
    """A port that was asked for cannot be had."""


@asynccontextmanager
async def running(options: EmulatorOptions) -> AsyncIterator[Emulator]:
    """Run an emulator while the scope lasts. Raises PortInUseError when a port is taken.

    At the end the ports are closed and what is still being answered is cut off.
    """
    emulator = Emulator(options)
    async with AsyncExitStack() as stack:
        wanted = {
            "glm": options.glm_port,
            "kimi": options.kimi_port,
            "custom": options.custom_port,
            "control": options.control_port,
        }
        sockets = {
            name: stack.enter_context(_listening(options.host, port, name)) for name, port in wanted.items()
        }
        at = {name: _origin(options.host, opened) for name, opened in sockets.items()}
        emulator.addresses = Addresses(
            glm=at["glm"] + GENERAL_ROOT,
            glm_coding=at["glm"] + CODING_ROOT,
            glm_anthropic=at["glm"] + ANTHROPIC_ROOTS["glm"],
            kimi=at["kimi"] + KIMI_ROOT,
            kimi_anthropic=at["kimi"] + ANTHROPIC_ROOTS["kimi"],
            custom=at["custom"] + CUSTOM_ROOT,
            control=at["control"],
            glm_key=options.glm_key,
            kimi_key=options.kimi_key,
            custom_key=options.custom_key,
        )
        stack.callback(emulator.uploads.close)
        for provider in emulator.apis:
            server = _http_server(emulator.handler(provider))
            await _serve(
                stack, web.ServerRunner(server, shutdown_timeout=_SHUTDOWN_SECONDS), sockets[provider]
            )
        control = web.AppRunner(control_app(emulator), access_log=None, shutdown_timeout=_SHUTDOWN_SECONDS)
        await _serve(stack, control, sockets["control"])
        yield emulator


def _listening(host: str, port: int, name: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        reason = error.strerror or str(error)
        raise PortInUseError(
            f"The {name} port {port} on {host} cannot be opened ({reason}); choose another."
        ) from error


def _origin(host: str, listening: socket.socket) -> str:
    """The URL at which a client on this machine finds the socket."""
    port = listening.getsockname()[1]
    reachable = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104 - what a wildcard address is reached by
    return f"http://{reachable}:{port}"


def _http_server(handle: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]) -> web.Server:
    """aiohttp's plain server. A client that leaves cancels its handler: so its leaving is noticed."""
    factory = functools.partial(web.BaseRequest, loop=asyncio.get_running_loop())
    return web.Server(
        handle, request_factory=factory, handler_cancellation=True, access_log=None, tcp_keepalive=False
    )


async def _serve(stack: AsyncExitStack, runner: web.BaseRunner, listening: socket.socket) -> None:
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.SockSite(runner, listening, backlog=_BACKLOG).start()
