"""`exai fleet`: the daemons on a database, and taking one out of service."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar

import msgspec
import typer

from exai.cli.columns import table
from exai.cli.command_group import new_app
from exai.cli.data_choice import choose_data
from exai.cli.errors.asking import opened_database
from exai.cli.options import AsJson, ConfigFile, Overrides, WhichData
from exai.config import Settings
from exai.errors import StartFault
from exai.runtime.clock import SystemClock
from exai.storage.fleet.replicas import LivingReplica, Replicas

__all__ = ["app"]

T = TypeVar("T")

app = new_app(no_args_is_help=True, help="See the daemons on a database, and take one out of service.")

HEAD = ("tag", "state", "release", "host", "since (UTC)", "last beat", "keeps house", "calls", "sessions")


@app.command("list")
def listing(
    as_json: AsJson = False,
    config_file: ConfigFile = None,
    overrides: Overrides = None,
    demo: WhichData = None,
) -> None:
    """List the daemons that have not ended, and which of them keeps house.

    One that is `late` has not beaten for `fleet.lease_s`: it was killed, stands still, or has no connection.
    """
    settings = choose_data(config_file, overrides, demo).settings
    rows = _in_database(settings, lambda replicas: replicas.not_gone(settings.fleet.lease_s))
    if as_json:
        typer.echo(json.dumps([_described(row) for row in rows], indent=2))
    elif rows:
        typer.echo(table([HEAD, *map(_cells, rows)]))
    else:
        typer.echo("No daemon is on this database.")


@app.command("drain")
def drain(
    tag: Annotated[str, typer.Argument(metavar="TAG", help="As `exai fleet list` shows it.")],
    config_file: ConfigFile = None,
    overrides: Overrides = None,
    demo: WhichData = None,
) -> None:
    """Have a daemon say that it is not ready, so that balancers send it nobody new; what it has goes on.

    Stop it, by SIGTERM or `exai stop`, when its calls have ended. A daemon that starts anew serves.
    """
    settings = choose_data(config_file, overrides, demo).settings
    if not _in_database(settings, lambda replicas: replicas.drain(tag.lower(), settings.fleet.lease_s)):
        raise StartFault(
            f"No daemon with the tag {tag[:40]!r} serves here. `exai fleet list` shows those that do."
        )
    typer.echo(f"{tag.lower()} drains: `/readyz` answers 503 from its next beat on.")


def _in_database(settings: Settings, work: Callable[[Replicas], Awaitable[T]]) -> T:
    async def worked() -> T:
        async with opened_database(settings) as database:
            if database.beats is None:
                raise StartFault(
                    "These data are in SQLite, where one daemon serves: `exai status` shows it, `exai stop` ends it. "
                    "A fleet needs `database.url` of a PostgreSQL."
                )
            return await work(Replicas(database, SystemClock()))

    return asyncio.run(worked())


def _described(row: LivingReplica) -> dict[str, object]:
    described: dict[str, object] = msgspec.to_builtins(row.row)
    described["samples"] = json.loads(row.row.samples)
    return {
        **described,
        "is_late": row.is_late,
        "beat_age_s": round(row.beat_age_s, 1),
        "is_housekeeper": row.is_housekeeper,
    }


def _cells(each: LivingReplica) -> tuple[str, ...]:
    row, samples = each.row, json.loads(each.row.samples)
    return (
        row.tag,
        f"{row.state}, late" if each.is_late else row.state,
        row.release,
        row.host,
        f"{row.began_at:%Y-%m-%d %H:%M}",
        f"{each.beat_age_s:.0f} s ago",
        "yes" if each.is_housekeeper else "",
        str(samples.get("running_calls", "")),
        str(samples.get("sessions", "")),
    )
