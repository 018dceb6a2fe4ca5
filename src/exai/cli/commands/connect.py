"""`exai connect`: relays stdin and stdout to a running daemon, through cut connections and restarts."""

from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from exai.cli.command_group import new_app
from exai.cli.event_loop import run
from exai.cli.options import ConfigFile, Overrides, load_settings
from exai.cli.running import daemon_address
from exai.client.bridge import serve_bridge
from exai.client.tokens import client_tokens, host_of
from exai.config import client as config_client
from exai.config.values import is_loopback
from exai.monitoring import logs

__all__ = ["app"]

app = new_app()


@app.command("connect")
def connect(
    url: Annotated[
        str | None,
        typer.Argument(help="The daemon, as ws://host:port/mcp. Left out: as the settings have it."),
    ] = None,
    config_file: ConfigFile = None,
    overrides: Overrides = None,
    credentials: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="What `exai token create --save FILE` wrote; its token is refreshed automatically. Left out: the "
            "token in EXAI_TOKEN, or the file that EXAI_CREDENTIALS names.",
        ),
    ] = None,
    root: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FOLDER",
            help="A further folder whose files calls may name, beside the one it is started in; may be repeated.",
        ),
    ] = None,
    files: Annotated[
        bool | None,
        typer.Option(
            "--files/--no-files",
            help="Send the files that calls name to the daemon. Left out: where it is on another machine.",
        ),
    ] = None,
    patience: Annotated[
        float,
        typer.Option(min=0.0, help="Seconds that a request waits for a daemon that cannot be reached."),
    ] = 10.0,
) -> None:
    """Serve one MCP client over stdin and stdout from a running `exai serve`; what MCP clients start.

    Goes on through cut connections and restarts of the daemon.
    """
    settings = load_settings(config_file, overrides, trust_cwd=False).settings
    token = None if credentials is not None else config_client.token_variable()
    logs.configure(settings.logging, secrets=() if token is None else (token,))
    if url is None:
        url = daemon_address(settings.server)
    tokens = client_tokens(url, token=token, file=credentials or config_client.credentials_variable())
    limit = settings.websocket.max_frame_bytes
    carries = files if files is not None else not is_loopback(host_of(url))
    if not carries:
        run(serve_bridge(url, tokens, patience_s=patience, max_line_bytes=limit))
        return
    # Imported by its name: HTTP and the rules of folders take a while, and only this needs them.
    bridge = import_module("exai.client.carrying_bridge")
    roots = [Path.cwd(), *(root or [])]
    run(bridge.serve_carrying_bridge(url, tokens, roots, patience_s=patience, max_line_bytes=limit))
