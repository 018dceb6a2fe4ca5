"""The command `exai`: parses the command line, and turns an error into one sentence on stderr."""

import sys

import typer

from exai.cli.command_group import CommandGroup, new_app
from exai.errors import ExaiError
from exai.protocol.surrogates import is_text
from exai.runtime.version import __version__

__all__ = ["build_app", "main"]

NO_TEXT = "An argument is no text in the encoding of this terminal. Write it anew; nothing was done with it."
EXIT_CANNOT_START = 2
EXIT_INTERRUPTED = 130


def build_app() -> typer.Typer:
    """Build the command line with every command on it."""
    app = new_app(
        name="exai",
        cls=CommandGroup,
        help="EXAI: GLM and Kimi models behind one MCP endpoint for coding agents.",
        no_args_is_help=True,
        add_completion=True,
    )

    @app.callback(invoke_without_command=True)
    def exai(
        version: bool = typer.Option(False, "--version", help="Print the version and leave.", is_eager=True),
    ) -> None:
        if version:
            typer.echo(f"exai {__version__}")
            raise typer.Exit

    return app


def main() -> None:
    """Run the command; exit with code 2 and one sentence on stderr when it raises one of our errors."""
    try:
        build_app()(prog_name="exai")
    except ExaiError as fault:
        sys.stderr.write(f"exai: {fault}\n")
        sys.exit(EXIT_CANNOT_START)
    except UnicodeEncodeError:
        if all(map(is_text, sys.argv)):
            raise
        sys.stderr.write(f"exai: {NO_TEXT}\n")
        sys.exit(EXIT_CANNOT_START)
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
