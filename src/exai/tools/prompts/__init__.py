"""Standing instructions for models: one Markdown file per tool."""

from functools import cache
from importlib.resources import files

__all__ = ["prompt"]


@cache
def prompt(name: str) -> str:
    """The text of `<name>.md`, without the newline at its end."""
    return files(__name__).joinpath(f"{name}.md").read_text(encoding="utf-8").rstrip()
