"""`exai files show`: describes a stored file."""

import typer

from exai.cli.command_group import new_app
from exai.cli.options import AsJson, ConfigFile, Overrides, WhichData
from exai.cli.stored_files.access import Credentials, FileId, Owner, Place, Url, with_files
from exai.cli.stored_files.listing import as_json_text, description

__all__ = ["app"]

app = new_app()


@app.command("show")
def show(
    file_id: FileId,
    as_json: AsJson = False,
    url: Url = None,
    credentials: Credentials = None,
    owner: Owner = None,
    config_file: ConfigFile = None,
    overrides: Overrides = None,
    demo: WhichData = None,
) -> None:
    """Describe a stored file."""
    place = Place(config_file, overrides, url, credentials, owner, demo)
    entry = with_files(place, lambda files: files.get(file_id))
    typer.echo(as_json_text(entry) if as_json else description(entry))
