"""How processes on one PostgreSQL know of each other."""

from typing import Annotated

from pydantic import Field

from exai.config.values import Section

__all__ = ["Fleet"]


class Fleet(Section):
    """Several processes on one PostgreSQL. On SQLite locked files tell who is alive, and none of this is used."""

    beat_s: Annotated[float, Field(ge=0.1, le=60)] = 2.0
    """How often a process says in the database that it is alive, and reads which others are."""

    lease_s: Annotated[float, Field(ge=0.5, le=600)] = 10.0
    """How old a beat is, by the database's clock, when its process counts as dead. At least four beats. The same for
    all processes of a database."""
