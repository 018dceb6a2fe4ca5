"""Older names of tools that ask a model, and the one that started other agents."""

from collections.abc import Mapping
from typing import Any

from exai.errors import BadArguments
from exai.tools.aliases import Alias
from exai.tools.normalizing import is_blank

__all__ = ["QUESTIONS"]

VERSIONS_FIRST = (
    "Answer from current official documentation, not from memory: search the web, find out first which version is the "
    "current one, then what holds for it. Prefer this year's official sources, stop after a few searches, and cite."
)

NO_AGENTS = (
    "EXAI starts no other agent: one that runs beside you would have your files and your rights, and nobody to ask. "
    "Ask a model by `chat`, `consensus` or `challenge`, with absolute_file_paths for what it is to read."
)

FOREIGN_TOOLS = (
    "Argument 'tools': a model calls here what EXAI runs, and cannot call back to you. Leave it out: use_websearch "
    "lets the model search, and absolute_file_paths shows it files."
)
WITHOUT_MESSAGES = (
    "Argument 'messages': give at least one message with a text, as [{role, content}], or use `chat`."
)


def _refuse_agents(_: Mapping[str, Any]) -> None:
    raise BadArguments(NO_AGENTS)


def _refuse_tools(given: Mapping[str, Any]) -> None:
    if given.get("tools"):
        raise BadArguments(FOREIGN_TOOLS)


def _in_current_words(given: Mapping[str, Any]) -> Mapping[str, Any]:
    """Ask for what holds now."""
    prompt = given.get("prompt")
    return given if not isinstance(prompt, str) else {**given, "prompt": f"{prompt}\n\n{VERSIONS_FIRST}"}


def _from_messages(given: Mapping[str, Any]) -> Mapping[str, Any]:
    """Make one prompt of raw messages: the last one is the question, and those before it are told as they were said."""
    messages = given.get("messages")
    texts = [
        (str(each.get("role") or "user"), each["content"].strip())
        for each in (messages if isinstance(messages, list) else [])
        if isinstance(each, dict) and isinstance(each.get("content"), str) and not is_blank(each["content"])
    ]
    if not texts:
        raise BadArguments(WITHOUT_MESSAGES)
    *before, (_, question) = texts
    said = "\n\n".join(f"{role}: {text}" for role, text in before)
    rest = {name: value for name, value in given.items() if name != "messages"}
    return {**rest, "prompt": f"What was said before:\n\n{said}\n\n{question}" if said else question}


QUESTIONS = (
    Alias(
        "glm_payload_preview",
        presets={"dry_run": True, "model": "glm"},
        ignored=frozenset({"system_prompt", "tools", "tool_choice"}),
        check=_refuse_tools,
    ),
    Alias("kimi_intent_analysis", presets={"dry_run": True}, joins={"prompt": ("context",)}),
    Alias("apilookup", presets={"use_websearch": True}, rewrite=_in_current_words),
    Alias("clink", check=_refuse_agents, answers=False),
    Alias(
        "kimi_chat_with_tools",
        presets={"model": "kimi"},
        ignored=frozenset({"tools", "tool_choice", "stream"}),
        check=_refuse_tools,
        rewrite=_from_messages,
    ),
)
"""They become `chat`, or say why they do not."""
