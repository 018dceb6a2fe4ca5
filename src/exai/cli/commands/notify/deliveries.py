"""`exai notify deliveries`: what webhooks were told."""

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
import typer

from exai.cli.columns import table
from exai.cli.command_group import new_app
from exai.cli.data_choice import choose_data
from exai.cli.delivery_rows import open_deliveries
from exai.cli.options import AsJson, ConfigFile, Overrides, WhichData
from exai.config import Settings
from exai.storage.notices.deliveries import Delivery, DeliveryState
from exai.storage.notices.writing import target_of

__all__ = ["app"]

HEAD = ("at", "webhook", "kind", "id", "state", "attempts", "failure")

app = new_app()


@app.command("deliveries")
def deliveries(
    state: Annotated[
        DeliveryState | None, typer.Option("--state", help="Only those in this state.", show_default=False)
    ] = None,
    most: Annotated[int, typer.Option("--most", min=1, max=10_000, help="How many at most.")] = 50,
    as_json: AsJson = False,
    config_file: ConfigFile = None,
    overrides: Overrides = None,
    demo: WhichData = None,
) -> None:
    """List what webhooks were told, the latest first; what is over, for 30 days."""
    settings = choose_data(config_file, overrides, demo).settings
    found = asyncio.run(_read(settings, state, most))
    numbers = {
        target_of(webhook.url.get_secret_value()): number
        for number, webhook in enumerate(settings.notify.webhooks, start=1)
    }
    if as_json:
        told = [_told(each, numbers.get(each.target)) for each in found]
        typer.echo(msgspec.json.format(msgspec.json.encode(told)).decode())
    elif found:
        typer.echo(table([HEAD, *(_cells(_told(each, numbers.get(each.target))) for each in found)]))
    else:
        typer.echo("Nothing.")


async def _read(settings: Settings, state: DeliveryState | None, most: int) -> Sequence[Delivery]:
    async with open_deliveries(settings) as rows:
        return await rows.listing(state=state, most=most)


def _told(delivery: Delivery, number: int | None) -> dict[str, Any]:
    return {
        "delivery_id": delivery.delivery_id,
        "at": delivery.at,
        "webhook": number,
        "kind": delivery.kind,
        **msgspec.json.decode(delivery.body),
        "state": delivery.state,
        "attempts": delivery.attempts,
        "next_at": delivery.next_at if delivery.state == "due" else None,
        "ended_at": delivery.ended_at,
        "failure": delivery.failure,
    }


def _cells(told: dict[str, Any]) -> tuple[str, ...]:
    return (
        told["at"].strftime("%Y-%m-%d %H:%M:%S"),
        "gone" if told["webhook"] is None else str(told["webhook"]),
        *(str(told[name]) for name in ("kind", "id", "state", "attempts")),
        told["failure"] or "",
    )
