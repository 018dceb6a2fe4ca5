"""Whose data a command is about: the ordinary ones, or those of `exai serve --demo`.

| when | the command is about |
|---|---|
| `--demo` or `--no-demo` is given | what it says |
| a daemon runs on the ordinary data | these; the demonstration's where one has the port that the settings name |
| a demonstration runs, and no other daemon | the demonstration's, which stderr says |
| it does, and `database.url` is set | the ordinary ones: other machines may have daemons there; stderr says so |
| nothing runs | the ordinary ones; stderr says so where only the demonstration has any |
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import typer

from exai.cli.options import load_settings
from exai.cli.running import RunningDaemon, daemon_address, running_daemons
from exai.config import Settings
from exai.config.demo import demo_data_dir, of_demonstration
from exai.config.sources import Loaded
from exai.storage.database_file import FILE_NAME

__all__ = ["ChosenData", "choose_data"]

DEFAULT = "default"


@dataclass(frozen=True)
class ChosenData:
    """The settings with the chosen data folder, and which daemons run."""

    loaded: Loaded
    was_named: bool
    """Whether an option said which."""
    running: tuple[RunningDaemon, ...]
    """On these data."""
    running_beside: tuple[RunningDaemon, ...]
    """On the others."""

    @property
    def settings(self) -> Settings:
        return self.loaded.settings

    @property
    def daemon(self) -> RunningDaemon | None:
        """The daemon of these data: the only one, or the one at the port of the settings."""
        port = self.settings.server.port
        found = self.running if len(self.running) == 1 else _at(port, self.running)
        return found[0] if found else None

    @property
    def address(self) -> str | None:
        """Where its daemon is reached, also one whose note is not here; `None`: it is known that none runs."""
        if self.daemon is not None:
            return self.daemon.mcp_ws
        is_other = bool(_at(self.settings.server.port, self.running_beside))
        if self.loaded.demo or (self.was_named and is_other):
            return None
        return daemon_address(self.settings.server)

    @property
    def how_to_start(self) -> str:
        """Say how to have one that runs on these data."""
        return f"Start it with `exai serve{' --demo' if self.loaded.demo else ''}`."


def choose_data(config_file: Path | None, overrides: Sequence[str] | None, demo: bool | None) -> ChosenData:
    """Load the settings, with the data folder that the command is about.

    Args:
        config_file: the value of `--config`.
        overrides: the values of `--set`.
        demo: whether `--demo` or `--no-demo` was given; `None` for neither.

    Raises:
        StartFault: a setting is unknown, misplaced or malformed.
    """
    loaded = load_settings(config_file, overrides)
    ordinary = tuple(running_daemons(loaded.settings.data_dir))
    demonstrations = tuple(running_daemons(demo_data_dir(loaded.settings.data_dir)))
    if _is_demo(loaded, ordinary, demonstrations) if demo is None else demo:
        chosen = of_demonstration(loaded)
        if demonstrations:
            chosen = _without_migrating(chosen)
        return ChosenData(chosen, demo is not None, demonstrations, ordinary)
    return ChosenData(loaded, demo is not None, ordinary, demonstrations)


def _without_migrating(loaded: Loaded) -> Loaded:
    """Leave a schema alone that a daemon works on: it may be of an older version, which would fail from then on."""
    settings = loaded.settings
    database = settings.database.model_copy(update={"auto_migrate": False})
    return replace(loaded, settings=settings.model_copy(update={"database": database}))


def _is_demo(
    loaded: Loaded, ordinary: Sequence[RunningDaemon], demonstrations: Sequence[RunningDaemon]
) -> bool:
    """Decide for a command that was not told, and tell its user where that may surprise."""
    settings = loaded.settings
    if ordinary:
        port = settings.server.port
        names_port = loaded.origins["server.port"] != DEFAULT
        return names_port and bool(_at(port, demonstrations)) and not _at(port, ordinary)
    if not demonstrations:
        _point_out_empty(settings)
        return False
    if settings.database.url is not None:
        _say("A demonstration runs here, and this is about the ordinary database; for the other: --demo.")
        return False
    _say("A demonstration runs here, and this is about its data; for the ordinary ones: --no-demo.")
    return True


def _point_out_empty(settings: Settings) -> None:
    """Say where data are, if those that are looked at are not even begun."""
    folder = settings.data_dir
    is_empty = settings.database.url is None and not (folder / FILE_NAME).exists()
    if is_empty and (demo_data_dir(folder) / FILE_NAME).exists():
        _say("The ordinary data are empty so far; for those of the demonstration: --demo.")


def _at(port: int, daemons: Sequence[RunningDaemon]) -> tuple[RunningDaemon, ...]:
    return tuple(each for each in daemons if each.port == port)


def _say(sentence: str) -> None:
    typer.echo(f"exai: {sentence}", err=True)
