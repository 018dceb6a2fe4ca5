"""`exai config`: every setting in force, and where it came from."""

from typing import Annotated

import typer

from exai.cli.command_group import new_app
from exai.cli.options import ConfigFile, OfDemo, Overrides, load_settings
from exai.cli.settings_report import as_document, as_table

__all__ = ["app"]

app = new_app()


@app.command("config")
def config(
    config_file: ConfigFile = None,
    overrides: Overrides = None,
    demo: OfDemo = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Print every setting and where it came from; secrets are masked."""
    loaded = load_settings(config_file, overrides, demo=demo)
    typer.echo(as_document(loaded) if as_json else as_table(loaded))
