"""`exai files put`: stores files."""

from pathlib import Path
from typing import Annotated, Any

import typer

from exai.cli.command_group import new_app
from exai.cli.options import AsJson, ConfigFile, Overrides, WhichData
from exai.cli.stored_files.access import REFUSALS, Access, Credentials, Owner, Place, Url, with_files
from exai.cli.stored_files.listing import as_json_text, file_line
from exai.cli.stored_files.sources import Source, Unreadable, progress

__all__ = ["app"]

app = new_app()


@app.command("put")
def put(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Files of this machine.")],
    name: Annotated[
        str | None, typer.Option(help="The name to store it under, for one file. Left out: its own.")
    ] = None,
    as_json: AsJson = False,
    url: Url = None,
    credentials: Credentials = None,
    owner: Owner = None,
    config_file: ConfigFile = None,
    overrides: Overrides = None,
    demo: WhichData = None,
) -> None:
    """Store files, and print their handles.

    A content that is stored already is not sent again. Exit code 1 where one of the files could not be stored.
    """
    if name is not None and len(paths) > 1:
        raise typer.BadParameter("one name is for one file", param_hint="--name")
    place = Place(config_file, overrides, url, credentials, owner, demo)

    async def stored(files: Access) -> tuple[list[dict[str, Any]], int]:
        entries, failures = [], 0
        for path in paths:
            try:
                entry = await _put(files, Source(path), name or path.name, quiet=as_json)
            except (Unreadable, *REFUSALS) as fault:
                typer.echo(f"{path}: {fault}" if not isinstance(fault, Unreadable) else str(fault), err=True)
                failures += 1
                continue
            entries.append(entry)
            if not as_json:
                typer.echo(file_line(entry))
        return entries, failures

    entries, failures = with_files(place, stored)
    if as_json:
        typer.echo(as_json_text({"files": entries}))
    if failures:
        raise typer.Exit(1)


async def _put(files: Access, source: Source, name: str, *, quiet: bool) -> dict[str, Any]:
    sha256 = await source.sha256()
    with progress(name, source.size, quiet=quiet) as on_bytes:
        return await files.put(name, sha256, source.size, lambda: source.blocks(on_bytes))
