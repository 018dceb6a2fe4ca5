"""The MCP clients: where each has its configuration, its form, and what its user does next.

The forms are those of the clients' manuals, and of the clients themselves as far as they run without an account:
Claude Code 2.1, Codex 0.171, Gemini CLI 0.61 and opencode 1.18 list what is written here. `docs/clients.md` has the
table for people.
"""

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Literal

from exai.cli.setup.server import Address, JsonObject, Process, Server
from exai.config.client import TOKEN_VARIABLE

__all__ = ["CLIENTS", "Client", "ClientName"]


class ClientName(StrEnum):
    """How a command line names a client."""

    CLAUDE_CODE = "claude-code"
    CURSOR = "cursor"
    VSCODE = "vscode"
    CODEX = "codex"
    GEMINI = "gemini"
    OPENCODE = "opencode"
    CLAUDE_DESKTOP = "claude-desktop"
    WINDSURF = "windsurf"
    CLINE = "cline"


def _process(process: Process) -> JsonObject:
    entry: JsonObject = {"type": "stdio", "command": process.command, "args": list(process.arguments)}
    return {**entry, "env": dict(process.variables)} if process.variables else entry


def _address(address: Address) -> JsonObject:
    entry: JsonObject = {"type": "http", "url": address.url}
    return {**entry, "headers": address.headers} if address.headers else entry


@dataclass(frozen=True)
class Client:
    """An MCP client with a configuration file."""

    name: ClientName
    title: str
    place: Callable[[Path, Path], Path]
    """Its file, by the project's folder and the user's."""

    next_step: str
    """What the user does once the file is written."""

    reference: Callable[[str], str] | None
    """How the file refers to an environment variable; `None` where the client expands none."""

    traces: tuple[str, ...] = ()
    """Below the user's folder, what shows that the client is used here; empty for one that is always configured."""
    program: str | None = None
    """Its command on PATH, which shows the same."""
    servers_key: str = "mcpServers"
    """The member of the file that lists the servers."""
    form: Literal["json", "toml"] = "json"
    process: Callable[[Process], JsonObject] = _process
    address: Callable[[Address], JsonObject] = _address
    takes_address: bool = True
    """Whether its file has a place for an address."""
    time_limit: tuple[str, float] | None = None
    """The member that bounds a call, and how many of its units a second has."""
    longest_limit_s: float | None = None
    token: str | None = None
    """What refers to the token, where that is no variable."""
    inputs: tuple[JsonObject, ...] = ()
    """The inputs that `token` refers to."""
    head: Mapping[str, object] = field(default_factory=dict)
    """What a new file begins with."""

    def token_reference(self) -> str | None:
        """Return what the file has in place of the token, which is never written into it."""
        if self.token is not None:
            return self.token
        return None if self.reference is None else self.reference(TOKEN_VARIABLE)

    def entry(self, server: Server, limit_s: float) -> JsonObject:
        """Return the entry of the server.

        Args:
            limit_s: how long a call may take, in seconds.
        """
        entry = self.process(server) if isinstance(server, Process) else self.address(server)
        if self.time_limit is not None:
            member, units = self.time_limit
            entry[member] = round(min(limit_s, self.longest_limit_s or limit_s) * units)
        return entry

    def is_used(self, home: Path, which: Callable[[str], str | None]) -> bool:
        """Whether the client is to be configured when none was named."""
        if not self.traces:
            return True
        if self.program is not None and which(self.program) is not None:
            return True
        return any((home / trace).exists() for trace in self.traces)


def _untyped(process: Process) -> JsonObject:
    return {name: value for name, value in _process(process).items() if name != "type"}


def _codex_process(process: Process) -> JsonObject:
    entry: JsonObject = {"command": process.command, "args": list(process.arguments)}
    return {**entry, "env_vars": list(process.variables)} if process.variables else entry


def _codex_address(address: Address) -> JsonObject:
    token: JsonObject = {} if address.token is None else {"bearer_token_env_var": TOKEN_VARIABLE}
    return {"url": address.url, **token}


def _renamed(**names: str | None) -> Callable[[Address], JsonObject]:
    """Make the entry of an address with other names of its members, `None` for one that is left out."""

    def entry(address: Address) -> JsonObject:
        members = {names.get(name, name): value for name, value in _address(address).items()}
        return {name: value for name, value in members.items() if name is not None}

    return entry


def _opencode_process(process: Process) -> JsonObject:
    entry: JsonObject = {"type": "local", "command": [process.command, *process.arguments]}
    return {**entry, "environment": dict(process.variables)} if process.variables else entry


def _cline_address(address: Address) -> JsonObject:
    return {**_address(address), "type": "streamableHttp"}


def _opencode_address(address: Address) -> JsonObject:
    return {**_address(address), "type": "remote"}


def _application_data(home: Path) -> Path:
    """Return the folder where desktop applications have their configuration."""
    if sys.platform == "darwin":
        return home / "Library" / "Application Support"
    if sys.platform == "win32":
        return Path(os.environ.get("APPDATA") or home / "AppData" / "Roaming")
    return home / ".config"


def _codex_file(_: Path, home: Path) -> Path:
    return Path(os.environ.get("CODEX_HOME") or home / ".codex") / "config.toml"


def _cline_file(_: Path, home: Path) -> Path:
    named = os.environ.get("CLINE_MCP_SETTINGS_PATH")
    if named:
        return Path(named)
    extension = _application_data(home).joinpath("Code", "User", "globalStorage", "saoudrizwan.claude-dev")
    of_command_line = home / ".cline" / "data"
    folder = of_command_line if of_command_line.exists() and not extension.exists() else extension
    return folder / "settings" / "cline_mcp_settings.json"


APPLICATIONS = (".config", "Library/Application Support", "AppData/Roaming")
CLINE = "Code/User/globalStorage/saoudrizwan.claude-dev"

CLIENTS = (
    Client(
        ClientName.CLAUDE_CODE,
        "Claude Code",
        lambda folder, _: folder / ".mcp.json",
        "start `claude` in this folder and approve the server `exai`; `/mcp` shows it.",
        # Without the empty default it warns where the variable is not set.
        lambda name: f"${{{name}:-}}",
        time_limit=("timeout", 1000),
        token=f"${{{TOKEN_VARIABLE}}}",
    ),
    Client(
        ClientName.CURSOR,
        "Cursor",
        lambda folder, _: folder / ".cursor" / "mcp.json",
        "open Settings, MCP, and switch `exai` on; where it was on, switch it off and on.",
        lambda name: f"${{env:{name}}}",
    ),
    Client(
        ClientName.VSCODE,
        "VS Code",
        lambda folder, _: folder / ".vscode" / "mcp.json",
        "run `MCP: List Servers`, choose `exai`, Start, and trust it; its tools are in agent mode.",
        lambda name: f"${{env:{name}}}",
        servers_key="servers",
        token="${input:exai-token}",  # noqa: S106 - a reference
        inputs=(
            {"type": "promptString", "id": "exai-token", "description": "Token for EXAI", "password": True},
        ),
    ),
    Client(
        ClientName.CODEX,
        "Codex",
        _codex_file,
        "start `codex` anew; `/mcp` shows it. Of long answers it leaves out the middle, unless its file has "
        "`tool_output_token_limit = 25000` above all tables.",
        lambda name: name,  # it hands variables on by name
        traces=(".codex",),
        program="codex",
        servers_key="mcp_servers",
        form="toml",
        process=_codex_process,
        address=_codex_address,
        time_limit=("tool_timeout_sec", 1),
    ),
    Client(
        ClientName.GEMINI,
        "Gemini CLI",
        lambda folder, _: folder / ".gemini" / "settings.json",
        "start `gemini` in this folder and trust it; `/mcp` shows it.",
        lambda name: f"${{{name}}}",
        traces=(".gemini",),
        program="gemini",
        process=_untyped,
        address=_renamed(type=None, url="httpUrl"),
        time_limit=("timeout", 1000),
    ),
    Client(
        ClientName.OPENCODE,
        "opencode",
        lambda folder, _: folder / "opencode.json",
        "start `opencode` anew in this folder; `opencode mcp list` shows it.",
        lambda name: f"{{env:{name}}}",
        traces=(".config/opencode", ".local/share/opencode"),
        program="opencode",
        servers_key="mcp",
        process=_opencode_process,
        address=_opencode_address,
        time_limit=("timeout", 1000),
        head={"$schema": "https://opencode.ai/config.json"},
    ),
    Client(
        ClientName.CLAUDE_DESKTOP,
        "Claude Desktop",
        lambda _, home: _application_data(home) / "Claude" / "claude_desktop_config.json",
        "quit Claude Desktop and start it again; Settings, Developer shows `exai`.",
        None,
        traces=tuple(f"{folder}/Claude" for folder in APPLICATIONS),
        process=_untyped,
        takes_address=False,
    ),
    Client(
        ClientName.WINDSURF,
        "Windsurf",
        lambda _, home: home / ".codeium" / "windsurf" / "mcp_config.json",
        "press Refresh in the MCP panel of Cascade.",
        lambda name: f"${{env:{name}}}",
        traces=(".codeium/windsurf",),
        process=_untyped,
        address=_renamed(type=None, url="serverUrl"),
    ),
    Client(
        ClientName.CLINE,
        "Cline",
        _cline_file,
        "open its MCP servers, Configure: `exai` is there, and Restart Server starts it anew.",
        None,
        traces=(".cline", *(f"{folder}/{CLINE}" for folder in APPLICATIONS)),
        process=_untyped,
        address=_cline_address,
        time_limit=("timeout", 1),
        longest_limit_s=3600,
    ),
)
"""Those with a file in the project first: they are configured also where nothing shows that they are used."""
