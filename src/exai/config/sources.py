"""Where settings come from: defaults < preset < `exai.toml` < environment < command line.

A secret has two more sources, above the environment: a file of its own, and above that the keyring. Each source is
read into assignments of dotted keys, in which an empty text counts as not given; the assignment with the highest
precedence wins; the whole tree is checked once by the types of `exai.config`. Each error is one sentence that names
the key and its source.
"""

import json
import os
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from exai.config import Settings
from exai.config.checks import check, check_addresses
from exai.config.client import CREDENTIALS_VARIABLE, TOKEN_VARIABLE, path_in
from exai.config.home import expanded, home_folder
from exai.config.placeholders import is_blank, placeholder_in
from exai.config.presets import PRESETS
from exai.config.secrets import (
    KEYRING_SERVICE,
    SECRETS_FOLDER_VARIABLE,
    AskKeyring,
    KeyringAnswer,
    secret_files,
    secrets_folder,
)
from exai.config.tree import ENVIRONMENT_PREFIX, KEY_ALIASES, NAME, Setting, find, rows, values
from exai.config.unknown_keys import is_close, is_of_orchestrator, settings_below, unknown_key
from exai.errors import StartFault
from exai.runtime.os_errors import reason_of
from exai.runtime.private_files import exposure

__all__ = [
    "CONFIG_FILE_VARIABLE",
    "Loaded",
    "Overrides",
    "load",
]

CONFIG_FILE_VARIABLE = "EXAI_CONFIG"
NO_SETTINGS = frozenset({CONFIG_FILE_VARIABLE, SECRETS_FOLDER_VARIABLE, TOKEN_VARIABLE, CREDENTIALS_VARIABLE})
"""Variables with the prefix of settings that are no settings."""
FILE_NAME = "exai.toml"
COMMAND_LINE = "command line"

Overrides = Mapping[str, object] | Sequence[str | tuple[str, object]]


@dataclass(frozen=True)
class Loaded:
    """The settings in force, and where they came from."""

    settings: Settings
    origins: Mapping[str, str]
    """For every dotted key: `default`, `preset NAME`, `file PATH`, `environment NAME`, `secret file PATH`,
    `keyring exai` or `command line`."""

    config_file: Path | None
    """The file that was read, if any."""

    secrets_folder: Path | None
    """The folder of files with one secret each; `None` without a home folder."""

    keyring_trouble: str | None = None
    """Why the keyring could not be asked, as a sentence; then the other sources were used."""

    unread_variables: tuple[str, ...] = ()
    """Environment variables with the prefix of settings that are no settings and not near one."""

    demo: bool = False
    """Whether these are the settings of the demonstration."""


@dataclass(frozen=True, slots=True)
class _Assignment:
    value: Any
    origin: str
    base: Path
    """The folder to which relative paths are relative."""


_Assignments = dict[str, _Assignment]


def load(
    *,
    environ: Mapping[str, str],
    config_file: Path | None,
    overrides: Overrides,
    cwd: Path,
    trust_cwd: bool = True,
    keyring: AskKeyring | None = None,
) -> Loaded:
    """Load and check the settings.

    Args:
        environ: the environment variables.
        config_file: the file to read; without one, `EXAI_CONFIG`, then `exai.toml` in `cwd`, then
            `~/.config/exai/exai.toml`. Only the first that exists is read. The one in `cwd`, which was
            not named, may not send a secret from another source to an address of its own.
        overrides: the values with the highest precedence, as `section.key=value` texts or as dotted keys with values;
            the last one of a key is used.
        cwd: the folder of relative paths in the environment and on the command line.
        trust_cwd: whether `exai.toml` in `cwd` is read. It must not be for a process that a client starts in a
            project's folder: a file of a cloned repository could send the user's key elsewhere.
        keyring: asked for every secret; `None` for no keyring.

    Raises:
        StartFault: a setting is unknown, misplaced or malformed.
    """
    home = home_folder(environ)
    file = _choose_file(config_file, environ, cwd, home, trust_cwd=trust_cwd)
    assigned: _Assignments = {}
    if file is not None:
        assigned.update(_from_file(file))
    assigned.update(_from_environment(environ, cwd))
    given = _from_overrides(overrides, cwd)
    secrets = _secret_keys({**assigned, **given})
    folder = secrets_folder(environ, cwd, home)
    if folder is not None:
        assigned.update(_from_secret_files(folder, secrets))
    answer = keyring(secrets) if keyring is not None else KeyringAnswer()
    for key, secret in answer.secrets.items():
        assigned[key] = _of_secret(key, secret, f"keyring {KEYRING_SERVICE}", cwd)
    assigned.update(given)
    _refuse_placeholders(assigned)
    assigned = {**_from_preset(assigned, cwd), **assigned}

    settings = _validated({key: _with_paths(key, found, home) for key, found in assigned.items()})
    settings = settings.model_copy(update={"data_dir": _data_folder(settings.data_dir, cwd, home)})
    origins = {key: assigned[key].origin if key in assigned else "default" for key, _ in values(settings)}
    check(settings, origins)
    if file is not None and _is_found(file, config_file, environ, cwd, home):
        check_addresses(settings, origins, file)
    return Loaded(settings, origins, file, folder, answer.trouble, _unread_variables(environ))


def _choose_file(
    explicit: Path | None, environ: Mapping[str, str], cwd: Path, home: Path | None, *, trust_cwd: bool
) -> Path | None:
    if explicit is not None:
        return _absolute(explicit, cwd, home)
    if named := path_in(environ, CONFIG_FILE_VARIABLE):
        return _absolute(named, cwd, home)
    usual = [cwd / FILE_NAME] if trust_cwd else []
    if home is not None:
        usual.append(_of_user(home))
    return next((candidate for candidate in usual if candidate.exists()), None)


def _of_user(home: Path) -> Path:
    return home / ".config" / "exai" / FILE_NAME


def _is_found(
    file: Path, explicit: Path | None, environ: Mapping[str, str], cwd: Path, home: Path | None
) -> bool:
    """Return whether the file was read only because it is in the working folder."""
    if explicit is not None or path_in(environ, CONFIG_FILE_VARIABLE) or file != cwd / FILE_NAME:
        return False
    return home is None or file.resolve() != _of_user(home).resolve()


def _from_file(file: Path) -> _Assignments:
    try:
        with file.open("rb") as stream:
            exposed = exposure(os.fstat(stream.fileno()))
            tree = tomllib.loads(stream.read().decode("utf-8-sig"))
    except FileNotFoundError:
        raise StartFault(
            f"The configuration file {file} does not exist; correct its path or create it."
        ) from None
    except OSError as error:
        reason = reason_of(error)
        raise StartFault(f"The configuration file {file} cannot be read ({reason}).") from error
    except UnicodeDecodeError:
        raise StartFault(f"The configuration file {file} is not UTF-8 text; save it as UTF-8.") from None
    except tomllib.TOMLDecodeError as error:
        raise StartFault(f"The configuration file {file} is not valid TOML: {error}.") from None
    origin = f"file {file}"
    found = {
        key: _Assignment(value, origin, file.parent)
        for key, value in _flatten(tree, origin)
        if not is_blank(value)
    }
    secret = next((key for key in found if (row := find(key)) is not None and row.secret), None)
    if exposed is not None and secret is not None:
        raise StartFault(f"{file} holds a secret, `{secret}`, and {exposed}; run `chmod 600 {file}`.")
    return found


def _secret_keys(assigned: Iterable[str]) -> list[str]:
    """List the keys of all secrets that a file or the keyring may have; of tables with free names, those in use."""
    found = []
    for row in rows():
        if not row.secret:
            continue
        section = row.key.partition(f".{NAME}.")[0]
        if section == row.key:
            found.append(row.key)
            continue
        inside = [key.removeprefix(f"{section}.") for key in assigned if key.startswith(f"{section}.")]
        names = sorted({key.partition(".")[0] for key in inside})
        found += [row.key.replace(NAME, name) for name in names]
    return found


def _from_environment(environ: Mapping[str, str], cwd: Path) -> _Assignments:
    found: _Assignments = {}
    for key, aliases in KEY_ALIASES.items():
        name = next((alias for alias in aliases if not is_blank(environ.get(alias, ""))), None)
        if name is not None:
            found[key] = _Assignment(environ[name].strip(), f"environment {name}", cwd)
    for name, key, text in _variables(environ):
        origin = f"environment {name}"
        setting = find(key)
        if setting is not None and not is_blank(text):
            found[key] = _Assignment(_from_text(setting, key, text, origin), origin, cwd)
        elif setting is None and is_close(key):
            raise unknown_key(key, origin, named=name)
    return found


def _unread_variables(environ: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(name for name, key, _ in _variables(environ) if find(key) is None)


def _variables(environ: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """List name, dotted key and text of the variables with the prefix of settings, without those of another purpose."""
    for name, text in environ.items():
        if not name.startswith(ENVIRONMENT_PREFIX) or name in NO_SETTINGS:
            continue
        key = name.removeprefix(ENVIRONMENT_PREFIX).lower().replace("__", ".")
        if find(key) is not None or not is_of_orchestrator(name, text):
            yield name, key, text


def _from_secret_files(folder: Path, keys: Iterable[str]) -> _Assignments:
    return {
        key: _of_secret(key, secret, f"secret file {folder / key}", folder)
        for key, secret in secret_files(folder, keys).items()
    }


def _refuse_placeholders(assigned: _Assignments) -> None:
    for key, assignment in assigned.items():
        setting = find(key)
        fault = placeholder_in(assignment.value, secret=setting is not None and setting.secret)
        if fault is not None:
            raise StartFault(f"`{key}` ({assignment.origin}) {fault}.")


def _of_secret(key: str, text: str, origin: str, base: Path) -> _Assignment:
    """Make the assignment of a file or a keyring's entry; unlike a variable, an empty one is there for a reason."""
    if is_blank(text):
        raise StartFault(f"`{key}` ({origin}) is set but empty; put the secret there, or remove it.")
    setting = find(key)
    return _Assignment(text if setting is None else _from_text(setting, key, text, origin), origin, base)


def _from_overrides(overrides: Overrides, cwd: Path) -> _Assignments:
    found: _Assignments = {}
    for override in overrides.items() if isinstance(overrides, Mapping) else overrides:
        key, value = _key_and_text(override) if isinstance(override, str) else override
        setting = find(key)
        if setting is None:
            raise unknown_key(key, COMMAND_LINE)
        if is_blank(value):
            continue
        if isinstance(override, str):
            value = _from_text(setting, key, str(value), COMMAND_LINE)
        found[key] = _Assignment(value, COMMAND_LINE, cwd)
    return found


def _from_preset(assigned: _Assignments, cwd: Path) -> _Assignments:
    """Return the values of the chosen preset; an unknown name is refused by the types."""
    chosen = assigned.get("preset")
    name = chosen.value.casefold() if chosen is not None and isinstance(chosen.value, str) else ""
    group = PRESETS.get(name, {})
    return {key: _Assignment(value, f"preset {name}", cwd) for key, value in group.items()}


def _key_and_text(override: str) -> tuple[str, object]:
    key, equals, text = override.partition("=")
    if not equals:
        raise StartFault("An override has no value; write it as `--set section.key=value`.")
    return key.strip(), text


def _flatten(tree: Mapping[str, Any], origin: str, above: str = "") -> Iterator[tuple[str, Any]]:
    """Flatten a file's tables into dotted keys, and check that each is known."""
    for name, value in tree.items():
        key = f"{above}{name}"
        if find(key) is not None:
            yield key, value
        elif not settings_below(key):
            raise unknown_key(_first_leaf(key, value), origin)
        elif isinstance(value, Mapping):
            yield from _flatten(value, origin, f"{key}.")
        else:
            raise StartFault(
                f"`{key}` ({origin}) is a section and takes no value; write `[{key}]` and its keys below."
            )


def _first_leaf(key: str, value: object) -> str:
    while isinstance(value, Mapping) and value:
        name, value = next(iter(value.items()))
        key = f"{key}.{name}"
    return key


def _from_text(setting: Setting, key: str, text: str, origin: str) -> object:
    """Parse a value written on one line: a list with commas or as JSON, anything else without white space around it."""
    text = text.strip()
    if not setting.is_list:
        return text
    if setting.is_table or text.startswith("["):
        try:
            return json.loads(text)
        except ValueError:
            raise StartFault(f"`{key}` ({origin}) must be {setting.type}, written as JSON.") from None
    return [member.strip() for member in text.split(",") if member.strip()]


def _with_paths(key: str, assignment: _Assignment, home: Path | None) -> _Assignment:
    """Make `~` and relative paths of an assignment absolute."""
    setting = find(key)
    if setting is None or not setting.is_path:
        return assignment

    def absolute(value: object) -> object:
        return _absolute(Path(value), assignment.base, home) if isinstance(value, str | Path) else value

    value = assignment.value
    paths = [absolute(member) for member in value] if isinstance(value, list | tuple) else absolute(value)
    return replace(assignment, value=paths)


def _data_folder(path: Path, cwd: Path, home: Path | None) -> Path:
    try:
        return _absolute(path, cwd, home)
    except StartFault:
        raise StartFault(
            "`data_dir` is in the home folder unless it is set, and this process has no home: `HOME` is not set and "
            "the user database has no entry for its user. Set `EXAI_DATA_DIR` or `HOME` to a folder of this user."
        ) from None


def _absolute(path: Path, base: Path, home: Path | None) -> Path:
    return base / expanded(path, home)


def _validated(assigned: Mapping[str, _Assignment]) -> Settings:
    tree: dict[str, Any] = {}
    for key, assignment in assigned.items():
        *sections, name = key.split(".")
        section = tree
        for above in sections:
            section = section.setdefault(above, {})
        section[name] = assignment.value
    try:
        return Settings.model_validate(tree)
    except ValidationError as error:
        # Not chained: pydantic's own text quotes the value, which may be a secret.
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        raise _wrong_value(first["type"], tuple(str(part) for part in first["loc"]), assigned) from None


def _wrong_value(kind: str, place: tuple[str, ...], assigned: Mapping[str, _Assignment]) -> StartFault:
    """Describe a value that the types refuse."""
    key = next(
        (".".join(place[:length]) for length in range(len(place), 0, -1) if find(".".join(place[:length]))),
        ".".join(place),
    )
    setting = find(key)
    if setting is not None and key in assigned:
        return StartFault(f"`{key}` ({assigned[key].origin}) must be {setting.type}.")
    table = ".".join(place[:3])
    origin = next(
        (found.origin for other, found in assigned.items() if other.startswith(f"{table}.")), "unset"
    )
    if setting is not None and kind == "missing":
        return StartFault(f"`{key}` is missing, which `{table}` ({origin}) needs: it must be {setting.type}.")
    return StartFault(
        f"`{table}` ({origin}) has a name that it cannot have: "
        "use 1 to 32 of `a-z`, `0-9`, `_` and `-`, a letter first."
    )
