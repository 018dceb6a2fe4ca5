"""`exai workflows show`: one run, step by step."""

import asyncio
from typing import Annotated

import msgspec
import typer

from exai.cli.columns import table
from exai.cli.command_group import new_app
from exai.cli.data_choice import choose_data
from exai.cli.options import AsJson, ConfigFile, Overrides, WhichData
from exai.cli.run_rows import open_runs, unknown_run
from exai.storage.workflows.runs import Run, Step
from exai.workflows.outcomes import Outcome

__all__ = ["app"]

HEAD = ("step", "kind", "state", "asked", "model", "dollars", "seconds")

app = new_app()


@app.command("show")
def show(
    workflow_id: Annotated[str, typer.Argument(metavar="RUN", help="As `exai workflows list` shows it.")],
    quiet: Annotated[
        bool, typer.Option("--no-answer", help="Nothing of what was answered, for reports to others.")
    ] = False,
    as_json: AsJson = False,
    config_file: ConfigFile = None,
    overrides: Overrides = None,
    demo: WhichData = None,
) -> None:
    """Show a run: its steps, models, dollars and seconds, and what it answered."""
    settings = choose_data(config_file, overrides, demo).settings

    async def found() -> tuple[Run, list[Step]]:
        async with open_runs(settings) as (archive, tables):
            run = await archive.get(workflow_id)
            if run is None:
                raise unknown_run(workflow_id)
            return run, await tables.steps(run)

    run, steps = asyncio.run(found())
    outcome = None if quiet or run.answer is None else msgspec.json.decode(run.answer, type=Outcome)
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(_document(run, steps, outcome))).decode())
        return
    typer.echo(_head(run))
    if steps:
        typer.echo(f"\n{table([HEAD, *(_cells(step) for step in steps)])}")
    if outcome is not None:
        typer.echo("".join(f"\nNote: {note}" for note in outcome.notes) + f"\n\n{outcome.answer}")


def _head(run: Run) -> str:
    owner = run.owner if run.owner.isprintable() else ascii(run.owner)
    facts = {
        "run": run.workflow_id,
        "tool": f"{run.tool}, definition {run.version}, {run.form} form",
        "state": run.state + (f", at {run.stage}" if run.stage else ""),
        "owner": owner,
        "conversation": run.conversation_id,
        "begun": f"{run.created_at:%Y-%m-%d %H:%M:%S}",
        "last step": f"{run.updated_at:%Y-%m-%d %H:%M:%S}",
    }
    return table(list(facts.items()))


def _cells(step: Step) -> tuple[str, ...]:
    return (
        step.step,
        step.kind,
        step.state,
        str(step.asked or "-"),
        step.model or "-",
        "-" if step.usd is None else f"{step.usd:.4f}",
        "-" if step.seconds is None else f"{step.seconds:.1f}",
    )


def _document(run: Run, steps: list[Step], outcome: Outcome | None) -> dict[str, object]:
    """Return the rows without digests, and the outputs of steps with the answer alone."""
    row = {
        name: value for name, value in msgspec.structs.asdict(run).items() if name not in {"answer", "digest"}
    }
    hidden = {"digest"} if outcome is not None else {"digest", "output"}
    told = [
        {name: value for name, value in msgspec.structs.asdict(step).items() if name not in hidden}
        for step in steps
    ]
    return {**row, "steps": told, "outcome": outcome}
