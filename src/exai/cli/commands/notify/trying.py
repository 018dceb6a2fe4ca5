"""`exai notify test`: a message to each webhook, now."""

import asyncio
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated

import msgspec
import typer

from exai.app.watching.notification import operations_url
from exai.cli.command_group import new_app
from exai.cli.data_choice import choose_data
from exai.cli.options import AsJson, ConfigFile, Overrides, WhichData
from exai.config import Settings
from exai.config.watching.notify import Webhook
from exai.errors import StartFault
from exai.monitoring.notification.messages import TEST, encoded
from exai.monitoring.notification.webhook import PostFailed, post
from exai.runtime.clock import SystemClock

__all__ = ["app"]

app = new_app()


class Tried(msgspec.Struct, frozen=True):
    """What a webhook answered."""

    number: int
    address: str
    failure: str | None
    """`None`: it accepted the message."""


@app.command("test")
def try_webhooks(
    number: Annotated[
        int | None, typer.Argument(metavar="[WEBHOOK]", help="Its number in `exai notify list`. Unset: all.")
    ] = None,
    as_json: AsJson = False,
    config_file: ConfigFile = None,
    overrides: Overrides = None,
    demo: WhichData = None,
) -> None:
    """Post a message to each webhook now, and say what it answers. Exit code 1 if one does not accept it."""
    settings = choose_data(config_file, overrides, demo).settings
    chosen = [
        (place, webhook)
        for place, webhook in enumerate(settings.notify.webhooks, start=1)
        if number in {None, place}
    ]
    if not settings.notify.webhooks:
        raise StartFault(
            "There is no webhook. `notify.webhooks` in the settings names them (docs/operations.md)."
        )
    if not chosen:
        raise StartFault("There is no such webhook. `exai notify list` has them; the settings name them.")
    tried = asyncio.run(_try(settings, chosen))
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(tried)).decode())
    else:
        for each in tried:
            typer.echo(f"{each.number}  {each.address}  {each.failure or 'accepted'}")
    if any(each.failure is not None for each in tried):
        raise typer.Exit(1)


async def _try(settings: Settings, chosen: Sequence[tuple[int, Webhook]]) -> list[Tried]:
    return list(await asyncio.gather(*(_try_one(settings, *each) for each in chosen)))


async def _try_one(settings: Settings, number: int, webhook: Webhook) -> Tried:
    told = {"id": "", "title": "EXAI can tell you what happens", "counts": {}}
    body = encoded(TEST, datetime.now(UTC), told, operations_url(settings), webhook.format)
    secret = settings.notify.secret
    try:
        await post(
            webhook,
            body,
            f"msg_{secrets.token_hex(12)}",
            secret=None if secret is None else secret.get_secret_value(),
            clock=SystemClock(),
        )
    except PostFailed as failure:
        return Tried(number, webhook.place, str(failure))
    return Tried(number, webhook.place, None)
