"""`exai review`: a change or files, reviewed from the terminal, by a hook or in CI."""

import os
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import typer

from exai.cli.command_group import new_app
from exai.cli.data_choice import choose_data
from exai.cli.event_loop import run
from exai.cli.options import ConfigFile, Overrides
from exai.cli.reviewing.asking import CannotReview, Reviewer
from exai.cli.reviewing.choices import FailOn, Format, Kind, Place, Wanted
from exai.cli.reviewing.formats import written
from exai.cli.reviewing.hook import install_hook, uninstall_hook
from exai.cli.reviewing.output import OutputFile, opened, print_out
from exai.cli.reviewing.page import safe
from exai.cli.reviewing.review_answer import ReviewAnswer
from exai.cli.reviewing.stages import StageLine
from exai.cli.reviewing.subject import Subject
from exai.cli.stored_files.access import Credentials, Url
from exai.workflows.review.categories import Severity

__all__ = ["app"]

EXIT_FINDINGS = 1
EXIT_USAGE = 2
EXIT_NOT_REVIEWED = 3

app = new_app()


@app.command("review")
def review(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="PATH...", help="Files or folders: of the change, or without one as they are, whole."
        ),
    ] = None,
    staged: Annotated[bool, typer.Option("--staged", help="What is staged for the next commit.")] = False,
    base: Annotated[
        str | None, typer.Option(metavar="REF", help="All since the work left REF, as main; commits too.")
    ] = None,
    span: Annotated[
        str | None, typer.Option("--range", metavar="A..B", help="What changed from commit A to commit B.")
    ] = None,
    kind: Annotated[Kind, typer.Option(help="What is looked for.")] = "full",
    depth: Annotated[
        Literal["quick", "standard", "deep"] | None,
        typer.Option(help="How often it is read, and what it costs."),
    ] = None,
    focus: Annotated[str | None, typer.Option(metavar="TEXT", help="What matters most, in words.")] = None,
    output_format: Annotated[
        Format, typer.Option("--format", help="For people, for programs, or for a forge.")
    ] = "text",
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Where it is written in that format; stdout then has the text for people."
        ),
    ] = None,
    fail_on: Annotated[
        FailOn, typer.Option(help="The least severity that makes the command end with code 1.")
    ] = "high",
    min_severity: Annotated[
        Severity | None,
        typer.Option(
            help="The least severity that is shown. Left out: medium, or that of --fail-on if it is less."
        ),
    ] = None,
    max_findings: Annotated[int | None, typer.Option(min=1, help="How many are shown.")] = None,
    budget: Annotated[
        float | None, typer.Option(metavar="USD", min=0.0, help="What it may cost, in dollars.")
    ] = None,
    fail_open: Annotated[
        bool,
        typer.Option("--fail-open", help="End with code 0 and a warning where nothing could be reviewed."),
    ] = False,
    install: Annotated[
        bool,
        typer.Option(
            "--install-hook",
            help="Have git run `exai review --staged` before each commit, with the options given.",
        ),
    ] = False,
    uninstall: Annotated[bool, typer.Option("--uninstall-hook", help="Remove that hook.")] = False,
    files: Annotated[
        bool | None,
        typer.Option(
            "--files/--no-files",
            help="Send the folder to the daemon. Left out: where the daemon cannot read it itself.",
        ),
    ] = None,
    demo: Annotated[
        bool | None,
        typer.Option(
            "--demo/--no-demo",
            help="Ask the built-in emulator, without any key and on data of its own; or never it. Left out: the "
            "daemon that runs here.",
        ),
    ] = None,
    url: Url = None,
    credentials: Credentials = None,
    config_file: ConfigFile = None,
    overrides: Overrides = None,
) -> None:
    """Have a change or files reviewed by models, and see only what was checked.

    Without options: all that is not committed. Exit codes: 0 nothing at or above --fail-on, 1 findings, 2 wrong usage,
    3 not reviewed.
    """
    wanted = Wanted(
        format=output_format,
        kind=kind,
        depth=depth,
        focus=focus,
        fail_on=fail_on,
        min_severity=min_severity,
        max_findings=max_findings,
        budget=budget,
        fail_open=fail_open,
    )
    place = Place(url, credentials, config_file, tuple(overrides or ()), files, demo)
    if demo and url is not None:
        raise typer.BadParameter("name a daemon by --url, or the demonstration by --demo")
    if install or uninstall:
        if paths or staged or base or span or output or (install and uninstall):
            raise typer.BadParameter(
                "--install-hook and --uninstall-hook take no change, no file and no output"
            )
        _change_hook([*wanted.as_options(), *place.as_options()] if install else None)
        return
    choose = partial(Subject.chosen, Path.cwd(), paths or [], staged=staged, base=base, span=span)
    choose()  # what is wrong with it is said before a file is touched
    with nullcontext() if output is None else opened(output) as file:
        _review(choose(written=() if file is None else file.paths), wanted, place, file)


def _review(subject: Subject, wanted: Wanted, place: Place, file: OutputFile | None) -> None:
    """Review, show what came of it, and end with the code that says so.

    Raises:
        typer.Exit: with that code.
        StartFault: a setting is wrong, or the review cannot be written.
    """
    try:
        review = _asked(subject, wanted, place)
    except CannotReview as fault:
        if wanted.fail_open and not fault.is_usage:
            typer.echo(f"exai: warning: not reviewed: {fault}", err=True)
            return
        typer.echo(f"exai: not reviewed: {fault}", err=True)
        raise typer.Exit(EXIT_USAGE if fault.is_usage else EXIT_NOT_REVIEWED) from None
    if file is not None:
        file.write(written(review, wanted, colours=False).encode(errors="replace"))
    shown = wanted if file is None else msgspec.structs.replace(wanted, format="text")
    print_out(written(review, shown, colours=_has_colours()))
    if wanted.fail_on != "never" and review.has_as_severe(wanted.fail_on):
        raise typer.Exit(EXIT_FINDINGS)
    if review.is_partial:
        typer.echo("exai: the review is not whole, as its notes say.", err=True)
        raise typer.Exit(0 if wanted.fail_open else EXIT_NOT_REVIEWED)


def _asked(subject: Subject, wanted: Wanted, place: Place) -> ReviewAnswer:
    stages = StageLine()
    chosen = choose_data(place.config_file, place.overrides, place.demo)
    reviewer = Reviewer(chosen, place, stages.show)
    try:
        return run(reviewer.review(subject, wanted.arguments))
    finally:
        stages.end()
        for note in reviewer.notes:
            typer.echo(safe(note), err=True)


def _has_colours() -> bool:
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _change_hook(options: Sequence[str] | None) -> None:
    """Write the hook with these options, or remove it.

    Raises:
        StartFault: there is one of somebody else.
    """
    if options is not None:
        typer.echo(f"{install_hook(Path.cwd(), options)} reviews what is staged before each commit.")
        return
    place = uninstall_hook(Path.cwd())
    typer.echo("There is no hook of EXAI." if place is None else f"{place} is removed.")
