"""The user's home folder. Not every process has one: a container may run as a user without a name or `HOME`."""

import os
from collections.abc import Mapping
from pathlib import Path

from exai.errors import StartFault

__all__ = ["expanded", "home_folder"]


def home_folder(environ: Mapping[str, str]) -> Path | None:
    """Return the home folder: that of `HOME`, else the one that the user database has."""
    named = environ.get("HOME") or environ.get("USERPROFILE")
    if named:
        return Path(named)
    try:
        return Path.home()
    except RuntimeError:
        return None


def expanded(path: Path, home: Path | None = None) -> Path:
    """Replace a leading `~` by the home folder; without `home`, by that of this process.

    Raises:
        StartFault: the path begins with `~`, and there is no home folder.
    """
    first, *rest = path.parts or (".",)
    if not first.startswith("~"):
        return path
    home = home_folder(os.environ) if home is None else home
    if first == "~" and home is not None:
        return home.joinpath(*rest)
    try:
        return path.expanduser()
    except RuntimeError:
        raise StartFault(
            f"{path} begins with a home folder, and this process has none: `HOME` is not set and the user database "
            "has no entry for its user. Set `HOME`, or write the path from the root."
        ) from None
