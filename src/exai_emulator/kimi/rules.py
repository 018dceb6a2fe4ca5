"""Where Kimi refuses, in the order of its checks."""

from collections.abc import Callable, Iterator
from typing import Any

from exai_emulator.calls import ChatCall, Refusal, text_of
from exai_emulator.documents.kinds import HEAD_BYTES, video_type
from exai_emulator.kimi.catalog import RETIRED, family_of
from exai_emulator.kimi.limits import LIMIT_BEHAVIOURS, LIMIT_RULES
from exai_emulator.kimi.sampling import SAMPLING_RULES
from exai_emulator.kimi.schemas import SCHEMA_RULES
from exai_emulator.kimi.tools import TOOL_RULES
from exai_emulator.kimi.web_search import WEB_SEARCH_BEHAVIOURS, WEB_SEARCH_RULES
from exai_emulator.pictures import picture_type
from exai_emulator.rules import Behaviour, KeyRule, Rule
from exai_emulator.shapes import as_int, fields, image_source, media_source, parts_of, strings_of

__all__ = ["BEHAVIOURS", "KNOWN_FIELDS", "RULES", "UNSAFE_INPUT"]

UNSAFE_INPUT = "emulated-unsafe-input"
"""A message with this word is refused as high risk."""

_ROLES = ("system", "user", "assistant", "tool")
_PARTS = ("text", "image_url", "video_url")
_IMAGE_TYPES = frozenset(
    f"image/{kind}" for kind in ("jpeg", "jpg", "png", "gif", "webp", "bmp", "heic", "heif")
)
KNOWN_FIELDS = fields(
    "model messages max_tokens max_completion_tokens temperature top_p n presence_penalty frequency_penalty"
    " logprobs top_logprobs logit_bias reasoning_effort thinking response_format stop stream stream_options"
    " tools tool_choice functions function_call prompt_cache_key prompt_cache_options safety_identifier"
    " prediction seed top_k service_tier metadata verbosity store parallel_tool_calls partial_mode do_sample"
    " user"
)
"""The fields of the vendor's schema, and those that recordings show as accepted."""


def _bad(message: str) -> Refusal:
    return Refusal("invalid_request", message)


def _json_object(call: ChatCall) -> Refusal | None:
    return None if isinstance(call.raw, dict) else _bad("Invalid request: the body is not a JSON object")


def _not_found(call: ChatCall) -> Refusal:
    return Refusal("not_found", f"Not found the model {call.asked_model} or Permission denied")


def _model_retired(call: ChatCall) -> Refusal | None:
    return _not_found(call) if call.asked_model in RETIRED else None


def _model_known(call: ChatCall) -> Refusal | None:
    unknown = call.model is None and call.asked_model not in RETIRED
    return _not_found(call) if unknown else None


def _model_locked(call: ChatCall) -> Refusal | None:
    return _not_found(call) if call.model_id in call.account.state.locked_models else None


def _messages_present(call: ChatCall) -> Refusal | None:
    messages = call.body.get("messages")
    if isinstance(messages, list) and messages and all(isinstance(entry, dict) for entry in messages):
        return None
    return _bad("Invalid request: messages must not be empty")


def _messages_role(call: ChatCall) -> Refusal | None:
    for place, message in enumerate(call.messages):
        if message.get("role") not in _ROLES:
            return _bad(f"Invalid request: the message at position {place} has an invalid role")
    return None


def _content_type(call: ChatCall) -> Refusal | None:
    for place, message in enumerate(call.messages):
        if not isinstance(message.get("content"), str | list | None):
            return _bad(f"Invalid request: the content of the message at position {place} is invalid")
    return None


def _content_empty(call: ChatCall) -> Refusal | None:
    for place, message in enumerate(call.messages):
        role, content = message.get("role"), message.get("content")
        excused = (role == "assistant" and (message.get("tool_calls") or message.get("partial") is True)) or (
            role == "system" and message.get("tools")
        )
        if not content and not excused:
            return _bad(
                f"Invalid request: the message at position {place} with role '{role}' must not be empty"
            )
    return None


def _parts_type(call: ChatCall) -> Refusal | None:
    for message in call.messages:
        for part in parts_of(message):
            if not isinstance(part, dict) or part.get("type") not in _PARTS:
                return _bad(
                    "Invalid request: the type of a content part is one of text, image_url, video_url"
                )
    return None


def _image(test: Callable[[Any], str | None]) -> Callable[[ChatCall], Refusal | None]:
    def check(call: ChatCall) -> Refusal | None:
        for message in call.messages:
            for part in parts_of(message):
                if (source := image_source(part)) is not None and (message_text := test(source)) is not None:
                    return _bad(message_text)
        return None

    return check


def _url_trouble(source: Any) -> str | None:
    fits = source.url.startswith(("data:", "ms://"))
    return None if fits else f"Invalid request: unsupported image url: {source.url[:80]}"


def _svg_trouble(source: Any) -> str | None:
    return "Invalid request: unsupported image format: svg" if source.media_type == "image/svg+xml" else None


def _data_trouble(source: Any) -> str | None:
    if source.url.startswith("ms://") or source.media_type == "image/svg+xml":
        return None
    if source.media_type not in _IMAGE_TYPES or source.data is None or picture_type(source.data) is None:
        return "Invalid request: failed to decode image"
    return None


def _file_parts(call: ChatCall) -> Iterator[tuple[str, str]]:
    """Purpose that a part needs and id of the file that it names, for every `ms://` part."""
    for message in call.messages:
        for part in parts_of(message):
            for purpose in ("image", "video"):
                field = part.get(f"{purpose}_url") if isinstance(part, dict) else None
                url = field.get("url") if isinstance(field, dict) else field
                if isinstance(url, str) and url.startswith("ms://"):
                    yield purpose, url.removeprefix("ms://")


def _file_known(call: ChatCall) -> Refusal | None:
    for _, file_id in _file_parts(call):
        if call.account.find_file(file_id) is None:
            return _bad(f"Invalid request: file {file_id[:80]} not found")
    return None


def _file_purpose(call: ChatCall) -> Refusal | None:
    for purpose, file_id in _file_parts(call):
        file = call.account.find_file(file_id)
        if file is not None and (file.purpose != purpose or file.status == "error"):
            return _bad(f"Invalid request: file {file_id[:80]} is not usable as {purpose}")
    return None


def _video_url(call: ChatCall) -> Refusal | None:
    for message in call.messages:
        for part in parts_of(message):
            if not isinstance(part, dict) or part.get("type") != "video_url":
                continue
            field = part.get("video_url")
            url = field.get("url") if isinstance(field, dict) else field
            if not isinstance(url, str) or not url.startswith(("data:video/", "ms://")):
                return _bad("Invalid request: unsupported video url")
    return None


def _video_data(call: ChatCall) -> Refusal | None:
    for message in call.messages:
        for part in parts_of(message):
            source = media_source(part, "video_url")
            if source is None or not source.url.startswith("data:"):
                continue
            if source.data is None or video_type(source.data[:HEAD_BYTES]) is None:
                return _bad("Invalid request: failed to decode video")
    return None


def _partial_last(call: ChatCall) -> Refusal | None:
    last = len(call.messages) - 1
    for place, message in enumerate(call.messages):
        if message.get("partial") is True and (place != last or message.get("role") != "assistant"):
            return _bad("Invalid request: partial is only allowed on a final assistant message")
    return None


def _partial_json(call: ChatCall) -> Refusal | None:
    partial = any(message.get("partial") is True for message in call.messages)
    return (
        _bad("Invalid request: partial cannot be used with json_object")
        if partial and call.json_mode
        else None
    )


def _system_tools(call: ChatCall) -> Refusal | None:
    if family_of(call.model_id) == "k3":
        return None
    if any(message.get("tools") for message in call.messages):
        return _bad("Invalid request: tools in a message are not supported by this model")
    return None


def _response_format(call: ChatCall) -> Refusal | None:
    value = call.body["response_format"]
    if value is None:
        return None
    kind = value.get("type") if isinstance(value, dict) else None
    if kind not in ("text", "json_object", "json_schema"):
        return _bad("Invalid request: response_format.type is one of text, json_object, json_schema")
    schema = value.get("json_schema")
    if kind == "json_schema" and not (isinstance(schema, dict) and isinstance(schema.get("schema"), dict)):
        return _bad("Invalid request: response_format.json_schema needs a name and a schema")
    return None


def _stop_count(call: ChatCall) -> Refusal | None:
    return (
        _bad("Invalid request: stop has at most 5 entries")
        if len(strings_of(call.body["stop"])) > 5
        else None
    )


def _stop_bytes(call: ChatCall) -> Refusal | None:
    if any(len(stop.encode("utf-8", "surrogatepass")) > 32 for stop in strings_of(call.body["stop"])):
        return _bad("Invalid request: a stop entry has at most 32 bytes")
    return None


def _cap_both(call: ChatCall) -> Refusal | None:
    one, other = call.body.get("max_tokens"), call.body.get("max_completion_tokens")
    if one is not None and other is not None and one != other:
        return _bad("Invalid request: max_tokens and max_completion_tokens differ")
    return None


def _cap_positive(call: ChatCall) -> Refusal | None:
    for field in ("max_tokens", "max_completion_tokens"):
        value = call.body.get(field)
        number = as_int(value)
        if value is not None and (number is None or number < 1):
            return _bad(f"Invalid request: {field} must be a positive integer")
    return None


def _window(call: ChatCall) -> Refusal | None:
    capped = call.body.get("max_tokens") is not None or call.body.get("max_completion_tokens") is not None
    asked = call.prompt_tokens + (call.cap if capped else 0)
    if call.model is None or asked <= call.model.context:
        return None
    limit = call.model.context
    return _bad(f"Invalid request: Your request exceeded model token limit: {limit} (requested: {asked})")


def _stream_boolean(call: ChatCall) -> Refusal | None:
    value = call.body["stream"]
    return (
        None
        if value is None or isinstance(value, bool)
        else _bad("Invalid request: stream must be a boolean")
    )


def _unsafe(call: ChatCall) -> Refusal | None:
    found = any(UNSAFE_INPUT in text_of(message.get("content")) for message in call.messages)
    return Refusal("content_filter") if found else None


def _known_fields(call: ChatCall) -> Refusal | None:
    unknown = sorted(call.body.keys() - KNOWN_FIELDS)
    return _bad(f"Invalid request: unknown field {', '.join(unknown)}") if unknown else None


RULES: tuple[Rule | KeyRule, ...] = (
    KeyRule("kimi.auth.missing", "D", "no bearer key: 401", "missing", Refusal("invalid_authentication")),
    KeyRule("kimi.auth.key", "D", "a wrong key: 401", "bad", Refusal("incorrect_api_key")),
    Rule("kimi.json.object", "?", "a body that is no JSON object: 400", _json_object),
    Rule("kimi.model.retired", "D", "a retired model: 404", _model_retired),
    Rule("kimi.model.known", "DI", "an unknown model: 404", _model_known),
    Rule("kimi.model.locked", "D", "a model that is not unlocked: 404", _model_locked),
    Rule("kimi.messages.present", "?", "no messages: 400", _messages_present),
    Rule("kimi.messages.role", "D", "an unknown role: 400", _messages_role),
    Rule("kimi.content.type", "?", "content that is neither text nor parts: 400", _content_type),
    Rule("kimi.content.empty", "DI", "empty content, but for tool calls and prefills: 400", _content_empty),
    Rule("kimi.parts.type", "D", "a part other than text, image_url, video_url: 400", _parts_type),
    Rule("kimi.image.url", "DW", "an image that is neither `data:` nor `ms://`: 400", _image(_url_trouble)),
    Rule("kimi.image.svg", "D", "an SVG image: 400", _image(_svg_trouble)),
    Rule("kimi.image.data", "D?", "an image of unknown type or broken base64: 400", _image(_data_trouble)),
    Rule("kimi.video.url", "D", "a video that is neither `data:` nor `ms://`: 400", _video_url),
    Rule("kimi.video.data", "D?", "a video of an undocumented type or broken base64: 400", _video_data),
    Rule("kimi.file.known", "?", "`ms://` and the id of a file that the account lacks: 400", _file_known),
    Rule(
        "kimi.file.purpose", "D", "`ms://` and a file of another purpose, or a failed one: 400", _file_purpose
    ),
    Rule(
        "kimi.partial.last", "D", "`partial` elsewhere than on a final assistant message: 400", _partial_last
    ),
    Rule("kimi.partial.json", "D", "`partial` with `json_object`: 400", _partial_json),
    Rule("kimi.messages.tools", "D", "tools in a message on another model than K3: 400", _system_tools),
    Rule("kimi.stream.boolean", "?", "`stream` that is no boolean: 400", _stream_boolean, "stream"),
    *SAMPLING_RULES,
    Rule(
        "kimi.response_format.type",
        "D",
        "an unknown response format: 400",
        _response_format,
        "response_format",
    ),
    *SCHEMA_RULES,
    Rule("kimi.stop.count", "D", "more than 5 stop strings: 400", _stop_count, "stop"),
    Rule("kimi.stop.bytes", "D", "a stop string over 32 bytes: 400", _stop_bytes, "stop"),
    Rule("kimi.cap.both", "?", "both names of the cap with different values: 400", _cap_both),
    Rule("kimi.cap.positive", "?", "a cap that is no positive integer: 400", _cap_positive),
    *TOOL_RULES,
    *WEB_SEARCH_RULES,
    Rule(
        "kimi.fields.known", "?", "a field outside schema and recordings: 400", _known_fields, default=False
    ),
    Rule("kimi.cap.window", "DW", "prompt and requested cap above the window: 400", _window),
    Rule("kimi.input.unsafe", "D", f"the word {UNSAFE_INPUT} in a message: 400 `content_filter`", _unsafe),
    *LIMIT_RULES,
)

BEHAVIOURS: tuple[Behaviour, ...] = (
    *LIMIT_BEHAVIOURS,
    Behaviour("kimi.errors.envelope", "W", "errors are `error.message` and `error.type`, without `code`"),
    Behaviour(
        "kimi.errors.retry_headers",
        "W",
        "only rate limits carry Retry-After, X-Retry-After, Msh-Cooldown-Seconds",
    ),
    Behaviour(
        "kimi.errors.quota_status", "DW", "an exhausted quota is 429, or 403 by option `kimi_quota_status`"
    ),
    Behaviour("kimi.errors.gateway_html", "D", "the 504 of the gateway is an HTML page"),
    Behaviour(
        "kimi.headers.account", "W", "every response names request, trace, organisation, project and tier"
    ),
    Behaviour(
        "kimi.fields.accepted", "W", "seed, top_k, service_tier and the other recorded fields have no effect"
    ),
    Behaviour("kimi.id.form", "W", "`id` is `chatcmpl-` and 24 hex digits"),
    Behaviour(
        "kimi.prompt.overhead", "W", "a hidden template adds about 80 prompt tokens, JSON mode about 47"
    ),
    Behaviour(
        "kimi.json_schema.answer", "D", "an answer by `json_schema` is an object of that schema, and no text"
    ),
    Behaviour(
        "kimi.usage.cached", "W", "cached tokens stand flat and in the details, and only when there are any"
    ),
    Behaviour(
        "kimi.usage.cache_write",
        "I",
        "tokens newly put into the cache are counted flat, where that is switched on: `kimi_cache_writes`",
    ),
    Behaviour("kimi.cache.header", "W", "a cache hit is announced by Msh-Context-Cache-Token-Saved"),
    Behaviour("kimi.cache.threshold", "W", "a prompt of any length can hit the cache"),
    Behaviour(
        "kimi.thinking.first", "W", "thinking uses up the cap first: empty content with finish `length`"
    ),
    Behaviour(
        "kimi.stream.opening", "D", "the first chunk has role and empty content; role appears nowhere else"
    ),
    Behaviour(
        "kimi.stream.usage",
        "DI",
        "usage at the top, in the choice or in a further chunk: `kimi_stream_usage`",
    ),
    Behaviour("kimi.stream.error_frame", "?", "an error inside a stream is an `error` frame, then the end"),
    *WEB_SEARCH_BEHAVIOURS,
    Behaviour(
        "kimi.tool_calls.form",
        "DI",
        "a call's id is `name:n`; streams bring id, type and name first, then pieces of the arguments",
    ),
    Behaviour("kimi.partial.excluded", "D", "the answer to a prefill does not repeat it"),
    Behaviour("kimi.models.list", "DI", "`GET /models` gives context length and abilities"),
    Behaviour("kimi.balance", "D", "`GET /users/me/balance` gives available, voucher and cash balance"),
    Behaviour(
        "kimi.estimate", "D", "`POST /tokenizers/estimate-token-count` agrees with a chat's prompt tokens"
    ),
    Behaviour("kimi.route.unknown", "L", "an unknown route gives the bare `url.not_found` object"),
)
