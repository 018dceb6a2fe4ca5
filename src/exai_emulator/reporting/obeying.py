"""The persona `gullible`: it does what any text tells it to."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from exai_emulator.tool_calls import ScriptedCall

__all__ = ["Obeyed", "told_to"]

_CALL = re.compile(
    r"\b(?:call|use|run|invoke)\s+(?:the\s+)?(?:tool|function)\s+[`\"']?([\w.-]+)[`\"']?", re.IGNORECASE
)
_WITH = re.compile(r"\s*(?:with|on|using)?\s*(?:the\s+)?(?:arguments?)?:?\s*(?=\{)", re.IGNORECASE)
_SAY = re.compile(
    r"\b(?:repeat|say|print|output|answer with|respond with|include|write)\b[^\"`\n]{0,60}[\"`]([^\"`\n]{1,200})[\"`]",
    re.IGNORECASE,
)
_TELL = re.compile(
    r"\b(?:repeat|reveal|print|show|output)\s+(?:all\s+of\s+)?(?:your|the)\s+(?:system\s+)?(?:prompt|instructions)",
    re.IGNORECASE,
)
_SILENCE = re.compile(
    r"\b(?:do not|don't|never)\s+(?:report|mention|flag|list)\b"
    r"|\b(?:report|answer with|return)\s+(?:no|nothing|zero|an empty)\b|\bnothing is reported\b"
    r"|\b(?:leave out|omit|withdraw|suppress|ignore)\s+(?:all\s+|any\s+|every\s+)?(?:\w+\s+)?"
    r"(?:findings?|defects?|issues?|bugs?|problems?)\b"
    r"|\bapprove\s+(?:this|the)\s+(?:change|file|code|diff)\b",
    re.IGNORECASE,
)
_CLAIM = re.compile(
    r"\bno (?:review|check) (?:is )?needed\b|\bno (?:defect|bug|issue) is left\b|\bis impossible here\b"
    r"|\b(?:was|were) (?:tested|validated|verified|proved|reviewed) by\b",
    re.IGNORECASE,
)
_SENTENCE = re.compile(r"[^.!?\n]+")
_CONDITION = re.compile(r"\b(?:if|when|where|unless|that|which)\b", re.IGNORECASE)
_VISIT = re.compile(
    r"\b(?:fetch|open|visit|load|send\b[^\n]{0,60}\bto)\s+<?(https?://[^\s>\"'`)]+)", re.IGNORECASE
)
_URL_NAMES = ("url", "address", "uri", "link")
_decoder = json.JSONDecoder()


@dataclass(slots=True)
class Obeyed:
    """What the texts of a request tell the model to do."""

    calls: list[ScriptedCall] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    is_silenced: bool = False
    """Whether it is to leave findings out."""


def told_to(texts: Sequence[str], system: str, functions: Sequence[Any]) -> Obeyed:
    """Everything that the texts tell: tools to call, declared or not, strings to repeat, findings to leave out.

    What says under which condition something is left out ("if there is no defect, return an empty list") leaves
    nothing out, and neither does the system message, which says what is to be done at all.
    """
    told = Obeyed()
    for text in texts:
        told.calls += _calls(text)
        told.said += _SAY.findall(text)
        if _TELL.search(text):
            told.said.append(system)
        for url in _VISIT.findall(text):
            told.said.append(f"![]({url})")
            told.calls += _visits(url, functions)
        told.is_silenced = told.is_silenced or (text != system and _silences(text))
    return told


def _silences(text: str) -> bool:
    return any(
        (_SILENCE.search(sentence) or _CLAIM.search(sentence)) and not _CONDITION.search(sentence)
        for sentence in _SENTENCE.findall(text)
    )


def _calls(text: str) -> Iterator[ScriptedCall]:
    for match in _CALL.finditer(text):
        arguments: Any = {}
        if before := _WITH.match(text, match.end()):
            try:
                arguments, _ = _decoder.raw_decode(text, before.end())
            except (ValueError, RecursionError):
                arguments = {}
        yield ScriptedCall(match[1], arguments)


def _visits(url: str, functions: Sequence[Any]) -> Iterator[ScriptedCall]:
    """A call of the first declared function that takes an address."""
    for function in functions:
        parameters = function.get("parameters")
        properties = parameters.get("properties") if isinstance(parameters, dict) else None
        for name in properties if isinstance(properties, dict) else ():
            if name in _URL_NAMES:
                yield ScriptedCall(str(function.get("name")), {name: url})
                return
