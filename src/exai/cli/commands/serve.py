"""`exai serve`: the daemon."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from exai.cli.options import ConfigFile, Overrides, load_settings

if TYPE_CHECKING:
    from exai.app.services import Services
    from exai.transports.listener import Addresses

__all__ = ["Demo", "Roots", "register"]

Demo = Annotated[
    bool,
    typer.Option("--demo", help="Answer from the built-in emulator, without any key; every answer says so."),
]
Roots = Annotated[
    list[Path] | None,
    typer.Option("--root", metavar="FOLDER", help="A folder whose files a call may name. May be repeated."),
]


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command("serve")
    def serve(
        config_file: ConfigFile = None,
        overrides: Overrides = None,
        roots: Roots = None,
        demo: Demo = False,
        ready_json: Annotated[
            bool,
            typer.Option(
                "--ready-json", help="Print one line of JSON with the addresses on stdout when ready."
            ),
        ] = False,
    ) -> None:
        """Run the daemon: MCP on 8079, health and metrics on 8080, until SIGTERM or Ctrl-C."""
        from exai.app.daemon import run_daemon  # noqa: PLC0415
        from exai.cli.event_loop import run  # noqa: PLC0415
        from exai.config.tree import secret_values  # noqa: PLC0415
        from exai.monitoring import logs  # noqa: PLC0415 - see exai.cli

        settings = load_settings(config_file, overrides).settings
        if roots:
            files = settings.files
            widened = (*files.roots, *(root.absolute() for root in roots))
            settings = settings.model_copy(update={"files": files.model_copy(update={"roots": widened})})
        logs.configure(settings.logging, secrets=secret_values(settings))

        def ready(addresses: "Addresses", house: "Services") -> None:
            sys.stderr.write(_banner(addresses, house, demo=demo, auth_mode=settings.auth.mode))
            if ready_json:
                _print_json(addresses)

        run(run_daemon(settings, demo=demo, on_ready=ready))


def _print_json(addresses: "Addresses") -> None:
    import json  # noqa: PLC0415 - see exai.cli
    from dataclasses import asdict  # noqa: PLC0415

    sys.stdout.write(json.dumps(asdict(addresses)) + "\n")
    sys.stdout.flush()


def _banner(addresses: "Addresses", house: "Services", *, demo: bool, auth_mode: str) -> str:
    from exai.cli.client_setup import snippets  # noqa: PLC0415
    from exai.cli.commands.init import executable  # noqa: PLC0415
    from exai.runtime.version import __version__  # noqa: PLC0415 - see exai.cli

    providers = (
        "the built-in emulator plays GLM and Kimi, and every answer says so"
        if demo
        else ", ".join(house.configured_providers)
    )
    wants_token = auth_mode != "local"
    lines = [
        f"EXAI {__version__} is ready.",
        "",
        f"  WebSocket         {addresses.mcp_ws}",
        f"  Streamable HTTP   {addresses.mcp_http}",
        f"  health, metrics   {addresses.operations}",
        f"  answers from      {providers}",
        *([f"  tokens            {auth_mode}; make one: exai token create NAME"] if wants_token else []),
        "",
        "Connect a client (`exai init` writes this for Claude Code, Cursor and VS Code):",
    ]
    for snippet in snippets(addresses.mcp_http, addresses.mcp_ws, executable(), wants_token=wants_token):
        lines += ["", f"  {snippet.title}", *(f"    {line}" for line in snippet.text.splitlines())]
    lines += ["", "Stop with Ctrl-C; running calls may finish.", ""]
    return "\n".join(lines)
