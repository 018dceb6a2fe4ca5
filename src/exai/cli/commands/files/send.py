"""`exai files send`: places a copy of a stored file at a provider."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from exai.cli.command_group import new_app
from exai.cli.data_choice import choose_data
from exai.cli.event_loop import run
from exai.cli.options import AsJson, ConfigFile, Overrides, WhichData
from exai.cli.stored_files.access import FileId, Owner
from exai.cli.stored_files.listing import as_json_text
from exai.cli.stored_files.own_copies import OwnCopies, with_copies
from exai.client.connection import CallFailed, connect
from exai.errors import FileRefused, StartFault
from exai.files.faults import SecretFound
from exai.providers.remote_files.copies import Copy

__all__ = ["app"]

app = new_app()

NO_DEMONSTRATION = "start it with `exai serve --demo`, and send again. For the ordinary data: --no-demo."


@app.command("send")
def send(
    file_id: FileId,
    to: Annotated[str, typer.Option("--to", metavar="PROVIDER", help="kimi or glm.")],
    purpose: Annotated[
        str | None,
        typer.Option(
            metavar="PURPOSE", help="The provider's name for what it is for. Left out: by its kind."
        ),
    ] = None,
    send_secrets: Annotated[
        bool, typer.Option("--send-secrets", help="Send it as it is, also what looks like a secret in it.")
    ] = False,
    as_json: AsJson = False,
    owner: Owner = None,
    config_file: ConfigFile = None,
    overrides: Overrides = None,
    demo: WhichData = None,
) -> None:
    """Place a copy of a stored file at a provider, unless it has one that is good.

    Works in the data folder, with and without the daemon; in a demonstration by its daemon. The copy goes when the file
    is removed, or unused for long.
    """

    async def sent(own: OwnCopies) -> Copy:
        row = await own.shelf.get(own.owner, file_id)
        deadline = own.clock.monotonic() + own.settings.timeouts.call_s
        try:
            return await own.placer.place(
                own.owner, row, to, purpose, deadline=deadline, sends_secrets=send_secrets
            )
        except (SecretFound, FileRefused) as fault:
            typer.echo(f"{fault} `--send-secrets` sends it as it is.", err=True)
            raise typer.Exit(1) from None

    chosen = choose_data(config_file, overrides, demo)
    if chosen.loaded.demo and owner is None and not send_secrets and (daemon := chosen.daemon) is not None:
        arguments = {"action": "send", "id": file_id, "provider": to, "purpose": purpose}
        _tell_of(run(_sent_by(daemon.mcp_ws, arguments)), to, as_json=as_json)
        return
    copy = with_copies(chosen, sent, owner=owner, of_demonstration=NO_DEMONSTRATION)
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


async def _sent_by(url: str, arguments: Mapping[str, str | None]) -> Mapping[str, Any]:
    """Have a daemon send it, whose providers are inside it.

    Raises:
        StartFault: it cannot be asked.
        typer.Exit: it refused.
    """
    given = {name: value for name, value in arguments.items() if value is not None}
    try:
        async with connect(url) as session:
            answer = await session.call("files", given)
    except CallFailed as fault:
        raise StartFault(str(fault)) from None
    if answer.is_error:
        typer.echo(answer.text, err=True)
        raise typer.Exit(1)
    return answer.structured or {}


def _tell_of(sent: Mapping[str, Any], provider: str, *, as_json: bool) -> None:
    if as_json:
        typer.echo(as_json_text({"provider": provider, "id": sent["provider_id"]}))
    else:
        typer.echo(f"{sent['id']}  is there: {sent['provider_id']} at {provider}")
