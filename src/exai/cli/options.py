"""How a command loads its settings from the options that commands share."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import typer

from exai.cli.option_types import AsJson, ConfigFile, Demo, OfDemo, Overrides, Roots, WhichData
from exai.config.demo import of_demonstration
from exai.config.secrets import ask_keyring
from exai.config.sources import Loaded, load
from exai.errors import StartFault

__all__ = [
    "AsJson",
    "ConfigFile",
    "Demo",
    "OfDemo",
    "Overrides",
    "Roots",
    "WhichData",
    "load_settings",
]


def load_settings(
    config_file: Path | None,
    overrides: Sequence[str] | None,
    *,
    further: Mapping[str, object] | None = None,
    trust_cwd: bool = True,
    demo: bool = False,
) -> Loaded:
    """Load the settings of this process.

    Args:
        config_file: the value of `--config`.
        overrides: the values of `--set`.
        further: the command's own options, by dotted keys; they have precedence over `--set`.
        trust_cwd: whether `exai.toml` in the working folder counts; no for a process that a client starts
            in a folder that may hold somebody else's files.
        demo: whether they are those of the demonstration.

    Raises:
        StartFault: a setting is unknown, misplaced or malformed.
    """
    loaded = load(
        environ=os.environ,
        config_file=config_file,
        overrides=[*(overrides or ()), *((further or {}).items())],
        cwd=_working_folder(),
        trust_cwd=trust_cwd,
        keyring=ask_keyring,
    )
    if loaded.keyring_trouble is not None:
        typer.echo(f"exai: {loaded.keyring_trouble} Its secrets are taken from elsewhere.", err=True)
    for name in loaded.unread_variables:
        typer.echo(f"exai: the variable {name} is no setting of EXAI; it is not read.", err=True)
    return of_demonstration(loaded) if demo else loaded


def _working_folder() -> Path:
    try:
        return Path.cwd()
    except FileNotFoundError:
        raise StartFault("The working folder does not exist any more; change to another one.") from None
