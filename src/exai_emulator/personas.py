"""What the emulated models say. Every persona is a function of the request alone.

Every answer begins with `[emulated <model>] `, so nobody mistakes it for a real one;
in JSON mode it is an object whose first key is `emulated`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import cycle, islice
from typing import Any, Literal

import msgspec

from exai_emulator.objects.forms import ObjectForm, in_form
from exai_emulator.objects.making import made
from exai_emulator.reader import read_on
from exai_emulator.reporting.exploring import filled
from exai_emulator.reporting.investigating import Conduct, investigated, is_investigation
from exai_emulator.reporting.turns import REPORTERS, Report, ReportTurn, Shown, reports
from exai_emulator.tokens import count_tokens, cut_to_tokens
from exai_emulator.tool_calls import SaidCall, ScriptedCall

__all__ = ["Answer", "Persona", "PersonaKind", "Personas", "Question", "answer_of"]

PersonaKind = Literal[
    "auto",
    "echo",
    "fixed",
    "recall",
    "long",
    "reader",
    "noisy",
    "liar",
    "gullible",
    "follower",
    "explorer",
    "writer",
    "investigator",
]

DEFAULT_THINK_TOKENS = 12

# Four characters each, so that one word is one token of the estimator.
_WORDS = re.findall(
    r"\w+", "the owl ran far and saw one red fox sit low for ten due low sun ray may yet try out all day now"
)
_THOUGHTS = re.findall(r"\w+", "let all see how far one can get ask why and yet try for the end")

_RECALLS = re.compile(r"\brecall\b|\bquote\b|\bwh(?:at|ich)\b[^.?!\n]{0,40}\bsecret word\b", re.IGNORECASE)
_SECRET = re.compile(r"\bsecret word is[\s:\"'“‘`*]*([\w-]+)", re.IGNORECASE)
_LOOKED_AT = 2_000
_QUERY_CHARACTERS = 70


class Persona(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How the emulated models answer.

    - `auto`: what the tools returned, once they were called; `recall` when the last user message asks to
      recall, to quote or for the secret word; else `echo`.
    - `echo`: the last user message.
    - `fixed`: `text`.
    - `recall`: only from the conversation that was sent: the word that followed "secret word is" in a user
      or system message or in a file that was shown, or the earlier user messages themselves.
    - `long`: `tokens` tokens of a fixed text.
    - `reader`: what the lines hold that the last user message asks about, from what was shown and from tools
      that read lines; with a `report`, each of its findings whose markers are all shown.
    - `noisy`: the same findings, and false ones.
    - `liar`: the same findings with false citations.
    - `gullible`: the same findings, and does what any text that it is shown tells it to.
    - `follower`: votes as most of what it is shown.
    - `explorer`: calls the tools of its `rounds` that are declared, then reports like `reader`.
    - `writer`: a unified diff that makes the edits of its `report` in the lines that it is shown.
    - `investigator`: the cause of a fault by a schema, citing the evidence that it is shown, as its `conduct` says.
      So does `auto`, honestly.
    """

    kind: PersonaKind = "auto"
    text: str = ""
    """Of `fixed`; of the others, what they say before they call tools."""
    tokens: int = 0
    rounds: tuple[tuple[ScriptedCall, ...], ...] = ()
    """The tool calls of each answer to one user message, while the request declares tools; then the answer.

    Without them, a function that requires a `query` and nothing else is called once with the last user
    message, by `auto` alone.
    """
    searches: int = 1
    """How often a model with Kimi's `$web_search` searches for one user message."""
    delay_per_token_ms: float = 0
    """Time before each streamed token, thinking included; a call that does not stream waits for all."""
    first_byte_delay_ms: float = 0
    think_tokens: int | None = None
    """Tokens of thinking on a model that thinks. None: 12, or 0 at GLM's effort `low`."""
    frames_per_write: int = 1
    """How many stream frames share one write when nothing is delayed."""
    characters_per_frame: int = 0
    """How much text a stream frame holds; 0 for about a token."""
    fields: dict[str, Any] = {}
    """Of the object that a request asks for, instead of what is made from its schema."""
    object_form: ObjectForm = "valid"
    """How an object is answered."""
    report: Report = Report()
    """Of the personas that find, judge, vote and write."""
    conduct: Conduct = "honest"
    """Of `investigator`."""

    def __post_init__(self) -> None:
        if min(self.tokens, self.searches, self.delay_per_token_ms, self.first_byte_delay_ms) < 0:
            raise ValueError("A persona's tokens, searches and delays cannot be negative.")
        if self.think_tokens is not None and self.think_tokens < 0:
            raise ValueError("A persona's think_tokens cannot be negative.")
        if self.characters_per_frame < 0:
            raise ValueError("A persona's characters_per_frame cannot be negative.")
        if self.frames_per_write < 1:
            raise ValueError("A persona's frames_per_write is at least 1.")


@dataclass(slots=True)
class Question:
    """What a persona sees of a request."""

    model: str
    texts: Sequence[tuple[str, str]]
    """Role and text of every message, in order."""
    thinks: bool
    think_tokens: int
    """Tokens of thinking when the persona does not say."""
    cap: int
    """Most tokens the answer may have, thinking included."""
    stop: Sequence[str] = ()
    json_mode: bool = False
    schema: Mapping[str, Any] | None = None
    """Of the object that is asked for, where the request has one."""
    tools: bool = False
    """Whether the request declares functions."""
    rounds_made: int = 0
    """How often the model has called tools since the last user message."""
    query_tool: str | None = None
    """A declared function that requires a `query` and nothing else."""
    messages: Sequence[Mapping[str, Any]] = ()
    functions: Sequence[Mapping[str, Any]] = ()
    """Those that the request declares."""
    documents: Sequence[tuple[str, str]] = ()
    """Name and text of the files that its messages show."""


@dataclass(slots=True)
class Answer:
    """What is sent back, whatever the provider's form."""

    reasoning: str
    content: str
    finish_reason: str
    reasoning_tokens: int
    content_tokens: int
    delay_per_token: float
    """Seconds."""
    first_byte_delay: float
    """Seconds."""
    frames_per_write: int = 1
    characters_per_frame: int = 0
    calls: tuple[SaidCall, ...] = ()
    searches: int = 1
    """Of the persona."""

    @property
    def tokens(self) -> int:
        return self.reasoning_tokens + self.content_tokens + sum(call.tokens for call in self.calls)

    def call(self, *calls: SaidCall) -> None:
        """Make it one that calls tools, and says nothing that was not meant to be said before."""
        if not self.calls:
            self.content, self.content_tokens = "", 0
        self.calls += calls
        self.finish_reason = "tool_calls"


class Personas:
    """The persona in force, for everyone or for one provider or model."""

    def __init__(self, default: Persona) -> None:
        self._initial = default
        self.reset()

    def reset(self) -> None:
        """Back to the persona of the start, for everyone."""
        self.set(self._initial)

    def set(self, persona: Persona, *, provider: str | None = None, model: str | None = None) -> None:
        """Put `persona` in force. Without a provider or model it is everyone's and replaces all others."""
        if provider is None and model is None:
            self.default = persona
            self._special: dict[tuple[str | None, str | None], Persona] = {}
        else:
            self._special[provider, model] = persona

    def of(self, provider: str, model: str) -> Persona:
        """The nearest persona: of the model, then of the provider, then everyone's."""
        special = self._special
        if not special:
            return self.default
        for key in ((provider, model), (None, model), (provider, None)):
            if key in special:
                return special[key]
        return self.default

    def listed(self) -> list[dict[str, object]]:
        """Every persona in force, everyone's first."""
        return [
            {"provider": provider, "model": model, "persona": msgspec.to_builtins(persona)}
            for (provider, model), persona in (((None, None), self.default), *self._special.items())
        ]


def answer_of(persona: Persona, question: Question) -> Answer:
    """The answer of `persona`, cut to the request's cap (thinking first) and stop strings."""
    turn = _turn(persona, question)
    calls = _calls(persona, question, turn)
    said = _said(persona, question, turn) if not calls else "" if persona.kind == "fixed" else persona.text
    content = f"[emulated {question.model}] {said}" if said or not calls else ""
    is_cut = False
    if question.json_mode and not calls:
        content, is_cut = _as_object(persona, question, said, turn.fields)
    for stop in question.stop:
        content = content.partition(stop)[0] if stop else content

    think_tokens = 0
    if question.thinks:
        think_tokens = question.think_tokens if persona.think_tokens is None else persona.think_tokens
    content_tokens = count_tokens(content)
    finish_reason = "tool_calls" if calls else "length" if is_cut else "stop"
    if think_tokens + content_tokens + sum(call.tokens for call in calls) > question.cap:
        finish_reason = "length"
        calls = tuple(replace(call, arguments=call.arguments[: len(call.arguments) // 2]) for call in calls)
        think_tokens = min(think_tokens, question.cap)
        content = cut_to_tokens(content, question.cap - think_tokens)
        content_tokens = count_tokens(content)
    return Answer(
        reasoning=_filler(_THOUGHTS, think_tokens),
        content=content,
        finish_reason=finish_reason,
        reasoning_tokens=think_tokens,
        content_tokens=content_tokens,
        delay_per_token=persona.delay_per_token_ms / 1000,
        first_byte_delay=persona.first_byte_delay_ms / 1000,
        frames_per_write=persona.frames_per_write,
        characters_per_frame=persona.characters_per_frame,
        calls=calls,
        searches=persona.searches,
    )


def _turn(persona: Persona, question: Question) -> ReportTurn:
    """What a persona that reads or reports makes of a question."""
    if reports(persona.kind, persona.report, question.schema):
        shown = Shown(
            question.model,
            question.messages,
            question.documents,
            question.functions if question.tools else (),
            question.rounds_made,
            question.schema,
        )
        return REPORTERS[persona.kind](persona.report, shown, persona.rounds)
    if persona.kind != "reader":
        return ReportTurn()
    read = read_on(
        _last_user_text(question),
        question.messages,
        question.documents,
        question.functions,
        question.rounds_made,
    )
    return ReportTurn(read.said, () if read.call is None else (read.call,))


def _calls(persona: Persona, question: Question, turn: ReportTurn) -> tuple[SaidCall, ...]:
    """The tool calls of this answer."""
    if not question.tools:
        return ()
    if persona.rounds and persona.kind != "explorer":
        rounds = persona.rounds[question.rounds_made : question.rounds_made + 1]
        return tuple(SaidCall.of(filled(call, question.messages)[0]) for calls in rounds for call in calls)
    if turn.calls:
        return tuple(SaidCall.of(call) for call in turn.calls)
    if persona.kind == "auto" and question.query_tool is not None and not question.rounds_made:
        query = _last_user_text(question)[:_QUERY_CHARACTERS]
        return (SaidCall.of(ScriptedCall(question.query_tool, {"query": query})),)
    return ()


def _said(persona: Persona, question: Question, turn: ReportTurn) -> str:
    kind = persona.kind
    if kind in REPORTERS:
        return turn.said
    if kind == "fixed":
        return persona.text
    if kind == "long":
        return _filler(_WORDS, persona.tokens)
    last = _last_user_text(question)
    if kind in {"auto", "investigator"} and is_investigation(last):
        return investigated(persona.conduct, last)
    return _replied(kind, question, last)


def _replied(kind: PersonaKind, question: Question, last: str) -> str:
    """What is said to the last user message, or of the tools and messages before it."""
    if kind == "auto" and question.rounds_made:
        return f"{last}\nTools said: {_told_by_tools(question)}"
    if kind == "recall" or (kind == "auto" and _asks_to_recall(last)):
        return _recalled(question)
    return last


def _as_object(persona: Persona, question: Question, said: str, found: Mapping[str, Any]) -> tuple[str, bool]:
    """The object that a request asks for, as text, and whether it ends in the middle."""
    schema = question.schema or {}
    fields = {**found, **persona.fields}
    value = _object_in(said) if persona.kind == "fixed" else None
    if value is None and question.schema is not None:
        value = made(schema, said, fields)
    if value is None:
        value = fields or {"answer": f"[emulated {question.model}] {said}"}
    return in_form(value, persona.object_form, schema, question.model, question.messages)


def _object_in(text: str) -> dict[str, Any] | None:
    """The object that a text is, if it is one."""
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _filler(words: Sequence[str], tokens: int) -> str:
    return " ".join(islice(cycle(words), tokens)) + (" " if tokens else "")


def _last_user_text(question: Question) -> str:
    return next((text for role, text in reversed(question.texts) if role == "user"), "")


def _told_by_tools(question: Question) -> str:
    """The tool messages since the last user message."""
    told: list[str] = []
    for role, text in question.texts:
        if role == "user":
            told.clear()
        elif role == "tool":
            told.append(text)
    return " | ".join(told)


def _asks_to_recall(text: str) -> bool:
    looked_at = text if len(text) <= 2 * _LOOKED_AT else f"{text[:_LOOKED_AT]}\n{text[-_LOOKED_AT:]}"
    return _RECALLS.search(looked_at) is not None


def _recalled(question: Question) -> str:
    told = [text for _, text in question.documents]
    told += [text for role, text in question.texts if role in {"user", "system"}]
    words = [word for text in told for word in _SECRET.findall(text)]
    if words:
        return f"The secret word is {words[-1]}."
    earlier = [text for role, text in question.texts if role == "user"][:-1]
    if earlier:
        return "You said: " + " | ".join(f'"{text}"' for text in earlier)
    return "Nothing was said before this message."
