"""`exai auditor observations`: what was observed, and what people think of it."""

import asyncio
from collections.abc import Sequence
from typing import Annotated

import msgspec
import typer

from exai.cli.auditor_rows import open_auditor_rows
from exai.cli.columns import table
from exai.cli.command_group import new_app
from exai.cli.data_choice import choose_data
from exai.cli.options import AsJson, ConfigFile, Overrides, WhichData
from exai.config import Settings
from exai.errors import StartFault
from exai.storage.auditor.observations import EXERCISE, Observation, ObservationState, Verdict

__all__ = ["app"]

HEAD = ("observation", "severity", "rule", "subject", "state", "times", "last seen", "judged")

app = new_app()


@app.command("observations")
def observations(
    observation_id: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="One of them, whole; left out: a list.")
    ] = None,
    state: Annotated[
        ObservationState | None, typer.Option("--state", help="Those in this state alone.")
    ] = None,
    judge: Annotated[
        Verdict | None, typer.Option("--judge", help="Say whether it was of use; rules learn from it.")
    ] = None,
    acknowledge: Annotated[
        bool, typer.Option("--acknowledge", help="Say that somebody looks at it.")
    ] = False,
    exercises: Annotated[bool, typer.Option("--exercises", help="Those of exercises too.")] = False,
    most: Annotated[int, typer.Option("--most", min=1, help="How many to show.")] = 50,
    as_json: AsJson = False,
    config_file: ConfigFile = None,
    overrides: Overrides = None,
    demo: WhichData = None,
) -> None:
    """List what the auditor observed; by id, say what became of it."""
    settings = choose_data(config_file, overrides, demo).settings
    if observation_id is None:
        if judge is not None or acknowledge:
            raise typer.BadParameter("--judge and --acknowledge need the id of an observation")
        found = asyncio.run(_listed(settings, state, most, exercises=exercises))
    else:
        found = [asyncio.run(_one(settings, observation_id, judge, acknowledge=acknowledge))]
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(found)).decode())
    elif observation_id is not None:
        typer.echo(_whole(found[0]))
    elif found:
        typer.echo(table([HEAD, *map(_cells, found)]))
    else:
        typer.echo("There are none.")


async def _listed(
    settings: Settings, state: ObservationState | None, most: int, *, exercises: bool
) -> Sequence[Observation]:
    async with open_auditor_rows(settings) as rows:
        beside = None if exercises else EXERCISE
        return await rows.observations.listing(state=state, beside=beside, most=most)


async def _one(
    settings: Settings, observation_id: str, judge: Verdict | None, *, acknowledge: bool
) -> Observation:
    async with open_auditor_rows(settings) as rows:
        found = await rows.observations.change(
            observation_id, verdict=judge, state="acknowledged" if acknowledge else None
        )
    if found is None:
        raise StartFault(
            f"There is no observation {ascii(observation_id)[1:-1]}. `exai auditor observations` lists them."
        )
    return found


def _cells(each: Observation) -> tuple[str, ...]:
    return (
        each.observation_id,
        each.severity,
        each.detector,
        each.subject if each.subject.isprintable() else ascii(each.subject),
        each.state,
        str(each.count),
        f"{each.last_at:%Y-%m-%d %H:%M}",
        each.verdict or "-",
    )


def _whole(each: Observation) -> str:
    numbers = ", ".join(f"{name} {value}" for name, value in msgspec.json.decode(each.numbers).items())
    lines = [
        table([HEAD, _cells(each)]),
        "",
        f"since  {each.first_at:%Y-%m-%d %H:%M:%S} UTC",
        f"seen   {numbers}",
        f"do     {each.recommendation}",
    ]
    if each.explanation is not None:
        lines.append(
            f"model  {each.explanation if each.explanation.isprintable() else ascii(each.explanation)}"
        )
    return "\n".join(lines)
