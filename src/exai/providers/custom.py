"""Any other OpenAI-compatible endpoint, from a row of the configuration."""

import re

from exai import config
from exai.clock import Clock
from exai.errors import (
    ContentFiltered,
    ContextOverflow,
    ProviderDenied,
    ProviderFailed,
    ProviderThrottled,
    ProviderUnauthorized,
    QuotaExhausted,
    StartFault,
)
from exai.providers.catalog import Model
from exai.providers.faults import Row, Verdict
from exai.providers.openai_compatible import OpenAiCompatible, bearer, usable_key
from exai.providers.profile import Profile

__all__ = ["ERRORS", "custom_models", "custom_provider"]

_OVERFLOW = Verdict(
    ContextOverflow,
    "The prompt does not fit into the window of {model} ({code}). Send less, or use a model with a larger "
    "window.",
)
_FILTERED = Verdict(
    ContentFiltered, "{title} filtered the question or the answer ({code}). Word it differently."
)
_LOST = Verdict(ProviderFailed, "{title} failed while answering ({code}). Try again later.")

ERRORS: tuple[Row, ...] = (
    Row(
        frozenset({"invalid_api_key", "authentication_error"}),
        Verdict(ProviderUnauthorized, "{title} does not accept the key ({code}). Check {key_hint}."),
    ),
    Row(
        frozenset({"insufficient_quota", "billing_hard_limit_reached"}),
        Verdict(QuotaExhausted, "The {title} account is out of credit ({code}). Top up there."),
    ),
    Row(frozenset({"context_length_exceeded", "exceed_context_size_error"}), _OVERFLOW),
    Row(
        frozenset({"invalid_request_error", "BadRequestError", "400"}),
        _OVERFLOW,
        text=re.compile(r"context (length|size|window)|too many tokens|prompt is too long", re.IGNORECASE),
    ),
    Row(frozenset({"content_filter", "content_policy_violation"}), _FILTERED),
    Row(
        frozenset({"model_not_found"}),
        Verdict(
            ProviderDenied,
            "{title} has no {model} ({code}). Check the models listed for it in the configuration, and "
            "{url_setting}.",
        ),
    ),
    Row(
        frozenset({"rate_limit_exceeded", "rate_limit_error"}),
        Verdict(
            ProviderThrottled, "{title} limits how often it may be asked ({code}). Try again a little later."
        ),
    ),
)
"""By the codes and types that OpenAI defined and compatible servers copy."""


def custom_models(name: str, settings: config.CustomProvider) -> dict[str, Model]:
    """The models of the endpoint `name`, by canonical name.

    Raises:
        StartFault: the row lists no model, or one twice.
    """
    models = {
        (canonical := f"{name}/{row.name}"): Model(
            name=canonical,
            provider=name,
            wire_name=row.name,
            context_tokens=row.context_tokens,
            max_output_tokens=row.max_output_tokens,
            images=row.images,
            temperature=(0.0, 2.0),
        )
        for row in settings.models
    }
    if not models or len(models) != len(settings.models):
        raise StartFault(
            f"providers.custom.{name}.models must list at least one model, and none twice. List what the "
            "endpoint serves."
        )
    return models


def custom_provider(
    name: str, settings: config.CustomProvider, timeouts: config.Timeouts, clock: Clock
) -> OpenAiCompatible:
    """The endpoint `name` under these settings. Without a key it is asked without one.

    Raises:
        StartFault: the key cannot be one, or the list of models is empty or doubles a name.
    """
    setting = f"providers.custom.{name}"
    profile = Profile(
        title=name,
        key_hint=f"the setting {setting}.api_key",
        url_setting=f"{setting}.base_url",
        token_cap_field=settings.token_cap_field,
        stream_fields={"stream_options": {"include_usage": True}} if settings.stream_usage else {},
        errors=ERRORS,
        finishes={
            "stop": "stop",
            "length": "length",
            "max_tokens": "length",
            "content_filter": _FILTERED,
            "error": _LOST,
        },
        lenient=True,
    )
    key = usable_key(settings.api_key, profile.key_hint)
    return OpenAiCompatible(
        name=name,
        profile=profile,
        models=custom_models(name, settings),
        base_url=str(settings.base_url),
        authorization=_no_authorization if key is None else bearer(key),
        timeouts=timeouts,
        clock=clock,
    )


def _no_authorization() -> None:
    return None
