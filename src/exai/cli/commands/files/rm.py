"""`exai files rm`: removes stored files."""

from typing import Any

import typer

from exai.cli.command_group import new_app
from exai.cli.options import AsJson, ConfigFile, Overrides, WhichData
from exai.cli.stored_files.access import REFUSALS, Access, Credentials, FileIds, Owner, Place, Url, with_files
from exai.cli.stored_files.listing import as_json_text

__all__ = ["app"]

app = new_app()


@app.command("rm")
def remove(
    file_ids: FileIds,
    as_json: AsJson = False,
    url: Url = None,
    credentials: Credentials = None,
    owner: Owner = None,
    config_file: ConfigFile = None,
    overrides: Overrides = None,
    demo: WhichData = None,
) -> None:
    """Remove stored files.

    They are gone at once; their bytes go after a grace, unless another file has them, and their copies at providers as
    soon as these delete them. Exit code 1 where one of them could not be removed.
    """
    place = Place(config_file, overrides, url, credentials, owner, demo)

    async def removed(files: Access) -> list[dict[str, Any]]:
        answers: list[dict[str, Any]] = []
        for file_id in file_ids:
            try:
                answers.append({"id": file_id, **await files.remove(file_id)})
                outcome = f"{file_id}  removed{_pending(answers[-1])}"
            except REFUSALS as fault:
                answers.append({"id": file_id, "removed": False, "error": str(fault)})
                outcome = ""
                typer.echo(f"{file_id}: {fault}", err=True)
            if outcome and not as_json:
                typer.echo(outcome)
        return answers

    answers = with_files(place, removed)
    if as_json:
        typer.echo(as_json_text({"files": answers}))
    if not all(answer["removed"] for answer in answers):
        raise typer.Exit(1)


def _pending(answer: dict[str, Any]) -> str:
    """Say how many copies are still being deleted at providers."""
    providers = sorted({copy["provider"] for copy in answer.get("pending", [])})
    return f"; copies at {', '.join(providers)} are being deleted" if providers else ""
