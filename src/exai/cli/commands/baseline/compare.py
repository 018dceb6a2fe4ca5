"""`exai baseline compare`: what became slower."""

import asyncio
from typing import Annotated

import msgspec
import typer

from exai.cli.baselines.access import use_baselines
from exai.cli.command_group import new_app
from exai.cli.data_choice import choose_data
from exai.cli.options import AsJson, ConfigFile, Overrides, WhichData
from exai.monitoring.baselines.baselines import Baselines
from exai.monitoring.baselines.comparison import Change, compare
from exai.monitoring.baselines.markdown import changes_as_markdown

__all__ = ["app"]

EXIT_WORSE = 1
EXIT_NOT_ENOUGH = 3

app = new_app()


@app.command("compare")
def compare_baselines(
    before: Annotated[str, typer.Argument(metavar="BEFORE")],
    after: Annotated[str, typer.Argument(metavar="AFTER")],
    as_json: AsJson = False,
    config_file: ConfigFile = None,
    overrides: Overrides = None,
    demo: WhichData = None,
) -> None:
    """Say what became slower from one baseline to another.

    Worse is what takes more than 10 % longer at p50, or 20 % at p95, and surely longer: of all that is called worse,
    one in twenty is by chance. Exit code 1: something is worse; 3: not enough calls to say anything.
    """
    settings = choose_data(config_file, overrides, demo).settings

    async def read(baselines: Baselines) -> list[Change]:
        return compare(await baselines.report(before), await baselines.report(after))

    changes = asyncio.run(use_baselines(settings, read))
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(changes)).decode())
    else:
        typer.echo(changes_as_markdown(before, after, changes), nl=False)
    if any(change.verdict == "worse" for change in changes):
        raise typer.Exit(EXIT_WORSE)
    if all(change.verdict == "not enough" for change in changes):
        if not as_json:
            typer.echo("Not enough calls that both have to say anything; p50 needs 6 of each, p95 needs 72.")
        raise typer.Exit(EXIT_NOT_ENOUGH)
