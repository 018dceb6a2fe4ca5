"""The answer of a call: the tool's result as text and as JSON, and in its `_meta` the report of how it came about."""

from collections.abc import Mapping
from functools import cache
from typing import Any

import msgspec

from exai.consulting.results import Confirmation, Report, Result, ToolReturn
from exai.error_tracking.provenance import Provenance
from exai.protocol.schemas import output_schema
from exai.tools.base import JsonObject, Tool, ToolAnswer

__all__ = [
    "ALIAS_KEY",
    "CONFIRMATION_KEY",
    "PROVENANCE_KEY",
    "REPORT_KEY",
    "CallFacts",
    "answer_of",
    "check_report",
    "confirmation_of",
    "declined",
    "listed_output",
    "to_be_confirmed",
    "under_alias",
    "with_facts",
    "with_note",
    "written_by_server",
]

REPORT_KEY = "exai/report"
"""In the `_meta` of an answer: for programs, as no client shows it to its model."""


ALIAS_KEY = "exai/alias"
"""In the `_meta` of an answer to a call by an older name: that name, and the tool that it stands for."""

CONFIRMATION_KEY = "exai/confirmation"
"""In the `_meta` of an answer of a call that asked nobody, as it needs a budget: which, and how long a door that asks
the user for it may wait."""
PROVENANCE_KEY = "exai/provenance"
"""In the `_meta` of a content block: who wrote its text."""

HANDLES = frozenset({"continuation_id", "plan_id"})
"""Fields that stand first where a result has them."""
EMULATED_MARK = "[emulated "
"""How the texts of emulated models begin (docs/emulator.md). What is made of their objects has none."""
EMULATED_NOTE = "This is a demonstration: the emulator answered, and no model."


_latest: dict[type[Result], tuple[ToolReturn[Any], ToolAnswer]] = {}
"""By the kind of a result that is kept, the latest one with its answer."""


class CallFacts(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the dispatcher adds to the report of a tool that asks a provider."""

    call_id: str
    """Its row in the journal."""
    timings: dict[str, float]
    """Milliseconds by stage, which add up to the latency."""
    emulated: bool = False
    """Whether a demonstration's emulator answered, so that nothing of the cost was charged."""


def listed_output(tool: Tool[Any, Any]) -> JsonObject:
    """Make the output schema of a tool from the fields of its result, as far as the list describes them."""
    schema = output_schema(tool.result, depth=tool.listed_depth)
    fields, listed = schema["properties"], tool.listed_result
    return {
        "type": "object",
        "properties": fields if listed is None else {name: fields[name] for name in listed},
    }


def check_report(tool: Tool[Any, Any]) -> None:
    """Refuse a tool whose report has a field that the dispatcher adds.

    Raises:
        ValueError: with the field's name.
    """
    fields = () if tool.report is None else tool.report.__struct_encode_fields__
    if twice := sorted(set(fields).intersection(CallFacts.__struct_encode_fields__)):
        raise ValueError(f"CallFacts repeats the fields {', '.join(twice)} of what {tool.name} reports")


def answer_of(returned: ToolReturn[Any]) -> ToolAnswer:
    """Render a result as text and as JSON, and its report beside it.

    Fields of the result that have their default are left out, and so are empty ones of the objects in it.
    """
    if not returned.result.is_kept:
        return _rendered(returned)
    kind = type(returned.result)
    latest = _latest.get(kind)
    if latest is None or latest[0] is not returned:
        latest = _latest[kind] = returned, _rendered(returned)
    return latest[1]


def _rendered(returned: ToolReturn[Any]) -> ToolAnswer:
    result = returned.result
    kind: object = type(result)
    usual = _defaults_of(kind)
    structured = {
        name: _said(value)
        for name, value in msgspec.to_builtins(result).items()
        if name not in usual or getattr(result, name) != usual[name]
    }
    blocks = [_block(each.text, each.provenance) for each in result.blocks()] if result.names_writers else []
    answer = ToolAnswer(text=result.text(), structured=structured, meta=_meta(returned.report), blocks=blocks)
    if not returned.links:
        return answer
    links = [
        {"type": "resource_link", "uri": link.uri, "name": link.name, "mimeType": link.mime_type}
        for link in returned.links
    ]
    return msgspec.structs.replace(answer, links=links)


def with_facts(answer: ToolAnswer, facts: CallFacts) -> ToolAnswer:
    """Return the answer with the facts of its call in the report; what is emulated says so in its text too."""
    if facts.emulated and EMULATED_MARK not in answer.text:
        answer = with_note(answer, EMULATED_NOTE)
    meta = answer.meta or {}
    report = {**msgspec.to_builtins(facts), **meta.get(REPORT_KEY, {})}
    return msgspec.structs.replace(answer, meta={**meta, REPORT_KEY: report})


def with_note(answer: ToolAnswer, sentence: str) -> ToolAnswer:
    """Return the answer with a further note before all others, behind the handle, which stands first in both forms."""
    rest = dict(answer.structured or {})
    handle = {name: rest.pop(name) for name in [*rest] if name in HANDLES}
    notes = [sentence, *rest.pop("notes", ())]
    head, body = ("", answer.text) if not answer.text.startswith("[") else _split(answer.text)
    return msgspec.structs.replace(
        answer, text=f"{head}Note: {sentence}\n{body}", structured={**handle, "notes": notes, **rest}
    )


def _split(text: str) -> tuple[str, str]:
    """Split a text behind its first line, which has the handle."""
    head, _, body = text.partition("\n")
    return f"{head}\n", body


def written_by_server(answer: ToolAnswer) -> ToolAnswer:
    """Return the answer as a block that says that EXAI's server wrote it."""
    return msgspec.structs.replace(answer, blocks=[_block(answer.text, "server")])


def under_alias(answer: ToolAnswer, older: str, tool: str) -> ToolAnswer:
    """Return the answer of a call by an older name, which says what that stands for."""
    return msgspec.structs.replace(
        answer, meta={**(answer.meta or {}), ALIAS_KEY: {"name": older, "tool": tool}}
    )


def to_be_confirmed(answer: ToolAnswer, confirmation: Confirmation, within_s: float) -> ToolAnswer:
    """Return the answer of a call that needs a budget, with what a door needs to ask for it."""
    needed = {**msgspec.to_builtins(confirmation), "within_s": within_s}
    return msgspec.structs.replace(answer, meta={**(answer.meta or {}), CONFIRMATION_KEY: needed})


def confirmation_of(answer: ToolAnswer) -> tuple[Confirmation, float] | None:
    """Return what a call needs before it asks anybody, and for how many seconds its user may be waited for."""
    needed = (answer.meta or {}).get(CONFIRMATION_KEY)
    if needed is None:
        return None
    facts = dict(needed)
    within_s = float(facts.pop("within_s"))
    return msgspec.convert(facts, Confirmation), within_s


def declined(confirmation: Confirmation) -> ToolAnswer:
    """Make the answer of a call whose user did not allow what it needs."""
    sentence = (
        f"Nothing was asked, and nothing spent: this call is estimated at about ${confirmation.estimated_usd:.4f}, and "
        "the user did not allow it. Make it again only if the user asks for that; a narrower question, or fewer files, "
        "cost less."
    )
    run = confirmation.continuation_id
    handle = {} if run is None else {"continuation_id": run}
    head = "" if run is None else f"[continuation_id: {run}]\n\n"
    return ToolAnswer(text=head + sentence, structured={**handle, "answer": sentence})


@cache
def _defaults_of(result: object) -> Mapping[str, Any]:
    """Return the defaults of the fields of a result's class."""
    assert isinstance(result, type), "a result's class"  # noqa: S101 - `cache` takes what is hashable
    return {field.name: field.default for field in msgspec.structs.fields(result) if not field.required}


def _block(text: str, provenance: Provenance) -> JsonObject:
    return {"type": "text", "text": text, "_meta": {PROVENANCE_KEY: provenance}}


def _meta(report: Report | None) -> JsonObject | None:
    return None if report is None else {REPORT_KEY: msgspec.to_builtins(report)}


def _said(value: Any) -> Any:
    """Return a value without the empty fields of the objects in it."""
    if isinstance(value, dict):
        pairs = ((name, _said(field)) for name, field in value.items())
        return {name: field for name, field in pairs if not _is_empty(field)}
    if isinstance(value, list | tuple):
        return [_said(item) for item in value]
    return value


def _is_empty(value: Any) -> bool:
    return value is None or (isinstance(value, str | list | tuple | dict) and not value)
