"""`exai workflows resume`: has a run that was interrupted go on."""

import json

import typer

from exai.cli.command_group import new_app
from exai.cli.data_choice import choose_data
from exai.cli.event_loop import run as run_loop
from exai.cli.options import AsJson, ConfigFile, Overrides, WhichData
from exai.cli.run_rows import open_runs, unknown_run
from exai.cli.runs_again import Again, Credentials, RunId, Url, arguments_of, report_of
from exai.client.connection import Answer
from exai.errors import StartFault
from exai.runtime.clock import SystemClock
from exai.storage.workflows.runs import RESUMED_FOR, Run, WorkflowTables

__all__ = ["app"]

app = new_app()


@app.command("resume")
def resume(
    workflow_id: RunId,
    url: Url = None,
    credentials: Credentials = None,
    as_json: AsJson = False,
    config_file: ConfigFile = None,
    overrides: Overrides = None,
    demo: WhichData = None,
) -> None:
    """Go on with a run that ended half-way; what had ended is not asked again.

    Asks the running daemon; where none runs, it starts one for the run.
    """
    chosen = choose_data(config_file, overrides, demo)
    again = Again(chosen, config_file, overrides or [], url, credentials)

    async def resumed() -> Answer:
        async with open_runs(chosen.settings) as (archive, tables):
            found = await archive.get(workflow_id)
            if found is None:
                raise unknown_run(workflow_id)
            await _check(found, tables)
            arguments = await arguments_of(archive, found)
        return await again.ask(found, arguments)

    answer = run_loop(resumed())
    report = report_of(answer)
    if as_json:
        typer.echo(json.dumps({**(answer.structured or {}), "report": report}, indent=2, ensure_ascii=False))
        return
    typer.echo(answer.text)
    if report.get("workflow_id") != workflow_id:
        typer.echo(
            "It could not go on, as its definition is another one by now; this is a new run.", err=True
        )


async def _check(found: Run, tables: WorkflowTables) -> None:
    """Check that a call goes on with a run.

    Raises:
        StartFault: none does.
    """
    if found.state == "working" and not await tables.is_over(found.process):
        raise StartFault("A call works at the run. `exai workflows show` says how far it is.")
    if found.state not in {"working", "interrupted", "partial"}:
        raise StartFault(
            f"It is {found.state}: there is nothing to go on with. `exai workflows replay` asks anew."
        )
    if SystemClock().utc() - found.updated_at > RESUMED_FOR:
        raise StartFault(
            f"Nobody worked at it for {RESUMED_FOR.total_seconds() / 3600:g} hours, so no call goes on with it. "
            "`exai workflows cancel` ends it, and `exai workflows replay` asks anew."
        )
