"""`exai files ls`: lists stored files."""

from typing import Annotated, Any

import typer

from exai.cli.command_group import new_app
from exai.cli.options import AsJson, ConfigFile, Overrides, WhichData
from exai.cli.stored_files.access import Access, Credentials, Owner, Place, Url, with_files
from exai.cli.stored_files.listing import as_json_text, file_lines

__all__ = ["app"]

PAGE = 100
"""How many the daemon lists at a time."""

app = new_app()


@app.command("ls")
def listing(
    most: Annotated[int, typer.Option("--most", min=1, help="How many to show.")] = PAGE,
    as_json: AsJson = False,
    url: Url = None,
    credentials: Credentials = None,
    owner: Owner = None,
    config_file: ConfigFile = None,
    overrides: Overrides = None,
    demo: WhichData = None,
) -> None:
    """List stored files, newest first."""
    place = Place(config_file, overrides, url, credentials, owner, demo)

    async def listed(files: Access) -> tuple[list[dict[str, Any]], bool]:
        rows: list[dict[str, Any]] = []
        after: str | None = None
        while len(rows) < most:
            page = await files.newest(min(PAGE, most - len(rows)), after)
            rows += page["files"]
            if (after := page["next"]) is None:
                break
        return rows, after is not None

    rows, is_cut = with_files(place, listed)
    if as_json:
        typer.echo(as_json_text({"files": rows, "next": rows[-1]["id"] if is_cut else None}))
    elif rows:
        typer.echo(file_lines(rows))
        if is_cut:
            typer.echo("\nThere are more; --most shows them.")
    else:
        typer.echo("There are none. Store one: `exai files put PATH`.")
