"""`exai stop`: asks the running daemon to stop, and waits until it has."""

import os
import signal
import time
from typing import Annotated

import typer

from exai.cli.command_group import new_app
from exai.cli.options import ConfigFile, Overrides, WhichData, load_settings
from exai.cli.running import RunningDaemon, running_daemons
from exai.config import Settings
from exai.config.demo import demo_data_dir
from exai.errors import StartFault

__all__ = ["app"]

CLOSING_S = 10.0
"""How long a daemon may take beyond the time in which calls finish."""
TURN_S = 0.05

app = new_app()


@app.command("stop")
def stop(
    config_file: ConfigFile = None,
    overrides: Overrides = None,
    demo: WhichData = None,
    port: Annotated[
        int | None, typer.Option(help="Of several daemons on these data: the one with this MCP port.")
    ] = None,
    now: Annotated[bool, typer.Option("--now", help="Let no running call finish.")] = False,
) -> None:
    """Stop the running daemon; running calls may finish."""
    settings = load_settings(config_file, overrides).settings
    daemon = _chosen(settings, port, demo)
    typer.echo(f"Stopping EXAI at {daemon.mcp_ws} (process {daemon.pid}).", err=True)
    _signal(daemon)
    if now:
        _signal(daemon)
    ends_at = time.monotonic() + settings.server.drain_s + CLOSING_S
    while daemon.is_alive():
        if time.monotonic() > ends_at:
            raise StartFault(
                f"EXAI (process {daemon.pid}) has not stopped yet; its log says what it waits for."
            )
        time.sleep(TURN_S)
    typer.echo("Stopped.")


def _chosen(settings: Settings, port: int | None, demo: bool | None) -> RunningDaemon:
    """Return the daemon to stop; without `--demo` and `--no-demo` it may be of either kind."""
    folders = {False: settings.data_dir, True: demo_data_dir(settings.data_dir)}
    running = {
        each: is_demo
        for is_demo, folder in folders.items()
        if demo in {None, is_demo}
        for each in running_daemons(folder)
    }
    found = [each for each in running if port in {None, each.port}]
    if not found:
        at_port = "" if port is None else f" on port {port}"
        raise StartFault(f"No daemon{at_port} runs on the data folder {folders[demo is True]}.")
    if len(found) > 1:
        ports = ", ".join(f"{each.port}{' (the demonstration)' if running[each] else ''}" for each in found)
        raise StartFault(f"Several daemons run here, on the ports {ports}; name one: --port N.")
    return found[0]


def _signal(daemon: RunningDaemon) -> None:
    try:
        os.kill(daemon.pid, signal.SIGTERM)
    except ProcessLookupError:
        return
    except PermissionError:
        raise StartFault(
            f"EXAI (process {daemon.pid}) belongs to another user, who has to stop it."
        ) from None
