"""`exai workflows replay`: asks anew what a run was asked, and shows what differs."""

import difflib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import msgspec
import typer

from exai.cli.columns import table
from exai.cli.command_group import new_app
from exai.cli.data_choice import ChosenData, choose_data
from exai.cli.event_loop import run as run_loop
from exai.cli.options import AsJson, ConfigFile, Overrides, WhichData
from exai.cli.run_rows import open_runs, unknown_run
from exai.cli.runs_again import Again, Credentials, RunId, Url, arguments_of, report_of
from exai.client.connection import Answer
from exai.errors import StartFault
from exai.storage.workflows.archive import OVER
from exai.storage.workflows.runs import Run
from exai.workflows.outcomes import Outcome

__all__ = ["app"]

app = new_app()


@app.command("replay")
def replay(
    workflow_id: RunId,
    url: Url = None,
    credentials: Credentials = None,
    budget: Annotated[
        float | None, typer.Option(metavar="USD", min=0.0, help="What it may cost, in dollars.")
    ] = None,
    as_json: AsJson = False,
    config_file: ConfigFile = None,
    overrides: Overrides = None,
    demo: WhichData = None,
) -> None:
    """Run what a run was asked once more, as a new run, and show what differs.

    Asks the running daemon; where none runs, it starts one for the run.
    """
    chosen = choose_data(config_file, overrides, demo)
    again = Again(chosen, config_file, overrides or [], url, credentials)

    async def replayed() -> tuple[Run, Answer]:
        async with open_runs(chosen.settings) as (archive, _):
            found = await archive.get(workflow_id)
            if found is None:
                raise unknown_run(workflow_id)
            if found.state not in OVER:
                raise StartFault(
                    f"It is {found.state}, and the same words go on with it: `exai workflows resume` does, and "
                    "`exai workflows cancel` ends it first."
                )
            arguments = await arguments_of(archive, found)
            if budget is not None:
                arguments["budget_usd"] = budget
        async with _set_aside(chosen, workflow_id):
            return found, await again.ask(found, arguments)

    found, answer = run_loop(replayed())
    before, after = _before(found), _after(answer)
    difference = _difference(before, after)
    if as_json:
        document = {"before": before, "after": after, "difference": difference}
        typer.echo(json.dumps(document, indent=2, ensure_ascii=False))
        return
    rows = [(name, _cell(before[name]), _cell(after[name])) for name in before if name != "answer"]
    typer.echo(table([("", "before", "now"), *rows]))
    typer.echo("\n" + ("\n".join(difference) if difference else "The answer is the same, to the letter."))


@asynccontextmanager
async def _set_aside(chosen: ChosenData, workflow_id: str) -> AsyncIterator[None]:
    """Have no call answered with the run within this scope, and from then on; without an answer it is put back."""
    async with open_runs(chosen.settings) as (archive, _):
        await archive.set_aside(workflow_id)
    is_answered = False
    try:
        yield
        is_answered = True
    finally:
        if not is_answered:
            async with open_runs(chosen.settings) as (archive, _):
                await archive.put_back(workflow_id)


def _before(found: Run) -> dict[str, Any]:
    outcome = None if found.answer is None else msgspec.json.decode(found.answer, type=Outcome)
    if outcome is None:
        return _facts(found.workflow_id, (), [], {}, "")
    costs = [stage.cost_usd for stage in outcome.stages]
    return _facts(found.workflow_id, outcome.models, costs, outcome.citations, outcome.answer)


def _after(answer: Answer) -> dict[str, Any]:
    report, said = report_of(answer), answer.structured or {}
    models = tuple(str(said.get("model_used", "")).split(", "))
    costs = [stage.get("cost_usd") for stage in report.get("stages", ())]
    run = str(report.get("workflow_id", ""))
    return _facts(run, models, costs, report.get("citations") or {}, str(said.get("answer", "")))


def _facts(
    workflow_id: str,
    models: tuple[str, ...],
    costs: list[float | None],
    citations: dict[str, int],
    answer: str,
) -> dict[str, Any]:
    return {
        "run": workflow_id,
        "models": list(models),
        "requests": len(costs),
        "dollars": None if None in costs else round(sum(cost for cost in costs if cost is not None), 6),
        "citations": citations,
        "answer": answer,
    }


def _difference(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Return the answers' differences as a unified diff."""
    was, now = (str(each["answer"]).splitlines() for each in (before, after))
    return list(difflib.unified_diff(was, now, "before", "now", lineterm=""))


def _cell(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{count} {name}" for name, count in value.items()) or "-"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "-"
    return "-" if value is None else str(value)
