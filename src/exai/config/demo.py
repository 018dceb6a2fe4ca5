"""The demonstration's data: a folder and a database of its own, so that nothing of it is taken for real."""

from dataclasses import replace
from pathlib import Path

from exai.config.sources import Loaded

__all__ = ["EMULATED_PROVIDERS", "demo_data_dir", "of_demonstration"]

EMULATED_PROVIDERS = frozenset({"glm", "kimi"})
"""Those that the emulator plays; a custom row is asked as ever."""

FOLDER = "demo"
ORIGIN = "--demo"
CHANGED = ("data_dir", "database.url", "database.auto_migrate", "jobs.file", "files.store")
"""The settings that say where something is kept, and that nobody backs it up."""


def demo_data_dir(data_dir: Path) -> Path:
    """Return the data folder of the demonstration, which is inside the ordinary one."""
    return data_dir / FOLDER


def of_demonstration(loaded: Loaded) -> Loaded:
    """Return the settings of the demonstration: everything that is kept is in its data folder."""
    settings = loaded.settings
    changed = {
        "data_dir": demo_data_dir(settings.data_dir),
        "database": settings.database.model_copy(update={"url": None, "auto_migrate": True}),
        "jobs": settings.jobs.model_copy(update={"file": None}),
        "files": settings.files.model_copy(update={"store": "folder"}),
    }
    origins = {**loaded.origins, **dict.fromkeys(CHANGED, ORIGIN)}
    return replace(loaded, settings=settings.model_copy(update=changed), origins=origins, demo=True)
