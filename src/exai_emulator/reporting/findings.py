"""Findings that a persona reports: scripted ones that it can see, false ones, and falsified ones."""

import re
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any, Literal

import msgspec

from exai_emulator.objects.making import made
from exai_emulator.objects.schemas import Schema, list_at, mapping_at, resolved
from exai_emulator.reporting.shown import shown_lines

__all__ = [
    "Cites",
    "Judging",
    "Lie",
    "ScriptedFinding",
    "as_entries",
    "as_text",
    "false_findings",
    "falsified",
    "findings_list",
    "judgements",
    "seen",
]

Lie = Literal["shifted", "wrong_file", "paraphrased", "invented"]
"""What is false about a citation: its lines, its file, its words, or all of it."""

LIES: tuple[Lie, ...] = ("shifted", "wrong_file", "paraphrased", "invented")
_PATH = re.compile(r"\b[\w./-]*\w\.(?:py|ts|js|go|rs|java|md|toml|json)\b")
_LEAST_QUOTED = 8
_HALF = 0.5
_CLAIMS = (
    "This value may be used before it is checked.",
    "An error that is raised here leaves the state half written.",
    "Two callers at the same time see each other's data.",
    "The result is off by one at the end of the range.",
    "What is opened here is not closed when the next line fails.",
    "Input reaches this line without validation.",
)


class ScriptedFinding(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A finding, and what must be seen for it."""

    fields: dict[str, Any]
    """What is reported. Where a schema is asked for, only the properties that an entry of its list has."""
    markers: tuple[str, ...] = ()
    """It is reported when all of these stand in what the request shows."""


class Cites(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The names of the fields that cite a place."""

    path: str = "path"
    first: str = "from"
    last: str = "to"
    quote: str = "quote"
    message: str = "message"


class Judging(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How findings of others are judged, where a request puts them to the model."""

    pattern: str
    """Finds each of them in the last user message: its group `id`, and the whole match is what it says."""
    id: str = "id"
    verdict: str = "verdict"
    """The names of the fields of an entry."""
    confirmed: str = "confirmed"
    refuted: str = "refuted"

    def __post_init__(self) -> None:
        try:
            named = re.compile(self.pattern).groupindex
        except re.error as error:
            raise ValueError(f"The pattern of a judging is no regular expression: {error}.") from error
        if "id" not in named:
            raise ValueError("The pattern of a judging needs a group named `id`.")


def seen(findings: Sequence[ScriptedFinding], texts: Sequence[str]) -> list[dict[str, Any]]:
    """The findings whose markers all stand in the texts."""
    return [
        finding.fields
        for finding in findings
        if all(any(marker in text for text in texts) for marker in finding.markers)
    ]


def findings_list(schema: Schema) -> tuple[str, Schema] | None:
    """The property of a schema whose entries are findings, and their schema: the first list of objects.

    One that is named `findings` goes before others.
    """
    properties = mapping_at(resolved(schema, schema), "properties")
    lists = {}
    for name, part in properties.items():
        entries = (
            resolved(mapping_at(resolved(part, schema), "items"), schema) if isinstance(part, dict) else {}
        )
        if "properties" in entries:
            lists[name] = entries
    for name in ("findings", *lists):
        if name in lists:
            return name, lists[name]
    return None


def as_entries(
    findings: Sequence[Mapping[str, Any]], entry: Schema, root: Schema, rng: Random | None = None
) -> list[dict[str, Any]]:
    """The findings as entries of a list. With `rng` enumerations that a finding says nothing of are drawn."""
    properties = mapping_at(entry, "properties")
    rows = []
    for finding in findings:
        fields = {name: value for name, value in finding.items() if name in properties}
        for name, part in properties.items():
            choices = list_at(resolved(part, root), "enum") if isinstance(part, dict) else []
            if rng is not None and choices and name not in fields:
                fields[name] = rng.choice(choices)
        schema = {**entry, "$defs": mapping_at(root, "$defs")}
        rows.append(made(schema, str(finding.get("message", "")), fields))
    return rows


def as_text(findings: Sequence[Mapping[str, Any]]) -> str:
    """The findings as a list in Markdown."""
    if not findings:
        return "No finding."
    return "\n".join(
        "- " + "; ".join(f"{name}: {value}" for name, value in finding.items()) for finding in findings
    )


def judgements(
    judging: Judging, asked: str, believed: Sequence[Mapping[str, Any]] | None, cites: Cites
) -> list[dict[str, Any]]:
    """A verdict on each finding that is put to the model; None believes all of them.

    One is believed that names the file of a believed finding and holds its quote, or that has its message.
    """
    rows = []
    for match in re.finditer(judging.pattern, asked, re.MULTILINE | re.DOTALL):
        is_true = believed is None or any(_is_told(finding, match[0], cites) for finding in believed)
        verdict = judging.confirmed if is_true else judging.refuted
        rows.append({judging.id: match["id"], judging.verdict: verdict})
    return rows


def _is_told(finding: Mapping[str, Any], text: str, cites: Cites) -> bool:
    path, quote = finding.get(cites.path), finding.get(cites.quote)
    message = finding.get(cites.message)
    if isinstance(message, str) and message and message in text:
        return True
    return bool(path and quote) and str(path) in text and str(quote) in text


def false_findings(count: int, rng: Random, texts: Sequence[str], cites: Cites) -> list[dict[str, Any]]:
    """So many false findings about lines that were shown; every second one quotes what is not there."""
    places = [
        (name, number, line.strip())
        for name, lines in shown_lines(texts).items()
        for number, line in lines.items()
        if len(line.strip()) >= _LEAST_QUOTED
    ] or [("unknown.py", 1, "")]
    found = []
    for number in range(count):
        path, line, quote = rng.choice(places)
        is_true = number % 2 == 0 and quote
        finding = {cites.path: path, cites.first: line, cites.last: line}
        finding[cites.quote] = quote if is_true else _invented(rng)
        finding[cites.message] = rng.choice(_CLAIMS)
        found.append(finding)
    return found


def falsified(
    finding: Mapping[str, Any], lie: Lie, rng: Random, texts: Sequence[str], cites: Cites
) -> dict[str, Any]:
    """A finding with a false citation."""
    told = dict(finding)
    if lie == "shifted":
        shift = rng.randint(3, 150)
        lines = [told[name] for name in (cites.first, cites.last) if isinstance(told.get(name), int)]
        shift = -shift if min(lines, default=0) > shift and rng.random() < _HALF else shift
        for name in (cites.first, cites.last):
            if isinstance(told.get(name), int):
                told[name] += shift
    elif lie == "wrong_file":
        own = str(told.get(cites.path, ""))
        named = set(shown_lines(texts)) - {own} or {
            name for text in texts for name in _PATH.findall(text)
        } - {own}
        told[cites.path] = rng.choice(sorted(named)) if named else f"other/{own}"
    elif lie == "paraphrased":
        told[cites.quote] = _paraphrased(str(told.get(cites.quote, "")))
    else:
        told[cites.quote] = _invented(rng)
        told[cites.first] = told[cites.last] = rng.randint(1, 400)
    return told


def _paraphrased(quote: str) -> str:
    """The same in other words, as somebody tells it who does not look at it."""
    said = {
        "==": " equals ",
        "!=": " differs from ",
        "=": " becomes ",
        "_": " ",
        "(": " of ",
        ")": "",
        "not": "never",
    }
    words = re.sub("|".join(map(re.escape, said)), lambda found: said[found[0]], quote)
    return "so " + " ".join(words.split()).lower()


def _invented(rng: Random) -> str:
    return f"emulated_{rng.randrange(10**6)} = invent({rng.randrange(10**6)})"
