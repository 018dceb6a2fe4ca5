"""`exai files gc`: deletes contents that no file has any more."""

from typing import Annotated

import msgspec
import typer

from exai.cli.command_group import new_app
from exai.cli.options import AsJson, ConfigFile, Overrides, WhichData
from exai.cli.stored_files.access import Place
from exai.cli.stored_files.listing import as_json_text, size_of
from exai.cli.stored_files.own_store import in_own_store

__all__ = ["app"]

app = new_app()


@app.command("gc")
def collect(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be deleted.")] = False,
    as_json: AsJson = False,
    config_file: ConfigFile = None,
    overrides: Overrides = None,
    demo: WhichData = None,
) -> None:
    """Delete contents that no file has any more, after their grace.

    The daemon does so by itself, a few times a day. Works in the data folder, with and without it.
    """
    collected = in_own_store(
        Place(config_file, overrides, demo=demo), lambda shelf: shelf.collect(dry_run=dry_run)
    )
    if as_json:
        typer.echo(as_json_text({"dry_run": dry_run, **msgspec.to_builtins(collected)}))
        return
    verb = "Would delete" if dry_run else "Deleted"
    typer.echo(f"{verb}: {_counted(collected.contents)}, {size_of(collected.bytes)}.")
    if collected.waiting:
        typer.echo(
            f"Later, after the grace: {_counted(collected.waiting)}, {size_of(collected.waiting_bytes)}."
        )


def _counted(contents: int) -> str:
    return "1 content" if contents == 1 else f"{contents} contents"
