"""`exai init`: writes the configuration of MCP clients, after showing it."""

import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from exai.cli.client_setup import (
    CLIENTS,
    Client,
    ClientName,
    JsonObject,
    connect_entry,
    executable,
    http_entry,
    merged,
    stdio_entry,
)
from exai.cli.command_group import new_app
from exai.cli.options import ConfigFile, Overrides, load_settings
from exai.config.home import expanded
from exai.config.tree import find
from exai.errors import StartFault
from exai.runtime.os_errors import reason_of

__all__ = ["app"]

WHERE_FROM = (
    "The token itself is in none of these. Claude Code and Cursor take it from the variable EXAI_TOKEN of the shell "
    "that starts them, VS Code asks for it. `exai token create NAME --key` makes one that lasts."
)


class Transport(StrEnum):
    """How the client reaches EXAI."""

    STDIO = "stdio"
    CONNECT = "connect"
    HTTP = "http"


@dataclass(frozen=True)
class _Plan:
    """The planned change of one file."""

    client: Client
    file: Path
    before: bytes | None
    after: bytes


app = new_app()


@app.command("init")
def init(
    config_file: ConfigFile = None,
    overrides: Overrides = None,
    clients: Annotated[
        list[ClientName] | None, typer.Option("--client", help="Only this client. May be repeated.")
    ] = None,
    transport: Annotated[
        Transport,
        typer.Option(
            help="stdio starts EXAI with the client; connect and http use a running `exai serve`, connect "
            "through cuts and restarts."
        ),
    ] = Transport.STDIO,
    credentials: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="With connect: what `exai token create NAME --save FILE` wrote."),
    ] = None,
    folder: Annotated[Path, typer.Option(help="The project's folder.")] = Path(),
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Write without asking.")] = False,
) -> None:
    """Write the configuration of MCP clients, after showing it."""
    entry_for = _entries(transport, config_file, overrides, credentials)
    chosen = [(client, entry_for(client)) for client in CLIENTS if not clients or client.name in clients]
    for client, entry in chosen:
        typer.echo(f"{client.title}, {folder / client.file}:")
        typer.echo(_text(client.document(entry)))
    plans = [
        plan for client, entry in chosen if (plan := _plan(client, folder.absolute(), entry)) is not None
    ]
    if any(client.token in _text(entry) for client, entry in chosen):
        typer.echo(WHERE_FROM)
    if not plans:
        typer.echo("Every file has it already; nothing to write.")
        return
    for plan in plans:
        typer.echo(f"{'Creates' if plan.before is None else 'Adds it to'} {plan.file}")
    if not (yes or typer.confirm("Write?")):
        typer.echo("Nothing was written.")
        raise typer.Exit(1)
    for plan in plans:
        _write(plan)
        typer.echo(f"Wrote {plan.file}")


def _entries(
    transport: Transport,
    config_file: Path | None,
    overrides: list[str] | None,
    credentials: Path | None,
) -> Callable[[Client], JsonObject]:
    """Return what makes a client's entry, with a reference to the token when one is required."""
    if credentials is not None and transport is not Transport.CONNECT:
        raise StartFault(
            "`--credentials` is for `--transport connect`; the others take a token from EXAI_TOKEN."
        )
    settings = load_settings(config_file, overrides).settings
    server = settings.server
    wants_token = settings.auth.mode != "local" and credentials is None

    def token(client: Client) -> str | None:
        return client.token if wants_token else None

    if transport is Transport.HTTP:
        host = f"[{server.host}]" if ":" in server.host else server.host
        if server.port == 0:
            raise StartFault("`server.port` is 0, so no client can know the port; set one.")
        return lambda client: http_entry(f"http://{host}:{server.port}/mcp", token=token(client))
    arguments = ["--config", str(config_file.absolute())] if config_file is not None else []
    for override in overrides or ():
        _refuse_secret(override.partition("=")[0].strip())
        arguments += ["--set", override]
    if transport is Transport.STDIO:
        return lambda client: stdio_entry(executable(), arguments, token=token(client))
    if credentials is not None:
        arguments += ["--credentials", str(expanded(credentials).absolute())]
    return lambda client: connect_entry(executable(), arguments, token=token(client))


def _plan(client: Client, folder: Path, entry: JsonObject) -> _Plan | None:
    """Plan what to write for one client; `None` when its file has it already."""
    file = (folder / client.file).resolve()
    try:
        before = file.read_bytes()
        text = before.decode("utf-8-sig")
    except FileNotFoundError:
        before, text = None, None
    except UnicodeDecodeError:
        raise StartFault(f"{file} is not UTF-8 text, so nothing was written; correct or remove it.") from None
    except OSError as error:
        raise StartFault(f"{file} cannot be read ({reason_of(error)}), so nothing was written.") from error
    document = merged(text, client, entry, place=str(file))
    if text is not None and text.strip() and json.loads(text) == document:
        return None
    return _Plan(client, file, before, f"{_text(document)}\n".encode())


def _refuse_secret(key: str) -> None:

    setting = find(key)
    if setting is not None and setting.secret:
        raise StartFault(
            f"`--set {key}` would put a secret into the project's files; "
            "set it in the environment or in `~/.config/exai/exai.toml` instead."
        )


def _write(plan: _Plan) -> None:
    """Move the old content to `FILE.bak`, and replace the file atomically."""
    try:
        plan.file.parent.mkdir(parents=True, exist_ok=True)
        if plan.before is not None:
            _replace(plan.file.with_name(f"{plan.file.name}.bak"), plan.before, like=plan.file)
        _replace(plan.file, plan.after, like=plan.file)
    except OSError as error:
        raise StartFault(f"{plan.file} cannot be written ({reason_of(error)}).") from error


def _replace(file: Path, content: bytes, *, like: Path) -> None:
    """Replace the file atomically, with the permissions of `like` if it exists."""
    with tempfile.NamedTemporaryFile(dir=file.parent, prefix=f".{file.name}.", delete=False) as temporary:
        beside = Path(temporary.name)
        try:
            temporary.write(content)
            temporary.flush()
            beside.chmod(like.stat().st_mode & 0o777 if like.exists() else 0o644)
            beside.replace(file)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise


def _text(document: JsonObject) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False)
