"""The types of settings' values, and the base class of a group of settings."""

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
    """What a value must be, when its type does not say it: the text after "must be"."""

    phrase: str


Seconds = Annotated[float, Field(gt=0, le=86_400)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]
Bytes = Annotated[int, Field(ge=1)]
Price = Annotated[float, Field(ge=0, le=1_000_000)]
Port = Annotated[int, Field(ge=0, le=65_535)]
ChosenName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,31}$")]


def _auth_mode(mode: str) -> str:
    """Refuse what is no mode. A mode has a calendar date, which a restart cannot move."""
    if mode not in {"local", "required"}:
        word, _, day = mode.partition(" ")
        if word != "optional-until" or date.fromisoformat(day).isoformat() != day:
            raise ValueError("no such mode")
    return mode


AuthMode = Annotated[
    str, AfterValidator(_auth_mode), Label("`local`, `required` or `optional-until YYYY-MM-DD`")
]


class Section(BaseModel):
    """A frozen group of settings, which refuses unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


def is_loopback(host: str) -> bool:
    """Return whether `host` is this machine and no other: `localhost`, `127.0.0.0/8` or `::1`."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
