"""The command `exai`: words to settings, and faults to sentences.

Commands import what they need when they run: `exai --help` and a shell loop over `exai version` stay cheap.
"""

import sys

import typer

from exai.cli.commands import (
    config,
    connect,
    dashboard,
    doctor,
    init,
    keys,
    migrate,
    models,
    serve,
    stdio,
    token,
    usage,
)
from exai.errors import ExaiError
from exai.runtime.version import __version__

__all__ = ["build_app", "main"]

EXIT_CANNOT_START = 2
EXIT_INTERRUPTED = 130


def build_app() -> typer.Typer:
    """The command line with every command on it."""
    app = typer.Typer(
        name="exai",
        help="EXAI: GLM and Kimi models behind one MCP endpoint for coding agents.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )

    @app.callback(invoke_without_command=True)
    def exai(
        version: bool = typer.Option(False, "--version", help="Print the version and leave.", is_eager=True),
    ) -> None:
        if version:
            _print_version()
            raise typer.Exit

    for command in (
        serve,
        stdio,
        connect,
        dashboard,
        models,
        init,
        config,
        doctor,
        migrate,
        usage,
        token,
        keys,
    ):
        command.register(app)

    @app.command("version")
    def version() -> None:
        """Print the version."""
        _print_version()

    return app


def main() -> None:
    """The entry point: a fault is one sentence on stderr and exit code 2."""
    try:
        build_app()(prog_name="exai")
    except ExaiError as fault:
        sys.stderr.write(f"exai: {fault}\n")
        sys.exit(EXIT_CANNOT_START)
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)


def _print_version() -> None:
    typer.echo(f"exai {__version__}")
