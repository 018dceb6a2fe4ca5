"""`exai stdio`: the whole engine for one client, over stdin and stdout."""

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import typer

from exai.cli.command_group import new_app
from exai.cli.option_types import ConfigFile, Demo, Overrides, Roots
from exai.errors import ExaiError
from exai.runtime.start.imports import lean_imports
from exai.transports.opening import Opening

__all__ = ["app"]

EXIT_CANNOT_START = 2

LISTS_IN_FILE = re.compile(rb"^[ \t]*\[{0,2}[ \t]*tools\b", re.MULTILINE)
"""In a configuration file: settings of the section `tools`, which choose the list of tools."""

app = new_app()


@app.command("stdio")
def stdio(
    config_file: ConfigFile = None,
    overrides: Overrides = None,
    roots: Roots = None,
    demo: Demo = False,
) -> None:
    """Serve one MCP client over stdin and stdout; what MCP clients start by themselves.

    Where tokens are required, it takes one from EXAI_TOKEN, or from the file that EXAI_CREDENTIALS names. For a
    process that lives long, use an API key.

    Calls may name files in the folder it is started in. An exai.toml there is not read: it may be somebody
    else's.
    """
    opening = Opening.begin(lists_tools=not _choose_a_list(config_file, overrides or ()))
    # Everything else takes longer to import than some clients wait for the list of tools.
    with lean_imports():
        from exai.cli.stdio_engine import run_engine  # noqa: PLC0415

    try:
        run_engine(opening, config_file, overrides, roots, demo=demo)
    except ExaiError as fault:
        # At once: clients show what is on stderr, and the rest waits for a call to tell.
        sys.stderr.write(f"exai: {fault}\n")
        opening.fail(str(fault))
        raise typer.Exit(EXIT_CANNOT_START) from None


def _choose_a_list(config_file: Path | None, overrides: Sequence[str]) -> bool:
    """Return whether settings may choose another list of tools than the recorded one.

    It is asked before anything is imported that reads settings properly, so it looks for their names alone.
    """
    if any(name.upper().startswith("EXAI_TOOLS__") for name in os.environ):
        return True
    if any(each.lstrip().startswith("tools.") for each in overrides):
        return True
    usual = "~/.config/exai/exai.toml"
    file = Path(config_file or os.environ.get("EXAI_CONFIG") or usual)
    try:
        file = file.expanduser()
        return file.is_file() and LISTS_IN_FILE.search(file.read_bytes()) is not None
    except (OSError, RuntimeError):
        return False  # whoever reads it says why it cannot be read
