"""Kimi, by Moonshot AI: profile and errors."""

import re
from collections.abc import Mapping
from dataclasses import replace

from exai import config
from exai.errors import (
    ContentFiltered,
    ContextOverflow,
    ProviderDenied,
    ProviderFailed,
    ProviderOverloaded,
    ProviderRefused,
    ProviderThrottled,
    ProviderUnauthorized,
    QuotaExhausted,
)
from exai.providers.base import Shared
from exai.providers.catalog import Model, SearchWay
from exai.providers.faults import Row, Verdict
from exai.providers.file_limits import FileDialect
from exai.providers.profile import Profile
from exai.providers.remote_files.accounts import account_copies
from exai.providers.remote_files.pictures import PictureUploads
from exai.providers.wire.openai_compatible import OpenAiCompatible, bearer, usable_key

__all__ = ["BUILTIN_SEARCH", "ERRORS", "KIMI", "kimi_provider"]


BUILTIN_SEARCH = "$web_search"
"""Kimi's own search tool; its calls are sent back with their arguments, and nothing else."""


def _types(*types: str) -> frozenset[str]:
    return frozenset(types)


ERRORS: tuple[Row, ...] = (
    Row(
        _types("invalid_authentication_error", "incorrect_api_key_error"),
        Verdict(
            ProviderUnauthorized,
            "{title} does not accept the key ({code}). Check {key_hint}; keys of the two platforms (.ai, "
            ".cn) are not interchangeable, so {url_setting} must be of the same one.",
        ),
    ),
    Row(
        _types("exceeded_current_quota_error"),
        Verdict(
            QuotaExhausted,
            "The {title} account is out of balance or suspended ({code}). Top up or check the plan in its "
            "console.",
        ),
    ),
    # The daily cap shares its type with the limits per minute and differs in the text alone.
    Row(
        _types("rate_limit_reached_error"),
        Verdict(
            QuotaExhausted,
            "The {title} account's tokens for today are used up ({code}). Try again tomorrow, or raise its "
            "tier.",
        ),
        text=re.compile(r"\bTPD\b"),
    ),
    Row(
        _types("rate_limit_reached_error"),
        Verdict(
            ProviderThrottled,
            "The {title} account's limit of requests or tokens is reached ({code}). Try again a little "
            "later, ask for a smaller answer (its cap counts), or raise the tier.",
        ),
    ),
    Row(
        _types("engine_overloaded_error"),
        Verdict(
            ProviderOverloaded,
            "{title} has no capacity for {model} now ({code}). Try again later or use another model.",
        ),
    ),
    Row(
        _types("content_filter"),
        Verdict(ContentFiltered, "{title} refused the question as too risky ({code}). Word it differently."),
    ),
    # An overlong prompt is an ordinary invalid request but for its text.
    Row(
        _types("invalid_request_error"),
        Verdict(
            ContextOverflow,
            "The prompt with the answer asked for does not fit into the window of {model} ({code}). Send "
            "less, ask for a smaller answer, or use a model with a larger window.",
        ),
        text=re.compile(r"token (length|limit)|context (length|window)|too long", re.IGNORECASE),
    ),
    Row(
        _types("invalid_request_error"),
        Verdict(
            ProviderRefused,
            "{title} calls the request for {model} invalid ({code}). Leave out optional arguments such as "
            "images, or choose another model.",
        ),
    ),
    Row(
        _types("permission_denied_error"),
        Verdict(
            ProviderDenied,
            "{title} does not open this API to the account ({code}). Check the project's permissions in "
            "its console.",
        ),
    ),
    Row(
        _types("resource_not_found_error"),
        Verdict(
            ProviderDenied,
            "{title} has no {model} for this account ({code}). K3 models open after a first top-up; or "
            "choose another model.",
        ),
    ),
    Row(
        _types("url.not_found"),
        Verdict(
            ProviderDenied, "{title} has no chat completions at this address ({code}). Check {url_setting}."
        ),
    ),
    Row(
        _types("server_error", "unexpected_output", "client_closed_request"),
        Verdict(ProviderFailed, "{title} failed while answering ({code}). Try again later."),
    ),
    Row(
        _types("server_unavailable"),
        Verdict(ProviderOverloaded, "{title} is not available now ({code}). Try again later."),
    ),
)
"""Errors by Kimi's types; it sends no codes."""

KIMI = Profile(
    title="Kimi",
    key_hint="KIMI_API_KEY (or MOONSHOT_API_KEY, the setting providers.kimi.api_key)",
    url_setting="providers.kimi.base_url",
    max_tokens_field="max_completion_tokens",
    stream_fields={"stream_options": {"include_usage": True}},
    conversation_field="prompt_cache_key",
    request_id_header="Msh-Request-Id",
    errors=ERRORS,
    search_tool={"type": "builtin_function", "function": {"name": BUILTIN_SEARCH}},
    loop_reasoning=True,
    names_tool_messages=True,
    answer_form="json_schema",
    finishes={"stop": "stop", "length": "length", "tool_calls": "tool_calls"},
)
"""Kimi's profile."""


COUNT_PATH = "/tokenizers/estimate-token-count"


def kimi_provider(
    settings: config.KimiProvider,
    models: Mapping[str, Model],
    files: FileDialect,
    shared: Shared,
) -> OpenAiCompatible:
    """Make Kimi's adapter. Where copies are remembered, large pictures are kept in its file store.

    Raises:
        StartFault: the key is malformed.
    """
    if settings.web_search == "builtin":
        models = {
            name: replace(model, web_search=SearchWay.BUILTIN) if model.builtin_search else model
            for name, model in models.items()
        }
    key = usable_key(settings.api_key, KIMI.key_hint)
    base_url = str(settings.base_url)
    copies = account_copies("kimi", KIMI, files, base_url, key, shared, settings.keep_uploads_days)
    return OpenAiCompatible(
        name="kimi",
        profile=replace(KIMI, count_path=COUNT_PATH) if settings.count_tokens else KIMI,
        models=models,
        base_url=base_url,
        authorization=None if key is None else bearer(key),
        shared=shared,
        copies=copies,
        pictures=None
        if copies is None
        else PictureUploads(copies, above_bytes=settings.upload_images_above_bytes),
    )
