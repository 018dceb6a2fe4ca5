"""`exai files read`: prints the text of a stored file by lines."""

import re
from typing import Annotated, Any

import typer

from exai.cli.command_group import new_app
from exai.cli.options import AsJson, ConfigFile, Overrides, WhichData
from exai.cli.stored_files.access import Access, Credentials, Owner, Place, Url, with_files
from exai.cli.stored_files.listing import as_json_text
from exai.files.store.handles import named_by

__all__ = ["app"]

app = new_app()


@app.command("read")
def read(
    file_id: Annotated[
        str,
        typer.Argument(
            metavar="ID",
            help="As `exai files ls` shows it, or its exai://files/ address, which may name lines.",
        ),
    ],
    lines: Annotated[
        str | None, typer.Option(metavar="A-B", help="These lines; also A- and A. Left out: all.")
    ] = None,
    as_json: AsJson = False,
    url: Url = None,
    credentials: Credentials = None,
    owner: Owner = None,
    config_file: ConfigFile = None,
    overrides: Overrides = None,
    demo: WhichData = None,
) -> None:
    """Print the text of a stored file, with numbered lines; of PDF and Office documents too."""
    named = named_by(file_id)
    first, last = _range(lines) if lines is not None or named.lines is None else named.lines
    place = Place(config_file, overrides, url, credentials, owner, demo)

    async def printed(files: Access) -> list[dict[str, Any]]:
        pages: list[dict[str, Any]] = []
        line: int | None = first
        while line is not None:
            page = await files.read(named.file_id, line, last)
            pages.append(page)
            if not as_json:
                typer.echo(page["text"], nl=False)
            line = page["next"]
        return pages

    pages = with_files(place, printed)
    if as_json:
        text = "".join(page["text"] for page in pages)
        typer.echo(as_json_text({**pages[0], "to": pages[-1]["to"], "next": None, "text": text}))
    elif pages[0]["not_whole"]:
        typer.echo(f"This is not the whole document: {pages[0]['not_whole']}", err=True)


def _range(given: str | None) -> tuple[int, int | None]:
    if given is None:
        return 1, None
    found = re.fullmatch(r"([0-9]{1,12})(-([0-9]{1,12})?)?", given)
    if found is None or int(found[1]) < 1:
        raise typer.BadParameter("write it as 10-20, 10- or 10", param_hint="--lines")
    first = int(found[1])
    if found[2] is None:
        return first, first
    last = None if found[3] is None else int(found[3])
    if last is not None and last < first:
        raise typer.BadParameter("the last line is before the first", param_hint="--lines")
    return first, last
