"""The tree of settings as rows: one per value, with its names, its type, its default and its meaning.

`exai config`, the tests of the manual and the messages about wrong values all use these rows.
"""

import ast
import inspect
import itertools
import json
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel, HttpUrl, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from exai.config import Settings
from exai.config.values import Label

__all__ = [
    "ENVIRONMENT_PREFIX",
    "KEY_ALIASES",
    "MASK",
    "NAME",
    "Setting",
    "as_toml",
    "find",
    "is_section",
    "plain",
    "rows",
    "secret_values",
    "values",
]

ENVIRONMENT_PREFIX = "EXAI_"
MASK = "********"
NAME = "NAME"
"""The placeholder in a row's key for a name of the operator's choice, such as a custom provider's."""

KEY_ALIASES: Mapping[str, tuple[str, ...]] = {
    "providers.glm.api_key": ("GLM_API_KEY", "ZAI_API_KEY", "Z_AI_API_KEY", "ZHIPUAI_API_KEY"),
    "providers.kimi.api_key": ("KIMI_API_KEY", "MOONSHOT_API_KEY", "MOONSHOTAI_API_KEY"),
}
"""Usual names of the variables for keys; the setting's own name has precedence, then these in order."""

_UNITS = {
    "s": "seconds",
    "ms": "milliseconds",
    "bytes": "bytes",
    "hours": "hours",
    "days": "days",
    "minutes": "minutes",
    "tokens": "tokens",
}


@dataclass(frozen=True)
class Setting:
    """One value of the tree."""

    key: str
    """Dotted, such as `server.port`; with `NAME` for a freely chosen part."""

    declared_in: type[BaseModel]

    type: str
    """What a value must be, to follow "must be": `a whole number from 0 to 65535`."""

    default: str
    """As TOML; `(unset)` or `(required)` when there is none."""

    annotation: Any
    secret: bool

    @property
    def meaning(self) -> str:
        """What it is for, as its declaration says."""
        return _meanings(self.declared_in)[self.key.rpartition(".")[2]]

    @property
    def section(self) -> str:
        return self.key.rpartition(".")[0]

    @property
    def environment(self) -> tuple[str, ...]:
        """The environment variables that set it, by precedence."""
        own = ENVIRONMENT_PREFIX + self.key.upper().replace(".", "__")
        return (own, *KEY_ALIASES.get(self.key, ()))

    @property
    def is_list(self) -> bool:
        return get_origin(_core(self.annotation)) is tuple

    @property
    def is_table(self) -> bool:
        """Whether its value is a list of tables, which one line can have only as JSON."""
        core = _core(self.annotation)
        return get_origin(core) is tuple and is_section(_core(get_args(core)[0]))

    @property
    def is_path(self) -> bool:
        core = _core(self.annotation)
        return core is Path or (get_origin(core) is tuple and get_args(core)[0] is Path)


@cache
def rows() -> tuple[Setting, ...]:
    """List every setting, in the order of the tree."""
    return tuple(_walk(Settings, ()))


def find(key: str) -> Setting | None:
    """Find the row of a dotted key, which may have a chosen name where the row has `NAME`."""
    parts = key.split(".")
    for row in rows():
        pattern = row.key.split(".")
        if len(pattern) == len(parts) and all(
            wanted in (part, NAME) for wanted, part in zip(pattern, parts, strict=True)
        ):
            return row
    return None


def is_section(annotation: Any) -> bool:
    """Return whether a value of this type is a group of settings."""
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def values(settings: Settings) -> Iterator[tuple[str, Any]]:
    """List every dotted key with its value, also those below chosen names."""
    yield from _values(settings, ())


def secret_values(settings: Settings) -> tuple[str, ...]:
    """List what no log may contain: every secret in plain text, and its parts that are secret by themselves."""
    found: list[str] = []
    for _, value in values(settings):
        if isinstance(value, SecretStr):
            found.append(value.get_secret_value())
        elif isinstance(value, tuple):
            # A list of secrets is a list of headers, whose names are no secrets.
            headers = (member.get_secret_value() for member in value if isinstance(member, SecretStr))
            found.extend(header.partition(":")[2].strip() for header in headers)
            tables = (vars(member).values() for member in value if isinstance(member, BaseModel))
            found.extend(
                each.get_secret_value() for table in tables for each in table if isinstance(each, SecretStr)
            )
        elif isinstance(value, HttpUrl) and value.password:
            found.append(value.password)
    if settings.providers.glm.api_key:
        found.append(settings.providers.glm.api_key.get_secret_value().partition(".")[2])
    if settings.database.url:
        userinfo = settings.database.url.get_secret_value().partition("://")[2].rpartition("@")[0]
        found.append(userinfo.partition(":")[2])
    return tuple(secret for secret in found if secret)


def plain(value: Any) -> Any:
    """Convert a value to plain JSON types, with secrets masked."""
    if isinstance(value, SecretStr):
        return MASK
    if isinstance(value, HttpUrl):
        return str(value).replace(f":{value.password}@", f":{MASK}@") if value.password else str(value)
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, BaseModel):
        return {name: plain(getattr(value, name)) for name in type(value).model_fields}
    if isinstance(value, tuple):
        return [plain(member) for member in value]
    return value


def as_toml(value: Any) -> str:
    """Format a value as TOML, with secrets masked; `(unset)` for `None`."""
    return "(unset)" if value is None else _formatted(plain(value))


def _formatted(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{name} = {_formatted(member)}" for name, member in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(_formatted(member) for member in value) + "]"
    return json.dumps(value, ensure_ascii=False)


def _walk(model: type[BaseModel], above: tuple[str, ...]) -> Iterator[Setting]:
    for name, field in model.model_fields.items():
        path = (*above, name)
        core = _core(field.annotation)
        if get_origin(core) is dict:
            yield from _walk(get_args(core)[1], (*path, NAME))
        elif is_section(core):
            yield from _walk(core, path)
        else:
            yield Setting(
                key=".".join(path),
                type=_label(name, field),
                default=_default(field),
                annotation=field.annotation,
                secret=SecretStr in (core, *get_args(core)),
                declared_in=model,
            )


@cache
def _meanings(model: type[BaseModel]) -> Mapping[str, str]:
    """Read what stands below each field in the source. Pydantic would do so at each start, where nobody asks."""
    found = dict.fromkeys(model.model_fields, "")
    for base in reversed(model.__mro__):
        if not is_section(base) or base is BaseModel:
            continue
        (declared,) = ast.parse(inspect.getsource(base)).body
        for field, text in itertools.pairwise(declared.body if isinstance(declared, ast.ClassDef) else ()):
            match field, text:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(said))):
                    found[name] = " ".join(said.split())
    return found


def _values(section: BaseModel, above: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    for name in type(section).model_fields:
        value = getattr(section, name)
        path = (*above, name)
        if isinstance(value, BaseModel):
            yield from _values(value, path)
        elif isinstance(value, dict):
            for chosen, inner in value.items():
                yield from _values(inner, (*path, chosen))
        else:
            yield ".".join(path), value


def _core(annotation: Any) -> Any:
    """Return the type without `Annotated` and without `| None`."""
    if get_origin(annotation) is Annotated:
        return _core(get_args(annotation)[0])
    if get_origin(annotation) in (types.UnionType, typing.Union):
        return _core(next(member for member in get_args(annotation) if member is not types.NoneType))
    return annotation


def _default(field: FieldInfo) -> str:
    return "(required)" if field.default is PydanticUndefined else as_toml(field.default)


_PLAIN: Mapping[Any, str] = {
    str: "text",
    Path: "a path",
    HttpUrl: "an http or https URL",
    SecretStr: "text, kept secret",
    bool: "`true` or `false`",
}
_MEMBERS: Mapping[Any, str] = {
    str: "a list of texts",
    Path: "a list of paths",
    SecretStr: "a list of texts, kept secret",
}


def _label(name: str, field: FieldInfo) -> str:
    if (label := next((rule for rule in field.metadata if isinstance(rule, Label)), None)) is not None:
        return label.phrase
    core = _core(field.annotation)
    if core in (int, float):
        noun = "a whole number" if core is int else "a number"
        unit = _UNITS.get(name.rpartition("_")[2])
        return (f"{noun} of {unit}" if unit else noun) + _range(field)
    if get_origin(core) is Literal:
        return "one of " + ", ".join(f"`{choice}`" for choice in get_args(core))
    if get_origin(core) is tuple:
        return _list_label(_core(get_args(core)[0]))
    return _PLAIN[core]


def _list_label(member: Any) -> str:
    if is_section(member):
        fields = ", ".join(f"`{inner}`" for inner in member.model_fields)
        return f"a list of tables with {fields}"
    if get_origin(member) is Literal:
        return "a list of " + ", ".join(f"`{choice}`" for choice in get_args(member))
    return _MEMBERS[member]


def _range(field: FieldInfo) -> str:
    words = {"ge": ", at least {}", "gt": ", above {}", "le": ", at most {}"}
    return "".join(
        form.format(f"{bound:g}" if isinstance(bound, float) else bound)
        for name, form in words.items()
        for bound in (getattr(rule, name, None) for rule in field.metadata)
        if bound is not None
    )
