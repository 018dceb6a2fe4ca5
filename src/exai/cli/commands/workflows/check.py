"""`exai workflows check`: a definition, before a daemon starts with it."""

from pathlib import Path
from typing import Annotated

import typer

from exai.cli.command_group import new_app
from exai.errors import StartFault
from exai.workflows.definitions import Workflow, bundled_workflows, read_definition

__all__ = ["app"]

app = new_app()


@app.command("check")
def check(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE...", help="NAME.toml, with its prompt NAME.md beside it."),
    ],
) -> None:
    """Check a definition as the daemon does at its start: every name in it, its conditions and its prompt.

    Exit code 1: one is wrong.
    """
    wrong = False
    for file in files:
        try:
            workflow = read_definition(file)
            _check_tool(workflow)
        except StartFault as fault:
            typer.echo(str(fault), err=True)
            wrong = True
        else:
            typer.echo(_line(file, workflow))
    if wrong:
        raise typer.Exit(1)


def _check_tool(workflow: Workflow) -> None:
    known = bundled_workflows()
    if workflow.name not in known:
        raise StartFault(
            f"The workflow {workflow.name} is run by no tool; those that can be replaced are "
            f"{', '.join(sorted(known))}."
        )


def _line(file: Path, workflow: Workflow) -> str:
    definition = workflow.definition
    stages = ", ".join(stage.name for stage in definition.stage)
    budget = definition.budget
    return (
        f"{file}: {definition.name} {definition.version}, stages {stages}; at most {budget.requests} requests, "
        f"${budget.usd:g}, {budget.seconds:g} s"
    )
