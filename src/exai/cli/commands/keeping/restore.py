"""`exai restore`: puts a backup back into an empty data folder."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from exai.app.file_store import open_checked_store
from exai.cli.command_group import new_app
from exai.cli.keeping.places import places_of
from exai.cli.keeping.restore import restore_backup
from exai.cli.options import ConfigFile, OfDemo, Overrides, load_settings
from exai.config import Settings
from exai.files.store.check import StoreDifferences
from exai.runtime.clock import SystemClock
from exai.storage.database import Database
from exai.storage.files.copies import CopyTables

__all__ = ["app"]

app = new_app()


@app.command("restore")
def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `exai backup` wrote.")],
    config_file: ConfigFile = None,
    overrides: Overrides = None,
    demo: OfDemo = False,
) -> None:
    """Put a backup into a data folder without a database, and compare its rows with its bytes.

    Exit code 1 where they differ.
    """
    settings = load_settings(config_file, overrides, demo=demo).settings
    manifest = restore_backup(places_of(settings), file.absolute())
    typer.echo(f"Restored {len(manifest.members)} files of {manifest.made_at:%Y-%m-%d %H:%M:%S} UTC.")
    differences = asyncio.run(_compared(settings))
    typer.echo(f"{differences.contents} contents, {differences.count} differences.")
    if differences.count:
        typer.echo("exai: `exai files check --mend` shows and repairs them.", err=True)
        raise typer.Exit(1)


async def _compared(settings: Settings) -> StoreDifferences:
    database = await Database.open(settings.database, settings.data_dir, settings.fleet)
    try:
        async with open_checked_store(settings, database, SystemClock(), CopyTables(database)) as (_, check):
            return await check.run()
    finally:
        await database.close()
