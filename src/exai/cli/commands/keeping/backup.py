"""`exai backup`: all that a SQLite installation keeps, in one file."""

from pathlib import Path
from typing import Annotated

import typer

from exai.cli.command_group import new_app
from exai.cli.keeping.backup import write_backup
from exai.cli.keeping.places import places_of
from exai.cli.options import ConfigFile, OfDemo, Overrides, load_settings
from exai.cli.stored_files.listing import size_of

__all__ = ["app"]

app = new_app()


@app.command("backup")
def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A new file; it gets mode 600.")],
    config_file: ConfigFile = None,
    overrides: Overrides = None,
    demo: OfDemo = False,
) -> None:
    """Write database, stored files, jobs and signing keys into one private file.

    A daemon may run meanwhile. The file holds what was said and the keys that sign tokens, in the clear: keep it as
    you keep these.
    """
    settings = load_settings(config_file, overrides, demo=demo).settings
    written = write_backup(places_of(settings), file.absolute())
    typer.echo(f"{file}: {size_of(written.bytes)}, {written.contents} contents.")
    if settings.files.store != "folder":
        typer.echo(f"exai: stored files are in {settings.files.store}, and not in the backup.", err=True)
    if written.missing:
        typer.echo(
            f"exai: {len(written.missing)} contents had no bytes to back up; `exai files check` names them.",
            err=True,
        )
