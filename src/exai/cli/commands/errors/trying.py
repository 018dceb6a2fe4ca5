"""`exai errors try`: apply the patch of a report in a temporary work tree, and run a command of the user's there.

Only this command does so, started by a person; the daemon has no way to it.
"""

import asyncio
import shutil
import tempfile
from asyncio.subprocess import PIPE, Process
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from exai.cli.command_group import new_app
from exai.cli.data_choice import choose_data
from exai.cli.errors.asking import Group, as_number, ask
from exai.cli.errors.interruption import run_interruptibly
from exai.cli.options import ConfigFile, Overrides, WhichData
from exai.error_tracking.investigation.report import PatchCheck
from exai.errors import StartFault
from exai.runtime import tasks

__all__ = ["app"]

PATIENCE_S = 5.0
"""For a command that is ended."""

app = new_app()
Command = Annotated[
    str, typer.Option("--command", help="What to run in the work tree, by `sh -c`, as your own user.")
]


@app.command("try")
def try_patch(
    group: Group,
    command: Command,
    config_file: ConfigFile = None,
    overrides: Overrides = None,
    demo: WhichData = None,
) -> None:
    """Apply the proposed patch in a temporary work tree of the release's commit, and run your command there.

    A model wrote the patch: read it first (`exai errors show`), as your command runs what it changes. The exit code is
    that of the command; the work tree is removed afterwards.
    """
    settings = choose_data(config_file, overrides, demo).settings
    number = as_number(group)
    details = asyncio.run(ask(settings, lambda console: console.shown(number)))
    report = None if details.investigation is None else details.investigation.report
    if report is None or report.fix.kind != "patch":
        raise StartFault(f"The report on E-{number} proposes no patch; `exai errors show E-{number}` has it.")
    check = report.fix.check
    if check is None or not check.applies:
        raise StartFault(
            f"The patch for E-{number} does not apply: {' '.join(check.problems) if check else ''}"
        )
    raise typer.Exit(run_interruptibly(_tried(report.fix.patch, check, command)))


async def _tried(patch: str, check: PatchCheck, command: str) -> int:
    git = shutil.which("git")
    if git is None:
        raise StartFault(
            "Trying a patch needs git, and no folder of PATH has it. Install git, or apply the patch by hand: "
            "`exai errors show` prints it."
        )
    with tempfile.TemporaryDirectory(prefix="exai-try-") as folder:
        tree = str(Path(folder) / "tree")
        try:
            await _run(
                git, "-C", check.repository, "worktree", "add", "--quiet", "--detach", tree, check.commit
            )
            await _run(git, "-C", tree, "apply", "--index", "-", text=patch)
            typer.echo(f"The patch is applied in {tree}, at commit {check.commit[:12]}.", err=True)
            running = await asyncio.create_subprocess_exec("/bin/sh", "-c", command, cwd=tree)
            return await _ended(running)
        finally:
            await _remove(git, check.repository, tree)


async def _ended(running: Process) -> int:
    """Wait for the end of a command; who is cancelled ends it."""
    try:
        return await running.wait()
    except asyncio.CancelledError:
        with suppress(ProcessLookupError):
            running.terminate()
        try:
            await asyncio.wait_for(running.wait(), PATIENCE_S)
        except TimeoutError:
            running.kill()
        raise


async def _remove(git: str, repository: str, tree: str) -> None:
    """Remove a work tree and git's note of it, also one that was made by half."""
    try:
        await _run(git, "-C", repository, "worktree", "remove", "--force", tree)
    except StartFault:
        shutil.rmtree(tree, ignore_errors=True)
        await _run(git, "-C", repository, "worktree", "prune")


async def _run(*program: str, text: str = "") -> None:
    """Run a program to its end, also for whoever is cancelled: git leaves nothing by half.

    Raises:
        StartFault: it failed.
    """
    process = await asyncio.create_subprocess_exec(*program, stdin=PIPE, stdout=PIPE, stderr=PIPE)
    talking = tasks.spawn(process.communicate(text.encode()), name=program[0])
    try:
        _, told = await asyncio.shield(talking)
    except asyncio.CancelledError:
        await talking
        raise
    if process.returncode:
        said = told.decode(errors="replace").strip()[:500]
        raise StartFault(f"`{' '.join(program[:5])}` failed: {said}")
