"""`exai baseline start`: collects what others ask."""

import asyncio
from typing import Annotated

import typer

from exai.cli.baselines.access import duration, use_baselines
from exai.cli.command_group import new_app
from exai.cli.data_choice import choose_data
from exai.cli.options import ConfigFile, Overrides, WhichData
from exai.errors import StartFault

__all__ = ["app"]

app = new_app()


@app.command("start")
def start(
    name: Annotated[str, typer.Option("--name", help="By which it is asked for.")],
    lasts: Annotated[str, typer.Option("--for", metavar="DURATION", help="As 24h, 90m or 30s.")] = "24h",
    where: Annotated[
        str, typer.Option("--where", metavar="TERMS", help="Which calls, as `tool=chat provider=glm`.")
    ] = "",
    note: Annotated[str, typer.Option("--note", help="For whoever reads the report.")] = "",
    speed: Annotated[float, typer.Option("--speed", min=1, help="Only for `load`; refused here.")] = 1.0,
    config_file: ConfigFile = None,
    overrides: Overrides = None,
    demo: WhichData = None,
) -> None:
    """Collect the calls that others make, from now on and for a while."""
    if speed != 1:
        raise StartFault(
            "What others ask cannot be hurried, and no more can a real provider: --speed is for `exai baseline load`, "
            "which then asks an emulator of its own."
        )
    chosen, lasts_for = choose_data(config_file, overrides, demo), duration(lasts)
    row = asyncio.run(
        use_baselines(
            chosen.settings, lambda baselines: baselines.start(name, lasts_for, where=where, note=note)
        )
    )
    typer.echo(f"{row.name} collects until {row.planned_end:%Y-%m-%d %H:%M:%S} UTC.")
    if chosen.daemon is None:
        typer.echo(f"exai: No daemon runs here, so nothing is collected yet. {chosen.how_to_start}", err=True)
