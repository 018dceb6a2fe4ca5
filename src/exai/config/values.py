"""The types of settings' values, and the base class of a group of settings."""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Literal, get_args, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationInfo,
    field_validator,
)

__all__ = [
    "AuthMode",
    "Bytes",
    "ChosenName",
    "Count",
    "Label",
    "Port",
    "Price",
    "ProxyNetwork",
    "Seconds",
    "Section",
    "StorePlace",
    "is_loopback",
    "is_resolvable",
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


StorePlace = Annotated[
    str,
    StringConstraints(pattern=r"^(folder|s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9._-]+)*)$"),
    Label("`folder` or `s3://BUCKET/PREFIX`"),
]


def _proxy_network(text: str) -> str:
    """Refuse what is no network, and one that has every address: then anybody could say that he is somebody else."""
    network = ipaddress.ip_network(text)
    if network.prefixlen == 0:
        raise ValueError("everybody")
    return str(network)


ProxyNetwork = Annotated[str, AfterValidator(_proxy_network)]


class Section(BaseModel):
    """A frozen group of settings, which refuses unknown keys and takes words of a fixed choice in any case."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @field_validator("*", mode="before")
    @classmethod
    def _in_the_spelling_of_its_choices(cls, value: object, info: ValidationInfo) -> object:
        choices = _choices(cls.model_fields[str(info.field_name)].annotation)
        if isinstance(value, list | tuple):
            return [_as_one_of(choices, member) for member in value]
        return _as_one_of(choices, value)


def _choices(annotation: object) -> dict[str, str]:
    """Return the words among which a value of this type, or a member of it, is one: by their lower case."""
    if get_origin(annotation) is Literal:
        return {word.casefold(): word for word in get_args(annotation)}
    return {low: word for part in get_args(annotation) for low, word in _choices(part).items()}


def _as_one_of(choices: Mapping[str, str], value: object) -> object:
    return choices.get(value.casefold(), value) if choices and isinstance(value, str) else value


def is_loopback(host: str) -> bool:
    """Return whether `host` is this machine and no other: `localhost`, `127.0.0.0/8` or `::1`."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_resolvable(host: str) -> bool:
    """Return whether a name server could have this name: its labels have 1 to 63 bytes (RFC 1035, 2.3.4)."""
    try:
        host.encode("idna")
    except UnicodeError:
        return False
    return True
