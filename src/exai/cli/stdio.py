"""`exai stdio`: the whole engine in one process, spoken to over stdin and stdout."""

import typer

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command."""
    del app
