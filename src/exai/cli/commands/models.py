"""`exai models`: the models that can be asked with the settings in force."""

import asyncio
import json
from math import inf
from typing import Annotated

import msgspec
import typer

from exai.cli.command_group import new_app
from exai.cli.options import ConfigFile, Overrides, load_settings
from exai.cli.price_list import price_list, table
from exai.events.bus import EventBus
from exai.monitoring.provider_health import ProviderHealth
from exai.routing.breaker import Breakers
from exai.routing.router import ModelRouter
from exai.runtime.clock import SystemClock
from exai.tools.models import Models, ModelsListed
from exai.tools.system_report import ModelStates

__all__ = ["app"]

app = new_app()


@app.command("models")
def models(
    config_file: ConfigFile = None,
    overrides: Overrides = None,
    prices: Annotated[bool, typer.Option("--prices", help="Print what tokens and services cost.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """List providers and models: abilities, windows, prices, and which have a key."""
    settings = load_settings(config_file, overrides).settings

    async def listing() -> tuple[str, object]:
        clock = SystemClock()
        breakers = Breakers(settings.breaker, clock, EventBus().publish)
        router = ModelRouter.from_settings(settings.providers, settings.models, settings.timeouts, clock)
        try:
            if prices:
                listed = price_list(router)
                return table(listed), listed
            report = Models(ModelStates(router, ProviderHealth(clock), breakers)).report()
        finally:
            await router.close()
        return ModelsListed.of(report, most_tokens=inf).text(), msgspec.to_builtins(report)

    text, structured = asyncio.run(listing())
    typer.echo(json.dumps(structured, indent=2) if as_json else text)
