"""What models are asked: one Markdown file per request."""

from functools import cache
from importlib.resources import files

__all__ = ["instructions"]


@cache
def instructions(name: str) -> str:
    """Return the text of `<name>.md`, without the newline at its end."""
    return files(__name__).joinpath(f"{name}.md").read_text(encoding="utf-8").rstrip()
