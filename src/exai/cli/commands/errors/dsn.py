"""`exai errors dsn`: addresses to which programs report errors."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, TypeVar
from urllib.parse import urlsplit

import msgspec
import typer

from exai.cli.columns import table
from exai.cli.command_group import new_app
from exai.cli.data_choice import choose_data
from exai.cli.errors.asking import opened_database
from exai.cli.options import AsJson, ConfigFile, Overrides, WhichData
from exai.cli.running import running_daemons
from exai.config import Settings
from exai.error_tracking.ingestion.intake import sha256_of
from exai.errors import StartFault
from exai.runtime.clock import SystemClock
from exai.storage.error_tracking.projects import Project, ProjectTables, ProjectUse, Trust
from exai.web.hosts import EVERY_ADDRESS

__all__ = ["app"]

HEAD = ("project", "number", "trust", "reports", "taken", "repeated", "not kept", "broken", "lost")
DAY = timedelta(days=1)

T = TypeVar("T")

LONGEST_NAME = 100


def _new_name(given: str) -> str:
    if not given.strip() or not given.isprintable() or len(given) > LONGEST_NAME:
        raise typer.BadParameter(
            f"a program's name is one line of 1 to {LONGEST_NAME} characters that can be shown"
        )
    return given


Name = Annotated[str, typer.Argument(metavar="NAME", help="Of the program that reports.")]
NewName = Annotated[
    str, typer.Argument(metavar="NAME", callback=_new_name, help="Of the program that reports.")
]

app = new_app(name="dsn", no_args_is_help=True)


@app.callback()
def dsn() -> None:
    """Make, list, replace and revoke addresses to which programs report errors."""


class MadeDsn(msgspec.Struct, frozen=True):
    """An address that was made; nobody is shown it again."""

    project: str
    number: int
    dsn: str


@app.command("create")
def create(
    name: NewName,
    private: Annotated[
        bool,
        typer.Option(
            "--private", help="Nobody else can know the address; without it, it may stand in a web page."
        ),
    ] = False,
    as_json: AsJson = False,
    config_file: ConfigFile = None,
    overrides: Overrides = None,
    demo: WhichData = None,
) -> None:
    """Make an address to which a program reports errors by any Sentry SDK; it is shown once."""
    settings, key = choose_data(config_file, overrides, demo).settings, secrets.token_hex(16)
    trust: Trust = "private" if private else "public"
    made = _run(settings, lambda projects: projects.create(name, trust, sha256_of(key)))
    if made is None:
        raise StartFault(
            f"There is a project {_shown(name)} already. `exai errors dsn rotate` gives it a new key."
        )
    _tell(settings, made, key, as_json=as_json)


@app.command("list")
def listing(
    as_json: AsJson = False,
    config_file: ConfigFile = None,
    overrides: Overrides = None,
    demo: WhichData = None,
) -> None:
    """List the programs that report, with what they sent within a day; never a key."""
    settings = choose_data(config_file, overrides, demo).settings
    found = _run(settings, lambda projects: projects.listing(datetime.now(UTC) - DAY))
    if as_json:
        told = [
            {
                "project": use.project.name,
                "number": use.project.project_id,
                "trust": use.project.trust,
                "reports": use.project.dsn_key_sha256 is not None,
                **msgspec.structs.asdict(use.intake),
            }
            for use in found
        ]
        typer.echo(msgspec.json.format(msgspec.json.encode(told)).decode())
    elif found:
        typer.echo(table([HEAD, *map(_cells, found)]))
    else:
        typer.echo("There are none. `exai errors dsn create NAME` makes one.")


@app.command("rotate")
def rotate(
    name: Name,
    as_json: AsJson = False,
    config_file: ConfigFile = None,
    overrides: Overrides = None,
    demo: WhichData = None,
) -> None:
    """Give a program a new address; the one before is refused within a second."""
    settings, key = choose_data(config_file, overrides, demo).settings, secrets.token_hex(16)
    changed = _run(settings, lambda projects: projects.change_key(name, sha256_of(key)))
    _tell(settings, _known(changed, name), key, as_json=as_json)


@app.command("revoke")
def revoke(
    name: Name,
    config_file: ConfigFile = None,
    overrides: Overrides = None,
    demo: WhichData = None,
) -> None:
    """Let a program report no more; what it reported stays."""
    settings = choose_data(config_file, overrides, demo).settings
    _known(_run(settings, lambda projects: projects.change_key(name, None)), name)
    typer.echo("Revoked.")


@app.command("sources")
def sources(
    name: Name,
    repository: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FOLDER]",
            help="The checkout of git with its sources; without it, they are read no more.",
        ),
    ] = None,
    below: Annotated[str, typer.Option("--below", help="Where in the checkout the program lies.")] = "",
    config_file: ConfigFile = None,
    overrides: Overrides = None,
    demo: WhichData = None,
) -> None:
    """Say where the sources of a program are, which investigations of its errors read."""
    settings = choose_data(config_file, overrides, demo).settings
    top = None if repository is None else repository.expanduser().resolve()
    if top is not None and not (top / ".git").exists():
        raise StartFault(f"{_shown(str(top))} is no checkout of git; name the folder that has `.git`.")
    if top is not None and not (inside := (top / below).resolve()).is_dir():
        raise StartFault(f"{_shown(str(inside))} is no folder; `--below` names one of the checkout.")
    changed = _run(
        settings,
        lambda projects: projects.name_sources(name, None if top is None else str(top), below or None),
    )
    _known(changed, name)
    typer.echo(
        "Its sources are read no more." if top is None else f"Its sources are read from {_shown(str(top))}."
    )


def _run(settings: Settings, work: Callable[[ProjectTables], Awaitable[T]]) -> T:
    async def on_rows() -> T:
        async with opened_database(settings) as database:
            return await work(ProjectTables(database, SystemClock()))

    return asyncio.run(on_rows())


def _tell(settings: Settings, project: Project, key: str, *, as_json: bool) -> None:
    address = f"http://{key}@{_reports_host(settings)}/{project.project_id}"
    made = MadeDsn(project.name, project.project_id, address)
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(made)).decode())
    else:
        typer.echo(made.dsn)


def _reports_host(settings: Settings) -> str:
    """Return host and port to which programs report: those of a daemon on these data, else of the settings."""
    for daemon in running_daemons(settings.data_dir):
        if daemon.errors:
            return urlsplit(daemon.errors).netloc
    server = settings.server
    host = EVERY_ADDRESS.get(server.host, server.host)
    return f"{f'[{host}]' if ':' in host else host}:{server.errors_port}"


def _known(project: Project | None, name: str) -> Project:
    if project is None:
        raise StartFault(f"No project {_shown(name)} reports. `exai errors dsn list` has them.")
    return project


def _shown(name: str) -> str:
    return ascii(name)[1:-1]


def _cells(use: ProjectUse) -> Sequence[str]:
    project, intake = use.project, use.intake
    return (
        project.name if project.name.isprintable() else ascii(project.name),
        str(project.project_id),
        project.trust,
        "no" if project.dsn_key_sha256 is None else "yes",
        *(str(getattr(intake, name)) for name in ("events", "repeated", "not_kept", "broken", "lost")),
    )
