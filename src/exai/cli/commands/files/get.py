"""`exai files get`: fetches a stored file."""

import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

import typer

from exai.cli.command_group import new_app
from exai.cli.options import AsJson, ConfigFile, Overrides, WhichData
from exai.cli.stored_files.access import Access, Credentials, FileId, Owner, Place, Url, with_files
from exai.cli.stored_files.listing import as_json_text, size_of
from exai.cli.stored_files.sources import OnBytes, progress
from exai.cli.stored_files.target import replaced
from exai.errors import StartFault
from exai.files.store.names import storable_name

__all__ = ["app"]

STDOUT = Path("-")

app = new_app()


@app.command("get")
def get(
    file_id: FileId,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Where it is written, also over a file; - for stdout. Left out: a new file of its name, here.",
        ),
    ] = None,
    as_json: AsJson = False,
    url: Url = None,
    credentials: Credentials = None,
    owner: Owner = None,
    config_file: ConfigFile = None,
    overrides: Overrides = None,
    demo: WhichData = None,
) -> None:
    """Fetch a stored file.

    It is at its place when all of it is there and has its SHA-256, else nothing is.
    """
    place = Place(config_file, overrides, url, credentials, owner, demo)

    async def fetched(files: Access) -> tuple[dict[str, Any], Path]:
        entry = await files.get(file_id)
        target = output or Path(storable_name(entry["name"]))
        if output is None:
            _refuse_to_replace(target)
        with progress(target.name, entry["bytes"], quiet=as_json or target == STDOUT) as on_bytes:
            await _write(files.content(file_id), entry["sha256"], target, on_bytes)
        return entry, target

    entry, target = with_files(place, fetched)
    if target == STDOUT:
        return
    if as_json:
        typer.echo(as_json_text({**entry, "path": str(target)}))
    else:
        typer.echo(f"{target}  {size_of(entry['bytes'])}")


async def _write(blocks: AsyncIterator[bytes], sha256: str, target: Path, on_bytes: OnBytes) -> None:
    if target == STDOUT:
        async for block in blocks:
            sys.stdout.buffer.write(block)
        sys.stdout.buffer.flush()
        return
    with replaced(target, sha256) as file:
        async for block in blocks:
            file.write(block)
            on_bytes(len(block))


def _refuse_to_replace(target: Path) -> None:
    if target.exists():
        raise StartFault(f"{target} is there already; say where to write by `--output FILE`.")
