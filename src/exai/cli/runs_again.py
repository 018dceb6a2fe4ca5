"""Asks for a run of a workflow once more, by the tool that began it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from exai.callers import LOCAL_SUBJECT
from exai.cli.data_choice import ChosenData
from exai.cli.reviewing.stages import StageLine
from exai.cli.terminal.asking import Place, call_once, serve_options
from exai.client.connection import Answer
from exai.config.values import is_loopback
from exai.errors import StartFault
from exai.storage.workflows.archive import RunArchive
from exai.storage.workflows.runs import Run

__all__ = ["Again", "Credentials", "RunId", "Url", "arguments_of", "report_of"]

RunId = Annotated[str, typer.Argument(metavar="RUN", help="As `exai workflows list` shows it.")]
Url = Annotated[
    str | None,
    typer.Option(
        "--url", metavar="URL", help="The daemon, as ws://host:port/mcp. Left out: as the settings have it."
    ),
]
Credentials = Annotated[
    Path | None,
    typer.Option(
        "--credentials",
        metavar="FILE",
        help="What `exai token create --save FILE` wrote, of the owner.",
    ),
]


@dataclass(frozen=True)
class Again:
    """Where a run is asked for again."""

    chosen: ChosenData
    config_file: Path | None
    overrides: list[str]
    url: str | None
    credentials: Path | None

    async def ask(self, run: Run, arguments: dict[str, Any]) -> Answer:
        """Call the run's tool with its arguments.

        Raises:
            StartFault: it is somebody else's run, or nobody could be asked.
            typer.Exit: the call failed.
        """
        if run.owner != LOCAL_SUBJECT and self.credentials is None:
            owner = run.owner if run.owner.isprintable() else ascii(run.owner)
            raise StartFault(f"The run is {owner}'s. Give `--credentials` of that subject.")
        may_start = self.url is None and is_loopback(self.chosen.settings.server.host)
        options = serve_options(self.config_file, self.overrides, demo=self.chosen.loaded.demo)
        place = Place(self.url or self.chosen.address, may_start, options, self.credentials)
        stages = StageLine()
        try:
            answer = await call_once(place, run.tool, arguments, stages.show)
        finally:
            stages.end()
        if answer.is_error:
            typer.echo(answer.text, err=True)
            raise typer.Exit(1)
        if (answer.structured or {}).get("estimated_usd") is not None:
            typer.echo(
                "Nothing was asked: give `--budget`, as such a run costs more than may be spent unasked.",
                err=True,
            )
            typer.echo(answer.text, err=True)
            raise typer.Exit(1)
        return answer


async def arguments_of(archive: RunArchive, run: Run) -> dict[str, Any]:
    """Return the arguments of the call that began a run.

    Raises:
        StartFault: they were not kept.
    """
    if run.form == "guided":
        raise StartFault("The run is of the guided form: it goes on with its caller's next step.")
    kept = await archive.arguments(run.workflow_id)
    if kept is None:
        raise StartFault(
            "What was asked for was too long to be kept with the run, or is of an older version."
        )
    return dict(json.loads(kept))


def report_of(answer: Answer) -> dict[str, Any]:
    """Return the report beside an answer."""
    return dict(answer.meta.get("exai/report") or {})
