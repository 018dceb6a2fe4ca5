"""The kinds of values that settings have, and what a group of settings is."""

import ipaddress
from dataclasses import dataclass
from datetime import date
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

__all__ = [
    "AuthMode",
    "Bytes",
    "ChosenName",
    "Count",
    "Label",
    "Port",
    "Price",
    "Seconds",
    "Section",
    "is_loopback",
]


@dataclass(frozen=True)
class Label:
    """What a value must be, where its type does not say it: the words after "must be"."""

    words: str


Seconds = Annotated[float, Field(gt=0, le=86_400)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]
Bytes = Annotated[int, Field(ge=1)]
Price = Annotated[float, Field(ge=0, le=1_000_000)]
Port = Annotated[int, Field(ge=0, le=65_535)]
ChosenName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,31}$")]


def _auth_mode(mode: str) -> str:
    """Refuse what is no mode; a date is one of the calendar, so that a restart cannot move it."""
    if mode not in {"local", "required"}:
        word, _, day = mode.partition(" ")
        if word != "optional-until" or date.fromisoformat(day).isoformat() != day:
            raise ValueError("no such mode")
    return mode


AuthMode = Annotated[
    str, AfterValidator(_auth_mode), Label("`local`, `required` or `optional-until YYYY-MM-DD`")
]


class Section(BaseModel):
    """A frozen group of settings that refuses what it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


def is_loopback(host: str) -> bool:
    """Whether `host` is this machine and no other: `localhost`, `127.0.0.0/8` or `::1`."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
