"""`exai token`: makes, lists, ends and replaces tokens; works with and without a running daemon.

Whoever can write the database is the administrator, so these commands require no token.
"""

import asyncio
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from exai.auth.authority import IssuedTokens
from exai.auth.summaries import TokenSummary
from exai.cli.authority import open_authority
from exai.cli.columns import table
from exai.cli.command_group import new_app
from exai.cli.data_choice import choose_data
from exai.cli.options import AsJson, ConfigFile, Overrides, WhichData
from exai.client.credentials_file import Credentials, write_credentials
from exai.errors import StartFault
from exai.runtime.os_errors import reason_of
from exai.runtime.private_files import prove_writable

__all__ = ["app"]

SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
ID_OR_NAME = "As `exai token list` shows it; its name will do where no other active one has it."
COLUMNS = ("id", "kind", "name", "subject", "scopes", "used", "until", "state")

Save = Annotated[
    Path | None,
    typer.Option(
        "--save",
        metavar="FILE",
        help="Write a credentials file for `exai connect` and exai.client, instead of printing the secrets.",
    ),
]


app = new_app(no_args_is_help=True, help="Make, list, end and replace tokens and API keys.")


@app.command("create")
def create(
    name: Annotated[str, typer.Argument(help="What it is for, such as `laptop`; for people.")],
    config_file: ConfigFile = None,
    overrides: Overrides = None,
    demo: WhichData = None,
    subject: Annotated[
        str | None,
        typer.Option(
            "--subject",
            help="Its principal: conversations, files and limits belong to the subject. Default: the name.",
        ),
    ] = None,
    scopes: Annotated[
        list[str] | None,
        typer.Option("--scope", help="What it may do, such as tools:models. May be repeated."),
    ] = None,
    lifetime: Annotated[
        str | None,
        typer.Option(
            "--lifetime",
            metavar="TIME",
            help="Such as 90s, 15m, 12h or 30d; then without a refresh token.",
        ),
    ] = None,
    renewable: Annotated[
        bool | None,
        typer.Option("--refresh/--no-refresh", help="With a refresh token or without one."),
    ] = None,
    key: Annotated[
        bool, typer.Option("--key", help="A random API key, which lives until it is revoked.")
    ] = False,
    save: Save = None,
    as_json: AsJson = False,
) -> None:
    """Make a token for one client; its secrets are shown this once."""
    settings = choose_data(config_file, overrides, demo).settings
    chosen = None if lifetime is None else _duration(lifetime)
    if key and renewable is not None:
        raise typer.BadParameter("an API key has no refresh token", param_hint="--key")
    _prepare(save)

    async def made() -> IssuedTokens:
        async with open_authority(settings) as authority:
            if key:
                return await authority.create_key(subject or name, name, scopes, chosen)
            return await authority.create(subject or name, name, scopes, chosen, renewable=renewable)

    _hand_over(asyncio.run(made()), save, as_json=as_json)


@app.command("list")
def listing(
    config_file: ConfigFile = None,
    overrides: Overrides = None,
    demo: WhichData = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Also those that ended within the last month.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List tokens and API keys, the newest first."""
    settings = choose_data(config_file, overrides, demo).settings

    async def found() -> list[TokenSummary]:
        async with open_authority(settings) as authority:
            return [row for row in await authority.listing() if everything or row.state == "active"]

    rows = asyncio.run(found())
    if as_json:
        typer.echo(json.dumps(msgspec.to_builtins(rows), indent=2))
    elif rows:
        typer.echo(table([COLUMNS, *(_cells(row) for row in rows)]))
    else:
        typer.echo("There are none. Make one: `exai token create NAME`.")


@app.command("revoke")
def revoke(
    token: Annotated[str | None, typer.Argument(metavar="ID", help=ID_OR_NAME)] = None,
    config_file: ConfigFile = None,
    overrides: Overrides = None,
    demo: WhichData = None,
    subject: Annotated[
        str | None,
        typer.Option(
            "--subject", help="Instead of one token: all that was issued to this principal up to now."
        ),
    ] = None,
    issuer: Annotated[
        str | None,
        typer.Option(
            "--issuer",
            help="The name under auth.issuers (or `shared`) whose token it is; ID is its jti then.",
        ),
    ] = None,
) -> None:
    """End a token, or everything of a principal; open sockets close within a second."""
    settings = choose_data(config_file, overrides, demo).settings
    if (token is None) == (subject is None) or (subject is not None and issuer is not None):
        raise typer.BadParameter("name one token by its ID or name, or a principal with --subject")

    if issuer is not None and issuer not in settings.auth.issuer_names:
        raise typer.BadParameter("there is no such issuer", param_hint="--issuer")

    async def ended() -> str:
        async with open_authority(settings) as authority:
            if subject is not None:
                count = await authority.revoke_subject(subject)
                return f"Everything issued to {subject} up to now has ended, {count} of EXAI's own tokens among it."
            if issuer is not None:
                await authority.revoke(token or "", issuer=issuer)
                return f"{token} has ended."
            token_id = await authority.id_of(token or "")
            await authority.revoke(token_id)
            return f"{token} has ended." if token == token_id else f"{token} ({token_id}) has ended."

    typer.echo(asyncio.run(ended()))


@app.command("rotate")
def rotate(
    token: Annotated[str, typer.Argument(metavar="ID", help=ID_OR_NAME)],
    config_file: ConfigFile = None,
    overrides: Overrides = None,
    demo: WhichData = None,
    save: Save = None,
    as_json: AsJson = False,
) -> None:
    """Replace a token by one like it; the old one ends at the same moment."""
    settings = choose_data(config_file, overrides, demo).settings
    _prepare(save)

    async def made() -> IssuedTokens:
        async with open_authority(settings) as authority:
            return await authority.rotate(await authority.id_of(token))

    _hand_over(asyncio.run(made()), save, as_json=as_json)


def _duration(text: str) -> timedelta:
    found = re.fullmatch(r"([0-9]{1,6})([smhd])", text)
    if found is None:
        raise typer.BadParameter("write it as 90s, 15m, 12h or 30d", param_hint="--lifetime")
    return timedelta(seconds=int(found[1]) * SECONDS[found[2]])


def _hand_over(issued: IssuedTokens, save: Path | None, *, as_json: bool) -> None:
    """Write the secrets into a private file, or print them; never both.

    Raises:
        StartFault: the file could not be written after all, so the secrets were printed.
    """
    secrets = {
        name: value
        for name in ("access_token", "refresh_token", "expires_at")
        if (value := getattr(issued, name)) is not None
    }
    fault = None if save is None else _write(save, issued)
    saved = save if fault is None else None
    document = {
        "token_id": issued.token_id,
        "kind": issued.kind,
        "name": issued.name,
        "subject": issued.subject,
        "scopes": sorted(issued.scopes),
        **({"saved": str(saved)} if saved is not None else secrets),
    }
    if as_json:
        typer.echo(json.dumps(document, indent=2))
    else:
        lines = (f"{label.replace('_', ' '):14}{_shown(label, value)}" for label, value in document.items())
        typer.echo("\n".join(lines))
    if fault is not None:
        raise fault


def _prepare(file: Path | None) -> None:
    """Prove that the file can be written, before a token is created or ended."""
    if file is None:
        return
    try:
        prove_writable(file)
    except OSError as error:
        raise StartFault(
            f"The credentials file {file} cannot be written ({reason_of(error)}), so nothing was made; name another."
        ) from error


def _write(file: Path, issued: IssuedTokens) -> StartFault | None:
    """Write the file; return the error when it cannot be written any more."""
    try:
        write_credentials(file, Credentials(issued.access_token, issued.refresh_token, issued.expires_at))
    except OSError as error:
        return StartFault(
            f"The credentials file {file} cannot be written ({reason_of(error)}); the token was made all the same "
            "and is printed instead."
        )
    return None


def _shown(label: str, value: object) -> str:
    if isinstance(value, list):
        return " ".join(value)
    return _moment(value) if label == "expires_at" and isinstance(value, float) else str(value)


def _moment(seconds: float) -> str:

    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _cells(row: TokenSummary) -> tuple[str, ...]:
    used, until = (
        "-" if moment is None else _moment(moment.timestamp())
        for moment in (row.last_used_at, row.expires_at)
    )
    return (
        row.token_id,
        row.kind,
        row.name,
        row.subject,
        " ".join(row.scopes),
        used,
        until,
        row.state,
    )
