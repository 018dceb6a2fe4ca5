"""The commands of `exai`, each imported when it is asked for.

`exai --help` and a shell loop over `exai version` stay cheap, and a command's imports stand at the top of its
module.
"""

import importlib
import os
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command
from typing_extensions import override

from exai.runtime.start.imports import lean_imports

__all__ = ["SUMMARIES", "CommandGroup", "LazyGroup", "load_command", "new_app"]

SUMMARIES: Mapping[str, str] = MappingProxyType(
    {
        "chat": "Ask a model from the terminal, and see the answer as it is written.",
        "review": "Have a change or files reviewed by models, and see only what was checked.",
        "serve": "Run the daemon: MCP on 8079, health and metrics on 8080, errors on 8081, until SIGTERM or Ctrl-C.",
        "stdio": "Serve one MCP client over stdin and stdout; what MCP clients start by themselves.",
        "connect": "Serve one MCP client over stdin and stdout from a running `exai serve`; what MCP clients start.",
        "status": "Print what the running daemon says of itself: providers, limits, usage, recent errors.",
        "stop": "Stop the running daemon; running calls may finish.",
        "dashboard": "Print an address that signs a browser in to the dashboard: once, within 30 seconds.",
        "models": "List providers and models: abilities, windows, prices, and which have a key.",
        "init": "Write the configuration of MCP clients, after showing what changes.",
        "config": "Print every setting and where it came from; secrets are masked.",
        "doctor": "Check keys, clock, schema, permissions, ports, providers and identity; say how to fix a problem.",
        "migrate": "Bring the database to the schema that this version needs. Back it up first.",
        "backup": "Write database, stored files, jobs and signing keys into one private file.",
        "restore": "Put a backup into a data folder without a database, and compare its rows with its bytes.",
        "fleet": "See the daemons on a database, and take one out of service.",
        "usage": "List calls, tokens and cost by caller and model, or under which names tools were called.",
        "baseline": "Collect how fast EXAI is over a while, see what makes it slow, and compare two such times.",
        "compare": "Compare models through the running daemon: speed, success, cost.",
        "files": "Store, list, read and remove files.",
        "conversations": "Find, show, copy, sum up, export and delete conversations.",
        "workflows": "List, show, check, cancel, resume and replay workflows.",
        "errors": "See what went wrong, and decide on it.",
        "auditor": "See what EXAI observes of its own behaviour.",
        "notify": "See and try what is told to others by webhooks.",
        "token": "Make, list, end and replace tokens and API keys.",
        "keys": "List and replace the keys that sign tokens.",
        "version": "Print the version.",
    }
)
"""Each command and the first line of its help. A command is `app` in the module of its name in `exai.cli.commands`."""

_MODULES: Mapping[str, str] = MappingProxyType(
    {
        "token": "identity.token",
        "backup": "keeping.backup",
        "restore": "keeping.restore",
        "fleet": "keeping.fleet",
        "keys": "identity.keys",
        "files": "files.group",
        "workflows": "workflows.group",
        "errors": "errors.group",
        "baseline": "baseline.group",
        "compare": "measuring.compare",
        "auditor": "auditor.group",
        "notify": "notify.group",
    }
)
"""Where below it, for those that are not in the folder itself."""


class PlainGroup(TyperGroup):
    """A group whose help has each command's summary whole."""

    @override
    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the list of commands into the help."""
        rows = [(name, (command.help or "").partition("\n")[0]) for name, command in self.commands.items()]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def new_app(**options: Any) -> typer.Typer:
    """Make a Typer app that prints help and errors as plain text, without importing rich."""
    return typer.Typer(
        **{
            "cls": PlainGroup,
            "add_completion": False,
            "pretty_exceptions_enable": False,
            "rich_markup_mode": None,
            "context_settings": {"help_option_names": ["-h", "--help"]},
            **options,
        }
    )


def load_command(name: str) -> Any:
    """Import the command of this name."""
    # Pydantic would look for plugins in what every installed package declares.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    with lean_imports():
        module = importlib.import_module(f"exai.cli.commands.{_MODULES.get(name, name)}")
    return get_command(module.app)


class LazyGroup(TyperGroup):
    """Lists the commands of a table, and imports one when it is run."""

    summaries: Mapping[str, str]
    """Each command and the first line of its help."""
    package: str
    """Where its module is, whose `app` is the command."""
    modules: Mapping[str, str] = MappingProxyType({})
    """The modules of commands that have another name."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = {
            name: TyperCommand(name, callback=None, help=summary) for name, summary in self.summaries.items()
        }

    @override
    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Import the command, or return `None` when there is none of this name."""
        return self.load(cmd_name) if cmd_name in self.commands else None

    def load(self, name: str) -> Any:
        """Import the command of this name."""
        with lean_imports():
            module = importlib.import_module(f"{self.package}.{self.modules.get(name, name)}")
        return get_command(module.app)

    @override
    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the list of commands into the help."""
        with formatter.section("Commands"):
            formatter.write_dl(list(self.summaries.items()))


class CommandGroup(LazyGroup):
    """The commands of `exai`."""

    summaries = SUMMARIES

    @override
    def load(self, name: str) -> Any:
        """Import the command of this name."""
        return load_command(name)
