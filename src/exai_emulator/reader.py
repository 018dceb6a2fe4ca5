"""The persona `reader`: answers what lines hold, from nothing but what a request really shows.

It knows lines from blocks of numbered lines (`<<<FILE E1 name lines 1-60, 175-214 of 214>>>`, then ` 12│text`), from
documents that a message shows, from the JSON in which Kimi gives a document's text, and else from system messages.
Where the line that is asked for was not shown and the request declares a tool that reads lines, it calls that tool, and
answers from its result.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from exai_emulator.calls import text_of
from exai_emulator.tool_calls import ScriptedCall

__all__ = ["Turn", "lines_in_blocks", "read_on"]

MOST_ROUNDS = 8
"""Tool calls for one user message."""

_BLOCK = re.compile(
    r"^<<<FILE (?P<id>\S+) (?P<name>.*?) ?lines (?P<lines>[\d, -]+|none) of (?P<total>\d+).*?>>>\n"
    r"(?P<body>.*?)^<<<END (?P=id)\b[^\n]*>>>$",
    re.MULTILINE | re.DOTALL,
)
_NUMBERED = re.compile(r"^ *(\d+)│(.*)$", re.MULTILINE)
_CUT = re.compile(r"… \[\d+ more characters\]$")
_TOTAL = re.compile(r"\bof (\d+)\b")
_LINE = re.compile(r"\bline (?:number )?(\d+)\b", re.IGNORECASE)
_LAST = re.compile(r"\blast line\b", re.IGNORECASE)
_COUNT = re.compile(r"\bhow many lines\b", re.IGNORECASE)
_FIND = re.compile(r"\bwhich line (?:holds|contains|has|mentions) [\"“'`](.+?)[\"”'`]", re.IGNORECASE)
_FIRST_NAMES = ("from", "start", "first", "begin")
_LAST_NAMES = ("to", "end", "last", "until")
_COUNT_NAMES = ("count", "limit", "most", "number")
_PATTERN_NAMES = ("pattern", "query", "regex", "search")


@dataclass(frozen=True, slots=True)
class Turn:
    """What the reader does: it calls a tool, or says something."""

    said: str = ""
    call: ScriptedCall | None = None


@dataclass(slots=True)
class _View:
    """What is known of one text."""

    id: str
    name: str
    total: int | None = None
    lines: dict[int, str] = field(default_factory=dict)
    cut: dict[int, str] = field(default_factory=dict)
    """Lines of which only the beginning was shown."""
    tried: set[object] = field(default_factory=set)
    """What a tool was asked for."""
    refused: str = ""
    """What the tool said last where it gave no line."""

    @property
    def title(self) -> str:
        return self.name or self.id or "the text"

    def add(self, later: "_View") -> None:
        """Learn what another block of the same text showed."""
        self.id = later.id
        self.lines |= later.lines
        self.cut |= later.cut

    def take(self, text: str) -> bool:
        """Learn the numbered lines of a text; return whether there were any."""
        found = False
        for number, line in _NUMBERED.findall(text):
            found = True
            if _CUT.search(line):
                self.cut.setdefault(int(number), line)
            else:
                self.lines[int(number)] = line
        return found


def read_on(
    asked: str,
    messages: Sequence[Mapping[str, Any]],
    documents: Sequence[tuple[str, str]],
    functions: Sequence[Mapping[str, Any]],
    rounds_made: int,
) -> Turn:
    """Answer the last user message `asked`, or call a tool that helps to."""
    views = _views(messages, documents)
    if not views:
        return Turn("No file or text was shown.")
    _learn_from_tools(views, messages)
    question = _BLOCK.sub("", asked)
    chosen = [view for view in views if _names(question, view)] or views
    tools = functions if rounds_made < MOST_ROUNDS else ()
    answers: list[str] = []
    for view in chosen:
        for turn in _turns(question, view, tools):
            if turn.call is not None:
                return turn
            answers.append(turn.said)
    return Turn(" ".join(answers) or f"Shown: {', '.join(_described(view) for view in views)}.")


def lines_in_blocks(text: str) -> Iterator[tuple[str, dict[int, str]]]:
    """The name and the lines of each block of numbered lines in a text."""
    for block in _BLOCK.finditer(text):
        yield block["name"], {int(number): line for number, line in _NUMBERED.findall(block["body"])}


def _views(messages: Sequence[Mapping[str, Any]], documents: Sequence[tuple[str, str]]) -> list[_View]:
    """What the request shows; of two blocks of one text the later gives the id."""
    found = [_whole(name, text) for name, text in documents]
    for message in messages:
        if message.get("role") not in {"system", "user"}:
            continue
        for view in _in_text(text_of(message.get("content"))):
            known = next((each for each in found if (each.name, each.total) == (view.name, view.total)), None)
            if known is None:
                found.append(view)
            else:
                known.add(view)
    if not found:
        texts = [text_of(each.get("content")) for each in messages if each.get("role") == "system"]
        found = [_whole("", text) for text in texts if text]
    return found


def _in_text(text: str) -> Iterator[_View]:
    for block in _BLOCK.finditer(text):
        view = _View(block["id"], block["name"], int(block["total"]))
        view.take(block["body"])
        yield view
    if text.startswith("{"):
        try:
            held = json.loads(text)
        except (ValueError, RecursionError):
            return
        if isinstance(held.get("content"), str):
            yield _whole(str(held.get("filename", "")), held["content"])


def _whole(name: str, text: str) -> _View:
    lines = text.removesuffix("\n").split("\n")
    return _View("", name, len(lines), dict(enumerate(lines, 1)))


def _learn_from_tools(views: Sequence[_View], messages: Sequence[Mapping[str, Any]]) -> None:
    """Add what tools showed, each to the text that its call named."""
    calls: dict[object, Mapping[str, Any]] = {}
    for message in messages:
        for entry in message.get("tool_calls") or ():
            function = entry.get("function") if isinstance(entry, dict) else None
            if isinstance(function, dict):
                calls[entry.get("id")] = _arguments(function.get("arguments"))
        if message.get("role") != "tool":
            continue
        arguments = calls.get(message.get("tool_call_id"), {})
        named = [view for view in views if {view.id, view.name} & _texts(arguments)]
        view = (named or list(views))[0]
        text = text_of(message.get("content"))
        view.tried |= {value for value in arguments.values() if isinstance(value, int | str)}
        if not view.take(text):
            view.refused = text[:200]
        elif view.total is None and (total := _TOTAL.search(text)):
            view.total = int(total[1])


def _arguments(text: object) -> Mapping[str, Any]:
    try:
        decoded = json.loads(text) if isinstance(text, str) else {}
    except (ValueError, RecursionError):
        return {}
    return decoded if isinstance(decoded, dict) else {}


def _texts(arguments: Mapping[str, Any]) -> set[str]:
    return {value for value in arguments.values() if isinstance(value, str) and value}


def _names(question: str, view: _View) -> bool:
    short = view.name.rpartition("/")[2]
    return any(name and re.search(rf"(?<!\w){re.escape(name)}(?!\w)", question) for name in (view.id, short))


def _turns(question: str, view: _View, tools: Sequence[Mapping[str, Any]]) -> Iterator[Turn]:
    """A turn for each thing that is asked of a text."""
    for text in _FIND.findall(question):
        yield _find(view, text, tools)
    question = _FIND.sub("", question)
    for number in _LINE.findall(question):
        yield _line(view, int(number), f"Line {number}", tools)
    if _LAST.search(question):
        if view.total is None:
            yield Turn(f"Where {view.title} ends was not shown.")
        else:
            yield _line(view, view.total, f"The last line, {view.total},", tools)
    if _COUNT.search(question):
        yield Turn(
            f"{view.title} has {view.total} lines." if view.total is not None else "That was not shown."
        )


def _line(view: _View, number: int, what: str, tools: Sequence[Mapping[str, Any]]) -> Turn:
    if view.total is not None and not 1 <= number <= view.total:
        return Turn(f"{view.title} has {view.total} lines and no line {number}.")
    if number in view.lines:
        return Turn(f"{what} of {view.title} is: {view.lines[number]}")
    if number not in view.tried and (call := _reading_call(tools, view, number)) is not None:
        return Turn(call=call)
    if number in view.cut:
        return Turn(f"{what} of {view.title} was shown in part: {view.cut[number]}")
    said = f" The tool said: {view.refused}" if view.refused else ""
    return Turn(f"{what} of {view.title} was not shown.{said}")


def _find(view: _View, text: str, tools: Sequence[Mapping[str, Any]]) -> Turn:
    numbers = sorted(number for number, line in {**view.cut, **view.lines}.items() if text in line)
    is_whole = view.total is not None and len(view.lines) >= view.total
    pattern = re.escape(text)
    if not is_whole and pattern not in view.tried and (call := _searching_call(tools, view, pattern)):
        return Turn(call=call)
    if not numbers:
        return Turn(f"No line of {view.title} that was shown holds {text!r}.")
    return Turn(f"{text!r} is in line {', '.join(map(str, numbers))} of {view.title}.")


def _reading_call(tools: Sequence[Mapping[str, Any]], view: _View, number: int) -> ScriptedCall | None:
    """The call that reads one line, of the first tool whose arguments are a text's name and line numbers."""
    for function in tools:
        properties, required = _schema(function)
        named = _named_text(properties, view)
        spans = {name: number for name in properties if _begins(name, (*_FIRST_NAMES, *_LAST_NAMES))}
        counts = {name: 1 for name in properties if _begins(name, _COUNT_NAMES) and name in required}
        if spans and not any(_begins(name, _PATTERN_NAMES) for name in properties):
            return ScriptedCall(str(function.get("name")), {**named, **counts, **spans})
    return None


def _searching_call(tools: Sequence[Mapping[str, Any]], view: _View, pattern: str) -> ScriptedCall | None:
    """The call that searches one text for a pattern."""
    for function in tools:
        properties, _ = _schema(function)
        patterns = [name for name in properties if _begins(name, _PATTERN_NAMES)]
        named = _named_text(properties, view)
        if patterns and named:
            return ScriptedCall(str(function.get("name")), {**named, patterns[0]: pattern})
    return None


def _schema(function: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    parameters = function.get("parameters")
    parameters = parameters if isinstance(parameters, dict) else {}
    properties, required = parameters.get("properties"), parameters.get("required")
    return (
        properties if isinstance(properties, dict) else {},
        required if isinstance(required, list) else [],
    )


def _named_text(properties: Mapping[str, Any], view: _View) -> dict[str, str]:
    """The argument that names the text: the first that is a string and no pattern."""
    for name, schema in properties.items():
        if isinstance(schema, dict) and schema.get("type") == "string" and not _begins(name, _PATTERN_NAMES):
            return {name: view.id or view.name}
    return {}


def _begins(name: str, words: Sequence[str]) -> bool:
    return any(name == word or name.startswith(f"{word}_") or name.endswith(f"_{word}") for word in words)


def _described(view: _View) -> str:
    known = len(view.lines)
    return f"{known} of {view.total} lines of {view.title}"
