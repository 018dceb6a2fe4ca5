"""`exai files proof`: tells where the content of a file was, and how it went."""

from collections.abc import Iterator, Mapping
from typing import Any

import typer

from exai.cli.command_group import new_app
from exai.cli.options import AsJson, ConfigFile, Overrides, WhichData
from exai.cli.stored_files.access import Credentials, FileId, Owner, Place, Url, with_files
from exai.cli.stored_files.listing import as_json_text, copy_line

__all__ = ["app"]

app = new_app()


@app.command("proof")
def prove(
    file_id: FileId,
    as_json: AsJson = False,
    url: Url = None,
    credentials: Credentials = None,
    owner: Owner = None,
    config_file: ConfigFile = None,
    overrides: Overrides = None,
    demo: WhichData = None,
) -> None:
    """Tell where the content of a file was, and how it went; also of one that was removed.

    When its bytes went is told to whoever runs EXAI, without the daemon: it depends on whether others have the content.
    """
    place = Place(config_file, overrides, url, credentials, owner, demo)
    proof = with_files(place, lambda files: files.proof(file_id))
    typer.echo(as_json_text(proof) if as_json else "\n".join(_lines(proof)))


def _lines(proof: Mapping[str, Any]) -> Iterator[str]:
    yield f"{proof['id']}  sha256 {proof['sha256']}"
    yield f"stored   {proof['created_at']}"
    yield f"removed  {proof['removed_at']}" if "removed_at" in proof else "removed  no"
    if "removed_at" in proof and proof.get("still_needed"):
        yield "         another file of the same owner has the content"
    if "bytes_deleted_at" in proof:
        yield f"bytes    deleted {proof['bytes_deleted_at']}"
    copies = proof.get("copies", [])
    if not copies:
        yield "copies   none was ever sent, or none that is still known"
    for copy in copies:
        yield f"copy     {copy_line(copy)}"
