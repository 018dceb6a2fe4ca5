"""`exai version`: the version of this package."""

import typer

from exai.cli.command_group import new_app
from exai.runtime.version import __version__

__all__ = ["app"]

app = new_app()


@app.command("version")
def version() -> None:
    """Print the version."""
    typer.echo(f"exai {__version__}")
