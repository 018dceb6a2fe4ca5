"""`exai keys`: the keys that EXAI signs tokens with; works with and without a running daemon."""

import asyncio
import json
from typing import Annotated, Literal

import msgspec
import typer

from exai.auth.summaries import KeySummary
from exai.cli.authority import open_authority
from exai.cli.command_group import new_app
from exai.cli.data_choice import choose_data
from exai.cli.options import AsJson, ConfigFile, Overrides, WhichData

__all__ = ["app"]

app = new_app(no_args_is_help=True, help="List and replace the keys that sign tokens.")


@app.command("list")
def listing(
    config_file: ConfigFile = None,
    overrides: Overrides = None,
    demo: WhichData = None,
    as_json: AsJson = False,
) -> None:
    """List the signing keys, the newest first."""
    settings = choose_data(config_file, overrides, demo).settings

    async def found() -> list[KeySummary]:
        async with open_authority(settings) as authority:
            return await authority.keys()

    rows = asyncio.run(found())
    if as_json:
        typer.echo(json.dumps(msgspec.to_builtins(rows), indent=2))
    elif rows:
        typer.echo("\n".join(_line(row) for row in rows))
    else:
        typer.echo("There are none yet; the first token creates one.")


@app.command("rotate")
def rotate(
    config_file: ConfigFile = None,
    overrides: Overrides = None,
    demo: WhichData = None,
    algorithm: Annotated[
        Literal["ES256", "EdDSA"] | None,
        typer.Option("--algorithm", help="Of the new key; default: auth.algorithm."),
    ] = None,
    at_once: Annotated[
        bool,
        typer.Option(
            "--now",
            help="A key was stolen: end whatever the old keys signed at once. Clients refresh their tokens with "
            "their refresh tokens; API keys stay valid.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Sign with a new key from now on; the old one verifies until its tokens have expired."""
    settings = choose_data(config_file, overrides, demo).settings

    async def made() -> KeySummary:
        async with open_authority(settings) as authority:
            return await authority.rotate_keys(algorithm=algorithm, at_once=at_once)

    row = asyncio.run(made())
    typer.echo(json.dumps(msgspec.to_builtins(row), indent=2) if as_json else _line(row))


def _line(row: KeySummary) -> str:
    ends = row.verifies_until if row.state == "verifies" else None
    until = "" if ends is None else f" until {ends:%Y-%m-%d %H:%M} UTC"
    return f"{row.kid}  {row.algorithm}  since {row.created_at:%Y-%m-%d %H:%M} UTC  {row.state}{until}"
