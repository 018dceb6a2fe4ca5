"""`exai migrate`: brings the database to the schema that this version needs."""

import asyncio

import typer

from exai.cli.command_group import new_app
from exai.cli.options import ConfigFile, OfDemo, Overrides, load_settings
from exai.storage.database import migrate_database

__all__ = ["app"]

app = new_app()


@app.command("migrate")
def migrate(config_file: ConfigFile = None, overrides: Overrides = None, demo: OfDemo = False) -> None:
    """Bring the database to the schema that this version needs. Back it up first."""
    settings = load_settings(config_file, overrides, demo=demo).settings
    before, after = asyncio.run(migrate_database(settings.database, settings.data_dir))
    if before == after:
        typer.echo(f"The database has schema {after} already; nothing to do.")
    else:
        typer.echo(
            f"The database went from {'nothing' if before is None else f'schema {before}'} to {after}."
        )
