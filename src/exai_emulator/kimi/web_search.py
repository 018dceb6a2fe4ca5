"""Kimi's built-in `$web_search`: the server searches, and the client's loop only hands the handle back."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from exai_emulator.accounts import Account
from exai_emulator.calls import ChatCall, Refusal
from exai_emulator.kimi.catalog import family_of
from exai_emulator.personas import Answer
from exai_emulator.rules import Behaviour, Rule
from exai_emulator.shapes import tool_entries
from exai_emulator.tool_calls import SaidCall

__all__ = ["WEB_SEARCH_BEHAVIOURS", "WEB_SEARCH_RULES", "result_tokens", "search_instead"]

NAME = "$web_search"
_RESULT_TOKENS = 1_200
"""Of one search, in the prompt of the request that hands its handle back."""


def _bad(message: str) -> Refusal:
    return Refusal("invalid_request", message)


def _builtins(body: Mapping[str, Any]) -> Iterator[str]:
    for tool in tool_entries(body):
        if isinstance(tool, dict) and tool.get("type") == "builtin_function":
            function = tool.get("function")
            name = function.get("name") if isinstance(function, dict) else None
            yield name if isinstance(name, str) else ""


def _declared(call: ChatCall) -> bool:
    return NAME in _builtins(call.body)


def _calls(messages: Sequence[Mapping[str, Any]]) -> Iterator[tuple[int, Mapping[str, Any], str]]:
    """Place, call and arguments of each `$web_search` since the last user message."""
    found: list[tuple[int, Mapping[str, Any], str]] = []
    for place, message in enumerate(messages):
        if message.get("role") == "user":
            found.clear()
        entries = message.get("tool_calls")
        for entry in entries if isinstance(entries, list) else ():
            function = entry.get("function") if isinstance(entry, dict) else None
            if isinstance(function, dict) and function.get("name") == NAME:
                arguments = function.get("arguments")
                found.append((place, entry, arguments if isinstance(arguments, str) else ""))
    yield from found


def _handle(text: Any) -> str | None:
    """The handle that arguments hold."""
    decoded = _decoded(text)
    result = decoded.get("search_result") if isinstance(decoded, dict) else None
    handle = result.get("search_id") if isinstance(result, dict) else None
    return handle if isinstance(handle, str) else None


def _decoded(text: Any) -> Any:
    try:
        return msgspec.json.decode(text) if isinstance(text, str) else None
    except msgspec.DecodeError:
        return None


def result_tokens(messages: Sequence[Mapping[str, Any]], account: Account) -> int:
    """Prompt tokens of the results whose handles the tool messages hold."""
    return sum(
        account.searches.get(_handle(message.get("content")) or "", 0)
        for message in messages
        if message.get("role") == "tool"
    )


def search_instead(call: ChatCall, answer: Answer) -> None:
    """Let the answer search where `$web_search` is declared and the persona has searches left."""
    made = sum(1 for _ in _calls(call.messages))
    if answer.finish_reason == "length" or made >= answer.searches or not _declared(call):
        return
    account = call.account
    seed = f"{len(account.searches)}/{call.prompt}".encode("utf-8", "surrogatepass")
    handle = hashlib.blake2b(seed, digest_size=16).hexdigest()
    account.searches[handle] = _RESULT_TOKENS
    account.fees[NAME] += 1
    arguments = {"search_result": {"search_id": handle}, "usage": {"total_tokens": _RESULT_TOKENS}}
    answer.call(SaidCall(NAME, msgspec.json.encode(arguments).decode(), kind="builtin_function"))


def _known(call: ChatCall) -> Refusal | None:
    unknown = next((name for name in _builtins(call.body) if name != NAME), None)
    return None if unknown is None else _bad(f"Invalid request: unknown builtin function: {unknown}")


def _family(call: ChatCall) -> Refusal | None:
    if family_of(call.model_id) == "k3" and _declared(call):
        return _bad("Invalid request: builtin_function $web_search is not supported by this model")
    return None


def _thinking(call: ChatCall) -> Refusal | None:
    if call.thinks and _declared(call):
        return _bad("Invalid request: builtin_function $web_search is incompatible with thinking enabled")
    return None


def _declared_again(call: ChatCall) -> Refusal | None:
    if not _declared(call) and any(True for _ in _calls(call.messages)):
        return _bad("Invalid request: builtin_function $web_search is not declared in tools")
    return None


def _echo(call: ChatCall) -> Refusal | None:
    for place, entry, arguments in _calls(call.messages):
        expected = _decoded(arguments)
        issued = call.account.searches.get(_handle(arguments) or "")
        usage = expected.get("usage") if isinstance(expected, dict) else None
        if issued is None or usage != {"total_tokens": issued}:
            return _bad(f"Invalid request: the arguments of $web_search at index {place} were changed")
        for message in call.messages[place + 1 :]:
            echoed = message.get("tool_call_id") == entry.get("id")
            if message.get("role") == "tool" and echoed and _decoded(message.get("content")) != expected:
                return _bad("Invalid request: the tool message of $web_search must repeat its arguments")
    return None


WEB_SEARCH_RULES: tuple[Rule, ...] = (
    Rule("kimi.builtin.known", "?", "a builtin_function other than `$web_search`: 400", _known, "tools"),
    Rule("kimi.web_search.family", "?", "`$web_search` on K3: 400", _family, "tools"),
    Rule(
        "kimi.web_search.thinking",
        "D",
        "`$web_search` while thinking, as older documentation has it: 400",
        _thinking,
        "tools",
        default=False,
    ),
    Rule(
        "kimi.web_search.declared",
        "D",
        "a `$web_search` loop without its declaration: 400",
        _declared_again,
    ),
    Rule(
        "kimi.web_search.echo",
        "D",
        "a tool message of `$web_search` that does not repeat the arguments, or changed ones: 400",
        _echo,
    ),
)

WEB_SEARCH_BEHAVIOURS: tuple[Behaviour, ...] = (
    Behaviour(
        "kimi.web_search.handle",
        "DL",
        "a `$web_search` call has type builtin_function; its arguments hold a handle and `usage.total_tokens`",
    ),
    Behaviour(
        "kimi.web_search.tokens",
        "D",
        "the results count as prompt tokens of the request that hands their handle back",
    ),
)
