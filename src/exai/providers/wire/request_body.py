"""Encodes a prompt for a provider, with notes about what was changed or left out."""

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from exai.errors import AbilityMissing
from exai.messages import Attachment, Effort, Image, Message, Role, ToolCall
from exai.providers.base import AnswerSchema, Prompt
from exai.providers.catalog import Model, SearchWay
from exai.providers.pictures import NO_PICTURES, Shown
from exai.providers.profile import Profile

__all__ = ["RequestBody", "request_body"]


SCHEMA_IN_PROMPT = (
    "Answer with one JSON object and nothing else: no code fence, no text before or after it. It must match this JSON "
    "Schema:"
)
"""What the schema of an answer follows where a provider takes it in the prompt alone."""


class RequestBody(msgspec.Struct, frozen=True):
    """The JSON to send, and notes for the caller."""

    json: bytes
    notes: tuple[str, ...]


def request_body(
    prompt: Prompt, profile: Profile, *, streams: bool, shown: Shown = NO_PICTURES
) -> RequestBody:
    """Encode `prompt`, whose pictures fit its model, for the endpoint of `profile`.

    Raises:
        AbilityMissing: the model cannot search the web.
    """
    model = prompt.model
    notes = list(shown.notes)
    asked = prompt if prompt.answer_schema is None else _with_schema(prompt, prompt.answer_schema, profile)
    fields: dict[str, Any] = {
        "model": model.wire_name,
        "messages": _messages(asked, profile, shown),
        "stream": streams,
        **profile.request_fields,
    }
    if prompt.answer_schema is not None:
        fields["response_format"] = _response_format(prompt.answer_schema, profile)
    if streams:
        fields.update(profile.stream_fields)
    if prompt.effort is not None:
        fields.update(_thinking(prompt, prompt.effort, notes))
    if prompt.temperature is not None:
        fields.update(_sampling(prompt, prompt.temperature, notes))
    if prompt.max_output_tokens is not None:
        fields[profile.max_tokens_field] = _cap(prompt, prompt.max_output_tokens, notes)
    if prompt.web_search and model.web_search not in {SearchWay.PROVIDER, SearchWay.BUILTIN}:
        raise AbilityMissing(
            f"{model.name} cannot search the web by itself. Ask without web search, or name a model that can (see "
            "`status` with section models)."
        )
    if tools := _tools(prompt, profile):
        fields["tools"] = tools
    if profile.conversation_field is not None and prompt.conversation_key is not None:
        fields[profile.conversation_field] = prompt.conversation_key
    return RequestBody(msgspec.json.encode(fields), tuple(notes))


def _response_format(answer: AnswerSchema, profile: Profile) -> dict[str, Any]:
    if profile.answer_form == "json_object":
        return {"type": "json_object"}
    return {
        "type": "json_schema",
        "json_schema": {"name": answer.name, "strict": True, "schema": answer.schema},
    }


def _with_schema(prompt: Prompt, answer: AnswerSchema, profile: Profile) -> Prompt:
    """Return the prompt with the schema of its answer in it, where it has no other place.

    In the instructions it is part of the prefix that all questions of a tool share. With tools it ends the question:
    such a request begins like those in which they were called, and these are not for an object.
    """
    if profile.answer_form != "json_object":
        return prompt
    asked = f"{SCHEMA_IN_PROMPT}\n{msgspec.json.encode(answer.schema).decode()}"
    first, *rest = prompt.messages
    if prompt.tools:
        at = max(place for place, message in enumerate(prompt.messages) if message.role is Role.USER)
        question = prompt.messages[at]
        question = msgspec.structs.replace(question, text=f"{question.text}\n\n{asked}")
        messages = (*prompt.messages[:at], question, *prompt.messages[at + 1 :])
        return msgspec.structs.replace(prompt, messages=messages)
    if first.role is Role.SYSTEM:
        messages = (msgspec.structs.replace(first, text=f"{first.text}\n\n{asked}"), *rest)
    else:
        messages = (Message(Role.SYSTEM, asked), *prompt.messages)
    return msgspec.structs.replace(prompt, messages=messages)


def _messages(prompt: Prompt, profile: Profile, shown: Shown) -> list[dict[str, Any]]:
    keeps_reasoning = prompt.model.keeps_reasoning
    encoded = []
    for message in prompt.messages:
        is_text = not (message.images or message.attachments)
        content = message.text if is_text else _content(message, prompt.model, shown)
        role = profile.system_role if message.role is Role.SYSTEM else message.role.value
        fields: dict[str, Any] = {"role": role, "content": content}
        if keeps_reasoning and message.reasoning and message.role is Role.ASSISTANT:
            fields["reasoning_content"] = message.reasoning
        if message.tool_calls:
            fields["tool_calls"] = [_call(call) for call in message.tool_calls]
            if profile.loop_reasoning and _thinks(prompt):
                # A tool call without reasoning is refused there; a blank is accepted.
                fields["reasoning_content"] = message.reasoning or " "
        elif message.answers is not None:
            fields["tool_call_id"] = message.answers.id
            if profile.names_tool_messages:
                fields["name"] = message.answers.name
        encoded.append(fields)
    return encoded


def _call(call: ToolCall) -> dict[str, Any]:
    return {
        "id": call.id,
        "type": call.kind,
        "function": {"name": call.name, "arguments": call.arguments},
    }


def _thinks(prompt: Prompt) -> bool:
    model = prompt.model
    return bool(model.efforts) and model.effort_used(prompt.effort) is not Effort.NONE


def _tools(prompt: Prompt, profile: Profile) -> list[Mapping[str, Any]]:
    """Return the entries of `tools`: the prompt's own, and the one for web search."""
    entries: list[Mapping[str, Any]] = [
        {
            "type": "function",
            "function": {"name": tool.name, "description": tool.description, "parameters": tool.parameters},
        }
        for tool in prompt.tools
    ]
    if prompt.web_search and profile.search_tool is not None:
        entries.append(profile.search_tool)
    return entries


def _content(message: Message, model: Model, shown: Shown) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = [_file_part(each, model, shown) for each in message.attachments]
    parts += [{"type": "image_url", "image_url": {"url": _url(image, shown)}} for image in message.images]
    if message.text:
        parts.append({"type": "text", "text": message.text})
    return parts


def _file_part(attachment: Attachment, model: Model, shown: Shown) -> dict[str, Any]:
    part, file_id = model.part_for(attachment.kind), shown.files[attachment.source.sha256]
    if part is not None and part.form == "video_url":
        return {"type": "video_url", "video_url": {"url": f"ms://{file_id}"}}
    return {"type": "file", "file": {"file_id": file_id}}


def _url(image: Image, shown: Shown) -> str | msgspec.Raw:
    # The digest of megabytes is computed only if a URL may be known.
    known = shown.urls.get(image.sha256) if shown.urls else None
    return _data_url(image) if known is None else known


def _data_url(image: Image) -> msgspec.Raw:
    """Return the URL as finished JSON: base64 needs no escaping, and megabytes need not be scanned for it."""
    return msgspec.Raw(
        b'"data:' + image.media_type.encode() + b";base64," + base64.b64encode(image.data) + b'"'
    )


def _thinking(prompt: Prompt, asked: Effort, notes: list[str]) -> dict[str, Any]:
    model = prompt.model
    used = model.nearest_effort(asked)
    if used is None:
        if asked is not Effort.NONE:
            notes.append(f"{model.name} has no thinking effort to set; {asked.value!r} was left out.")
        return {}
    if used is not asked:
        notes.append(_other_effort(model, asked, used))
    return dict(model.thinking[used])


def _other_effort(model: Model, asked: Effort, used: Effort) -> str:
    """Describe why another effort is used than the one that was asked for."""
    efforts = [effort.value for effort in model.efforts]
    if len(efforts) == 1:
        return f"{model.name} always thinks, and at one effort only; {asked.value!r} was left out."
    if efforts == ["none", used.value]:
        return f"{model.name} can only think or not; {asked.value!r} was taken for thinking."
    always = "always thinks and " if asked is Effort.NONE and model.always_thinks else ""
    return (
        f"{model.name} {always}knows the efforts {_listed(efforts)}; {asked.value!r} was asked for, "
        f"{used.value!r} used."
    )


def _sampling(prompt: Prompt, asked: float, notes: list[str]) -> dict[str, Any]:
    model = prompt.model
    if model.temperature is None:
        notes.append(f"{model.name} has a fixed temperature; {asked:g} was left out.")
        return {}
    low, high = model.temperature
    used = round(min(max(asked, low), high), 2)
    if used != asked:
        notes.append(
            f"{model.name} takes temperatures from {low:g} to {high:g} with two decimals; {used:g} was used "
            f"instead of {asked:g}."
        )
    return {"temperature": used}


def _cap(prompt: Prompt, asked: int, notes: list[str]) -> int:
    model = prompt.model
    if asked > model.max_output_tokens:
        notes.append(
            f"{model.name} answers with at most {model.max_output_tokens} tokens; {asked} were asked for."
        )
    return min(asked, model.max_output_tokens)


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
