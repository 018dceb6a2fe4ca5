"""`exai connect`: stdin and stdout to a running daemon, through cuts and restarts."""

from typing import Annotated

import typer

from exai.cli.options import ConfigFile, Overrides, load_settings

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command("connect")
    def connect(
        url: Annotated[
            str | None,
            typer.Argument(help="The daemon, as ws://host:port/mcp. Left out: as the settings have it."),
        ] = None,
        config_file: ConfigFile = None,
        overrides: Overrides = None,
        patience: Annotated[
            float,
            typer.Option(min=0.0, help="Seconds that a request waits for a daemon that cannot be reached."),
        ] = 10.0,
    ) -> None:
        """Serve one MCP client over stdin and stdout from a running `exai serve`; what MCP clients start.

        Goes on through cut connections and restarts of the daemon.
        """
        from exai import logs  # noqa: PLC0415 - see exai.cli
        from exai.cli.event_loop import run  # noqa: PLC0415
        from exai.transports.bridge import serve_bridge  # noqa: PLC0415

        settings = load_settings(config_file, overrides, trust_cwd=False).settings
        logs.configure(settings.logging)
        if url is None:
            host = f"[{settings.server.host}]" if ":" in settings.server.host else settings.server.host
            url = f"ws://{host}:{settings.server.port}/mcp"
        run(serve_bridge(url, patience_s=patience, max_line_bytes=settings.websocket.max_frame_bytes))
