"""`exai serve`: the daemon."""

import json
import os
import sys
import time
from dataclasses import asdict
from typing import Annotated

import typer

from exai.app.daemon import run_daemon
from exai.app.services import Services
from exai.cli.command_group import new_app
from exai.cli.event_loop import run
from exai.cli.options import ConfigFile, Demo, Overrides, Roots, load_settings
from exai.cli.running import Note
from exai.cli.setup.server import executable
from exai.cli.setup.snippets import snippets
from exai.config import Settings
from exai.config.demo import EMULATED_PROVIDERS
from exai.config.tree import secret_values
from exai.errors import StartFault
from exai.monitoring import logs
from exai.runtime.clock import Clock, ScaledClock, SystemClock
from exai.runtime.network.inherited_sockets import take_inherited
from exai.runtime.start.memory import settle_memory
from exai.runtime.version import __version__
from exai.transports.listener import PORTS, Addresses

__all__ = ["app"]

app = new_app()


@app.command("serve")
def serve(
    config_file: ConfigFile = None,
    overrides: Overrides = None,
    roots: Roots = None,
    demo: Demo = False,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65_535, help="For MCP, in place of 8079 (`server.port`); 0: any free one."),
    ] = None,
    host: Annotated[
        str | None,
        typer.Option(
            help="Where both ports listen (`server.host`); another place than loopback needs tokens."
        ),
    ] = None,
    ready_json: Annotated[
        bool,
        typer.Option("--ready-json", help="Print one line of JSON with the addresses on stdout when ready."),
    ] = False,
    speed: Annotated[
        float,
        typer.Option(
            "--speed",
            min=1,
            max=100_000,
            help="How much faster the clock of a demonstration runs; for rehearsals.",
        ),
    ] = 1.0,
    speed_since: Annotated[
        float | None,
        typer.Option("--speed-since", metavar="SECONDS", help="When that clock began, since 1970 UTC; now."),
    ] = None,
) -> None:
    """Run the daemon: MCP on 8079, health and metrics on 8080, errors on 8081, until SIGTERM or Ctrl-C."""
    named = {"server.port": port, "server.host": host}
    further = {key: value for key, value in named.items() if value is not None}
    loaded = load_settings(config_file, overrides, further=further, demo=demo)
    settings = loaded.settings
    clock = _clock(settings, speed, speed_since, demo=demo)
    if roots:
        files = settings.files
        widened = (*files.roots, *(root.absolute() for root in roots))
        settings = settings.model_copy(update={"files": files.model_copy(update={"roots": widened})})
    logs.configure(settings.logging, secrets=secret_values(settings))

    def ready(addresses: Addresses, services: Services) -> None:
        settle_memory()
        sys.stderr.write(_banner(addresses, services, settings, demo=demo))
        note.write(addresses.mcp_ws, addresses.operations, addresses.errors)
        if ready_json:
            _print_json(addresses)

    with Note(settings.data_dir) as note:
        inherited = take_inherited(os.environ, PORTS)
        run(
            run_daemon(
                settings,
                demo=demo,
                on_ready=ready,
                clock=clock,
                origins=loaded.origins,
                inherited=inherited,
            )
        )


def _clock(settings: Settings, speed: float, since: float | None, *, demo: bool) -> Clock:
    """Return the machine's clock, or a faster one.

    Raises:
        StartFault: a provider that is not emulated would be asked.
    """
    if speed == 1:
        return SystemClock()
    if not demo or settings.providers.custom:
        raise StartFault(
            "A real provider cannot be hurried: --speed goes with --demo, and with none under `providers.custom`."
        )
    return ScaledClock(speed, time.time() if since is None else since)


def _print_json(addresses: Addresses) -> None:

    sys.stdout.write(json.dumps(asdict(addresses)) + "\n")
    sys.stdout.flush()


def _banner(addresses: Addresses, services: Services, settings: Settings, *, demo: bool) -> str:
    auth_mode = settings.auth.mode
    wants_token = auth_mode != "local"
    of_demo = " --demo" if demo else ""
    lines = [
        f"EXAI {__version__} is ready.",
        "",
        f"  WebSocket         {addresses.mcp_ws}",
        f"  Streamable HTTP   {addresses.mcp_http}",
        f"  health, metrics   {addresses.operations}",
        f"  error reports     {addresses.errors}",
        f"  answers from      {_providers(services, demo=demo)}",
        *([f"  keeps its data in {settings.data_dir}, apart from the ordinary ones"] if demo else []),
        *_purse(settings),
        *(
            [f"  tokens            {auth_mode}; make one: exai token create NAME{of_demo}"]
            if wants_token
            else []
        ),
        "",
        "Connect a client (`exai init` writes this for Claude Code, Codex, Cursor, VS Code and others):",
    ]
    for snippet in snippets(addresses.mcp_http, addresses.mcp_ws, executable(), wants_token=wants_token):
        lines += ["", f"  {snippet.title}", *(f"    {line}" for line in snippet.text.splitlines())]
    lines += ["", "Stop with Ctrl-C; running calls may finish.", ""]
    return "\n".join(lines)


def _purse(settings: Settings) -> list[str]:
    """Say what may be spent by itself, where the settings allow that."""
    investigation = settings.investigation
    if investigation.mode != "auto":
        return []
    return [
        f"  investigations    by themselves, for up to {investigation.daily_usd:g} USD in any 24 hours "
        "(`investigation.*`)"
    ]


def _providers(services: Services, *, demo: bool) -> str:
    names = services.configured_providers
    if not demo:
        return ", ".join(names)
    real = [name for name in names if name not in EMULATED_PROVIDERS]
    emulator = "the built-in emulator, which plays GLM and Kimi, and every answer says so"
    return f"{emulator}; {', '.join(real)} as ever" if real else emulator
