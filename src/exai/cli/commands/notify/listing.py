"""`exai notify list`: the webhooks, and what became of what they were told."""

import asyncio

import msgspec
import typer

from exai.cli.columns import table
from exai.cli.command_group import new_app
from exai.cli.data_choice import choose_data
from exai.cli.delivery_rows import open_deliveries
from exai.cli.options import AsJson, ConfigFile, Overrides, WhichData
from exai.config import Settings
from exai.config.watching.notify import KINDS, NoticeKind
from exai.storage.notices.writing import target_of

__all__ = ["app"]

HEAD = ("webhook", "address", "format", "kinds", "waiting", "sent", "in digests", "failed", "last failure")

app = new_app()


class ListedWebhook(msgspec.Struct, frozen=True, kw_only=True):
    """A webhook of the settings, with its deliveries of the last 30 days."""

    number: int
    address: str
    """Scheme, host and port; the rest may be a secret."""
    format: str
    private: bool
    kinds: tuple[NoticeKind, ...]
    waiting: int
    sent: int
    digested: int
    failed: int
    last_failure: str | None


@app.command("list")
def listing(
    as_json: AsJson = False,
    config_file: ConfigFile = None,
    overrides: Overrides = None,
    demo: WhichData = None,
) -> None:
    """List the webhooks of the settings, with what became of what they were told."""
    found = asyncio.run(_read(choose_data(config_file, overrides, demo).settings))
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(found)).decode())
    elif found:
        typer.echo(table([HEAD, *map(_cells, found)]))
    else:
        typer.echo("There are none. `notify.webhooks` in the settings names them (docs/operations.md).")


async def _read(settings: Settings) -> list[ListedWebhook]:
    async with open_deliveries(settings) as deliveries:
        counts = await deliveries.counts()
        found = []
        for number, webhook in enumerate(settings.notify.webhooks, start=1):
            target = target_of(webhook.url.get_secret_value())
            failure = await deliveries.last_failure(target)
            found.append(
                ListedWebhook(
                    number=number,
                    address=webhook.place,
                    format=webhook.format,
                    private=webhook.private,
                    kinds=webhook.kinds,
                    waiting=sum(counts.get((target, state), 0) for state in ("new", "held", "due")),
                    sent=counts.get((target, "sent"), 0),
                    digested=counts.get((target, "digested"), 0),
                    failed=counts.get((target, "failed"), 0),
                    last_failure=failure,
                )
            )
        return found


def _cells(webhook: ListedWebhook) -> tuple[str, ...]:
    return (
        str(webhook.number),
        webhook.address,
        webhook.format,
        "all" if set(webhook.kinds) == set(KINDS) else ", ".join(webhook.kinds),
        *(str(number) for number in (webhook.waiting, webhook.sent, webhook.digested, webhook.failed)),
        webhook.last_failure or "",
    )
