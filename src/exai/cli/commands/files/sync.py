"""`exai files sync`: keeps a folder as a snapshot."""

from pathlib import Path
from typing import Annotated

import typer

from exai.cli.command_group import new_app
from exai.cli.options import AsJson, ConfigFile, Overrides, WhichData
from exai.cli.stored_files.access import Access, Credentials, Owner, Place, Url, with_files
from exai.cli.stored_files.listing import as_json_text, size_of
from exai.client.folder_sync import Synced, sync_folder

__all__ = ["app"]

app = new_app()


@app.command("sync")
def sync(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder of this machine.")],
    as_json: AsJson = False,
    url: Url = None,
    credentials: Credentials = None,
    owner: Owner = None,
    config_file: ConfigFile = None,
    overrides: Overrides = None,
    demo: WhichData = None,
) -> None:
    """Keep a folder as it is now, sending only what is new, and print the snapshot's id.

    What `.gitignore` excludes is left out, and so are links and files that seem to hold secrets, which are listed.
    """
    place = Place(config_file, overrides, url, credentials, owner, demo)

    async def synced(files: Access) -> Synced:
        return await sync_folder(files, folder)

    result = with_files(place, synced)
    if as_json:
        typer.echo(as_json_text(_described(result)))
        return
    for each in result.listing.left_out:
        why = ", as it seems to hold a secret" if each.is_secret else f" ({each.why})"
        typer.echo(f"left out{why}: {_printable(each.path)}", err=True)
    typer.echo(
        f"{result.tree_id}  {result.sent_files:,} of {len(result.listing.entries):,} files sent, "
        f"{size_of(result.sent_bytes)}"
    )


def _described(result: Synced) -> dict[str, object]:
    listing = result.listing
    return {
        "id": result.tree_id,
        "files": len(listing.entries),
        "bytes": listing.bytes,
        "sent_files": result.sent_files,
        "sent_bytes": result.sent_bytes,
        "secrets": [each.path for each in listing.left_out if each.is_secret],
        "left_out": [{"path": each.path, "why": each.why} for each in listing.left_out],
    }


def _printable(path: str) -> str:
    return path if path.isprintable() else ascii(path)
