"""The text of a client's file with EXAI's entry in it; everything else in the file is kept.

A file is not written where something of it would be lost: comments in JSON, and a table of TOML that is written in
another way than line by line.
"""

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from exai.cli.setup.clients import Client
from exai.cli.setup.entries import merged_entry
from exai.cli.setup.server import SERVER_NAME, JsonObject
from exai.errors import StartFault

__all__ = ["Change", "entry_text", "with_entry"]


@dataclass(frozen=True)
class Change:
    """A file's text before and after, and the entry in it."""

    text: str
    before: object
    """The entry that stood there; `None` without one."""
    after: JsonObject
    changes: bool
    """Whether there is anything to write."""


def entry_text(client: Client, entry: JsonObject) -> str:
    """Format an entry as it stands in a file that has nothing else."""
    if client.form == "toml":
        return _toml_table(client.servers_key, entry)
    return _json({client.servers_key: {SERVER_NAME: entry}}, "  ")


def with_entry(text: str | None, client: Client, entry: JsonObject, *, place: str) -> Change:
    """Put EXAI's entry into the text of a client's file.

    Args:
        text: `None` when there is no file.
        place: the file's path, for the message.

    Raises:
        StartFault: the text cannot be written back without losing something.
    """
    if client.form == "toml":
        return _with_toml_table(text or "", client, entry, place)
    document = _parsed(text, place) if text is not None and text.strip() else dict(client.head)
    servers = document.setdefault(client.servers_key, {})
    if not isinstance(servers, dict):
        raise StartFault(f"`{client.servers_key}` in {place} is not a JSON object; nothing was written.")
    before = servers.get(SERVER_NAME)
    after = merged_entry(before, entry)
    servers[SERVER_NAME] = after
    inputs_added = _add_inputs(document, _inputs_of(client, after), place)
    return Change(_json(document, _indent_of(text)), before, after, before != after or inputs_added)


def _inputs_of(client: Client, entry: JsonObject) -> Sequence[JsonObject]:
    """Return the inputs that an entry refers to."""
    return client.inputs if client.token is not None and client.token in json.dumps(entry) else ()


def _add_inputs(document: JsonObject, inputs: Sequence[JsonObject], place: str) -> bool:
    """Add the inputs that the file does not have; one with the same id is kept as it is."""
    if not inputs:
        return False
    present = document.setdefault("inputs", [])
    if not isinstance(present, list):
        raise StartFault(f"`inputs` in {place} is not a JSON list; nothing was written.")
    known = {each.get("id") for each in present if isinstance(each, dict)}
    missing = [each for each in inputs if each["id"] not in known]
    present.extend(missing)
    return bool(missing)


def _parsed(text: str, place: str) -> JsonObject:
    try:
        document = json.loads(text)
    except ValueError as error:
        spot = f", line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise StartFault(
            f"{place} is not plain JSON{spot} (comments and trailing commas cannot be kept), so nothing was "
            "written; paste the entry shown above into it yourself, or leave this client out with `--client`."
        ) from None
    if not isinstance(document, dict):
        raise StartFault(
            f"{place} does not hold a JSON object, so nothing was written; correct or remove it."
        )
    return document


def _indent_of(text: str | None) -> str:
    """Return the indentation that the file has, so that no other line of it changes."""
    found = re.search(r"^[ \t]+(?=\S)", text or "", flags=re.MULTILINE)
    return found.group() if found else "  "


def _json(document: JsonObject, indent: str) -> str:
    return f"{json.dumps(document, indent=indent, ensure_ascii=False)}\n"


def _with_toml_table(text: str, client: Client, entry: JsonObject, place: str) -> Change:
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise StartFault(f"{place} is not TOML ({error}), so nothing was written; correct it.") from None
    servers = document.get(client.servers_key, {})
    before = servers.get(SERVER_NAME) if isinstance(servers, dict) else None
    after = merged_entry(before, entry)
    name = f"{client.servers_key}.{SERVER_NAME}"
    if before is None:
        written = f"{text.rstrip()}\n\n{_toml_table(client.servers_key, after)}".lstrip()
    else:
        written = _edited(text, name, before, after)
    expected = {**document, client.servers_key: {**servers, SERVER_NAME: after}}
    if not _says(written, expected):
        raise StartFault(
            f"`{name}` in {place} is written in a way that cannot be changed line by line, so nothing was written; "
            "paste the table shown above into it yourself, or leave this client out with `--client`."
        )
    return Change(written, before, after, before != after)


def _says(text: str, expected: Mapping[str, object]) -> bool:
    try:
        return tomllib.loads(text) == expected
    except tomllib.TOMLDecodeError:
        return False


def _toml_table(servers_key: str, entry: JsonObject) -> str:
    return "\n".join([f"[{servers_key}.{SERVER_NAME}]", *map(_toml_line, entry.items()), ""])


def _toml_line(member: tuple[str, object]) -> str:
    name, value = member
    # JSON of texts, numbers and lists of texts is TOML, but for one control character that must be escaped.
    return f"{name} = {json.dumps(value, ensure_ascii=False)}".replace("\x7f", "\\u007f")


def _edited(text: str, table: str, before: object, after: JsonObject) -> str:
    """Replace, add and remove lines of a table; what has several lines stays, and the caller sees that."""
    old = before if isinstance(before, dict) else {}
    parts = [rf'["\']?{re.escape(part)}["\']?' for part in table.split(".")]
    path = r"\s*\.\s*".join(parts)
    header = re.compile(rf"^\s*\[\s*{path}\s*\]")
    lines = text.splitlines()
    start = next((number for number, line in enumerate(lines) if header.match(line)), None)
    if start is None:
        return text
    end = next((n for n in range(start + 1, len(lines)) if lines[n].lstrip().startswith("[")), len(lines))
    written = []
    for line in lines[start + 1 : end]:
        name = _member_of(line)
        if name is None or (name in after and after[name] == old.get(name)):
            written.append(line)
        elif name in after:
            written.append(_toml_line((name, after[name])))
    added = [_toml_line(member) for member in after.items() if member[0] not in old]
    return "\n".join([*lines[: start + 1], *added, *written, *lines[end:], ""])


def _member_of(line: str) -> str | None:
    """Return the name of the member that this one line has; `None` for any other line."""
    try:
        member = tomllib.loads(line)
    except tomllib.TOMLDecodeError:
        return None
    return next(iter(member), None)
