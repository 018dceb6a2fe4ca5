"""`exai errors try`: apply the patch of a report in a temporary work tree, and run a command of the user's there.

Only this command does so, started by a person; the daemon has no way to it.
"""

import asyncio
import shutil
import tempfile
from asyncio.subprocess import PIPE
from pathlib import Path
from typing import Annotated

import typer

from exai.cli.command_group import new_app
from exai.cli.data_choice import choose_data
from exai.cli.errors.asking import Group, as_number, ask
from exai.cli.options import ConfigFile, Overrides, WhichData
from exai.error_tracking.investigation.report import PatchCheck
from exai.errors import StartFault

__all__ = ["app"]

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
    raise typer.Exit(asyncio.run(_tried(report.fix.patch, check, command)))


async def _tried(patch: str, check: PatchCheck, command: str) -> int:
    git = shutil.which("git")
    if git is None:
        raise StartFault(
            "Trying a patch needs git, and no folder of PATH has it. Install git, or apply the patch by hand: "
            "`exai errors show` prints it."
        )
    in_repository = (git, "-C", check.repository, "worktree")
    with tempfile.TemporaryDirectory(prefix="exai-try-") as folder:
        tree = str(Path(folder) / "tree")
        await _run(*in_repository, "add", "--quiet", "--detach", tree, check.commit)
        try:
            await _run(git, "-C", tree, "apply", "--index", "-", text=patch)
            typer.echo(f"The patch is applied in {tree}, at commit {check.commit[:12]}.", err=True)
            running = await asyncio.create_subprocess_exec("/bin/sh", "-c", command, cwd=tree)
            return await running.wait()
        finally:
            await _run(*in_repository, "remove", "--force", tree)


async def _run(*program: str, text: str = "") -> None:
    """Run a program to its end.

    Raises:
        StartFault: it failed.
    """
    process = await asyncio.create_subprocess_exec(*program, stdin=PIPE, stdout=PIPE, stderr=PIPE)
    _, told = await process.communicate(text.encode())
    if process.returncode:
        said = told.decode(errors="replace").strip()[:500]
        raise StartFault(f"`{' '.join(program[:5])}` failed: {said}")
