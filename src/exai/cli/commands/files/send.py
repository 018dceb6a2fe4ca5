"""`exai files send`: places a copy of a stored file at a provider."""

from typing import Annotated

import typer

from exai.cli.command_group import new_app
from exai.cli.options import AsJson, ConfigFile, Overrides, WhichData
from exai.cli.stored_files.access import Owner, Place
from exai.cli.stored_files.listing import as_json_text
from exai.cli.stored_files.own_copies import OwnCopies, with_copies
from exai.files.kinds import VIDEOS
from exai.providers.remote_files.copies import Copy
from exai.providers.remote_files.stored_source import StoredSource
from exai.storage.files.copy_rows import Method

__all__ = ["app"]

app = new_app()

PICTURES = frozenset({"png", "jpeg", "gif", "webp"})


@app.command("send")
def send(
    file_id: Annotated[str, typer.Argument(metavar="ID", help="As `exai files ls` shows it.")],
    to: Annotated[str, typer.Option("--to", metavar="PROVIDER", help="kimi or glm.")],
    purpose: Annotated[
        str | None,
        typer.Option(
            metavar="PURPOSE", help="The provider's name for what it is for. Left out: by its kind."
        ),
    ] = None,
    as_json: AsJson = False,
    owner: Owner = None,
    config_file: ConfigFile = None,
    overrides: Overrides = None,
    demo: WhichData = None,
) -> None:
    """Place a copy of a stored file at a provider, unless it has one that is good.

    Works in the data folder, with and without the daemon. The copy goes when the file is removed, or unused for long.
    """

    async def sent(own: OwnCopies) -> Copy:
        row = await own.shelf.get(own.owner, file_id)
        source = StoredSource(own.shelf, own.owner, row)
        deadline = own.clock.monotonic() + own.settings.timeouts.call_s
        for_what = purpose or _purpose(to, row.kind)
        return await own.remote.copy(own.owner, source, to, for_what, Method.GATEWAY, deadline=deadline)

    copy = with_copies(Place(config_file, overrides, owner=owner, demo=demo), sent)
    if as_json:
        expires = None if copy.expires_at is None else copy.expires_at.isoformat()
        described = {
            "copy": copy.copy_id,
            "provider": copy.provider,
            "id": copy.file_id,
            "expires_at": expires,
        }
        typer.echo(as_json_text({**described, "sent": copy.was_sent}))
        return
    verb = "sent" if copy.was_sent else "is there already"
    typer.echo(f"{file_id}  {verb}: {copy.file_id} at {copy.provider} ({copy.copy_id})")


def _purpose(provider: str, kind: str) -> str:
    if provider == "glm":
        return "user_data"
    if kind in PICTURES:
        return "image"
    return "video" if kind in VIDEOS else "file-extract"
