"""`exai init`: writes the configuration of MCP clients, after showing what changes."""

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from exai.cli.command_group import new_app
from exai.cli.doctor.ports import readiness
from exai.cli.options import ConfigFile, Overrides, Roots, load_settings
from exai.cli.setup.clients import CLIENTS, Client, ClientName
from exai.cli.setup.keys import Keys, keys_of, settings_of_this_shell
from exai.cli.setup.plan import ClientFile, KeyFile, planned
from exai.cli.setup.server import Address, Process, Server, executable, is_ephemeral
from exai.config.client import CREDENTIALS_VARIABLE, TOKEN_VARIABLE
from exai.config.home import expanded, home_folder
from exai.config.sources import CONFIG_FILE_VARIABLE, Loaded
from exai.config.tree import find
from exai.errors import StartFault

__all__ = ["app"]

WHERE_FROM = (
    "The token itself is in none of these: they refer to EXAI_TOKEN in the environment of the client, and VS Code asks "
    "for it. `exai token create NAME --key` makes one that lasts."
)


class Transport(StrEnum):
    """How the client reaches EXAI."""

    STDIO = "stdio"
    CONNECT = "connect"
    HTTP = "http"


@dataclass(frozen=True)
class _Choice:
    """What the entries are made of."""

    transport: Transport
    loaded: Loaded
    keys: Keys
    config_file: Path | None
    overrides: tuple[str, ...]
    roots: tuple[Path, ...]
    credentials: Path | None
    demo: bool
    saves_keys: bool

    @property
    def wants_token(self) -> bool:
        return self.loaded.settings.auth.mode != "local" and self.credentials is None

    @property
    def wants_keys(self) -> bool:
        """Whether the client's own EXAI asks the providers."""
        return self.transport is Transport.STDIO and not self.demo

    def server_for(self, client: Client) -> Server:
        """Return how this client reaches EXAI.

        Raises:
            StartFault: it wants a token, and the client's file has no way to refer to one.
        """
        token = client.token_reference() if self.wants_token else None
        if self.wants_token and token is None:
            raise StartFault(
                f"{client.title} expands no variables, so its file cannot refer to a token. Use `--transport connect "
                f"--credentials FILE`, or leave it out by naming the others with `--client`."
            )
        if self.transport is Transport.HTTP and client.takes_address:
            return Address(self._url(), token)
        variables = {} if token is None else {TOKEN_VARIABLE: token}
        if self.wants_keys and not self.saves_keys:
            variables = {**self.keys.references(client), **variables}
        return Process(executable(), tuple(self._arguments()), variables)

    def _url(self) -> str:
        server = self.loaded.settings.server
        if server.port == 0:
            raise StartFault("`server.port` is 0, so no client can know the port; set one.")
        host = f"[{server.host}]" if ":" in server.host else server.host
        return f"http://{host}:{server.port}/mcp"

    def _arguments(self) -> list[str]:
        is_stdio = self.transport is Transport.STDIO
        arguments = ["stdio"] if is_stdio else ["connect"]
        if self.config_file is not None:
            arguments += ["--config", str(self.config_file.absolute())]
        for override in self.overrides:
            arguments += ["--set", override]
        if is_stdio:
            arguments += ["--demo"] if self.demo else []
            for root in self.roots:
                arguments += ["--root", str(root.absolute())]
        if self.credentials is not None:
            arguments += ["--credentials", str(expanded(self.credentials).absolute())]
        return arguments


app = new_app()


@app.command("init")
def init(
    config_file: ConfigFile = None,
    overrides: Overrides = None,
    roots: Roots = None,
    clients: Annotated[
        list[ClientName] | None,
        typer.Option(
            "--client",
            help="Only this client. May be repeated. Without it: Claude Code, Cursor and VS Code for this project, "
            "and of the others those that are used here.",
        ),
    ] = None,
    transport: Annotated[
        Transport | None,
        typer.Option(
            help="stdio starts EXAI with the client; connect and http use a running `exai serve`, connect "
            "through cuts and restarts. Without it: connect where a daemon answers, else stdio."
        ),
    ] = None,
    demo: Annotated[
        bool, typer.Option("--demo", help="With stdio: answer from the built-in emulator, without any key.")
    ] = False,
    credentials: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="With connect: what `exai token create NAME --save FILE` wrote."),
    ] = None,
    save_keys: Annotated[
        bool | None,
        typer.Option(
            "--save-keys/--no-save-keys",
            help="Whether keys of this shell go into files that only you can read and EXAI finds by itself. Without "
            "it: only for clients that expand no variables.",
        ),
    ] = None,
    folder: Annotated[Path, typer.Option(help="The project's folder.")] = Path(),
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Write without asking.")] = False,
) -> None:
    """Write the configuration of MCP clients, after showing what changes."""
    if credentials is not None and transport not in {Transport.CONNECT, None}:
        raise StartFault(
            "`--credentials` is for `--transport connect`; the others take a token from EXAI_TOKEN."
        )
    for override in overrides or ():
        _refuse_secret(override.partition("=")[0].strip())
    loaded = load_settings(config_file, overrides)
    choice = _Choice(
        transport or _transport(loaded, demo=demo, credentials=credentials),
        loaded,
        keys_of(loaded),
        config_file or _config_variable(),
        tuple(overrides or ()),
        tuple(roots or ()),
        credentials,
        demo,
        save_keys is True,
    )
    chosen = _chosen(clients or ())
    saves = save_keys is True or (save_keys is None and any(client.reference is None for client in chosen))
    _run(choice, chosen, _client_files(choice, chosen, folder.absolute()), saves=saves, yes=yes)


def _run(
    choice: _Choice, chosen: Sequence[Client], files: Sequence[ClientFile], *, saves: bool, yes: bool
) -> None:
    """Show, warn, ask, write, and say what is next."""
    kept = choice.keys.files(choice.loaded.settings) if saves and choice.wants_keys else {}
    for plan in files:
        typer.echo(f"{plan.client.title}, {plan.file}:")
        typer.echo(plan.shown if plan.changes else "  (has it already)")
    _warn(choice, chosen, saves=saves)
    plans: list[ClientFile | KeyFile] = [plan for plan in files if plan.changes]
    plans += [KeyFile(file, text) for file, text in kept.items()]
    if plans:
        _write(plans, yes=yes)
    else:
        typer.echo("Every file has it already; nothing to write.")
    for client in chosen:
        typer.echo(f"Next, {client.title}: {client.next_step}")


def _config_variable() -> Path | None:
    named = os.environ.get(CONFIG_FILE_VARIABLE)
    return Path(named) if named else None


def _transport(loaded: Loaded, *, demo: bool, credentials: Path | None) -> Transport:
    """Choose what works: a running daemon, else a process of the client's own."""
    if credentials is not None:
        return Transport.CONNECT
    server = loaded.settings.server
    if demo or server.operations_port == 0 or readiness(server.host, server.operations_port) is None:
        return Transport.STDIO
    typer.echo("A daemon answers here, so clients connect to it; `--transport stdio` for one of their own.")
    return Transport.CONNECT


def _chosen(named: Sequence[ClientName]) -> list[Client]:
    home = _home()
    return [
        client
        for client in CLIENTS
        if (client.name in named if named else client.is_used(home, shutil.which))
    ]


def _home() -> Path:
    home = home_folder(os.environ)
    if home is None:
        raise StartFault("This process has no home folder, where clients have their files. Set `HOME`.")
    return home


def _client_files(choice: _Choice, chosen: Sequence[Client], folder: Path) -> list[ClientFile]:
    limit_s = choice.loaded.settings.timeouts.call_s
    home = _home()
    return [
        planned(client, client.place(folder, home), client.entry(choice.server_for(client), limit_s))
        for client in chosen
    ]


def _refuse_secret(key: str) -> None:
    setting = find(key)
    if setting is not None and setting.secret:
        raise StartFault(
            f"`--set {key}` would put a secret into the project's files; "
            "set it in the environment or in `~/.config/exai/exai.toml` instead."
        )


def _warn(choice: _Choice, chosen: Sequence[Client], *, saves: bool) -> None:
    """Say what is only in this shell, and what is missing."""
    if choice.wants_token:
        typer.echo(WHERE_FROM)
    if is_ephemeral(executable()):
        typer.echo(
            "This `exai` is in a cache of uv, which may be emptied: `uv tool install` it, and run init again."
        )
    if choice.wants_keys:
        _warn_of_keys(choice.keys, chosen, saves=saves)
    own = {CONFIG_FILE_VARIABLE, TOKEN_VARIABLE, CREDENTIALS_VARIABLE}
    if lost := [name for name in settings_of_this_shell(choice.loaded) if name not in own]:
        typer.echo(
            f"Only set in this shell: {', '.join(lost)}. A client may start EXAI without; "
            "`~/.config/exai/exai.toml` is read by each."
        )


def _warn_of_keys(keys: Keys, chosen: Sequence[Client], *, saves: bool) -> None:
    names = ", ".join(keys.of_this_shell)
    if not keys.of_this_shell and not keys.elsewhere:
        typer.echo(
            "No provider has a key yet. Set GLM_API_KEY or KIMI_API_KEY and run `exai init --save-keys`, or try it "
            "without a key: `exai init --demo`."
        )
    elif names and not saves:
        typer.echo(
            f"{names}: set in this shell only. A client that is started from elsewhere, such as a desktop, does not "
            "have it; `exai init --save-keys` keeps it where EXAI finds it by itself."
        )
        for client in chosen:
            if client.reference is None:
                typer.echo(f"{client.title} hands no variables on, so its EXAI has no key.")


def _write(plans: Sequence[ClientFile | KeyFile], *, yes: bool) -> None:
    for plan in plans:
        typer.echo(plan.what)
    if not (yes or typer.confirm("Write?")):
        typer.echo("Nothing was written.")
        raise typer.Exit(1)
    for plan in plans:
        plan.write()
        typer.echo(f"Wrote {plan.file}")
