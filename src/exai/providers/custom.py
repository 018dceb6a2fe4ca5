"""Any other OpenAI-compatible endpoint, from a row of the configuration."""

from collections.abc import Callable
from dataclasses import replace

from exai import config
from exai.errors import StartFault
from exai.messages import Effort
from exai.providers.base import Shared
from exai.providers.catalog import Model, Price
from exai.providers.dialects import DIALECTS, ERRORS, FINISHES, OTHER_SPELLINGS, OVERRIDABLE, Dialect
from exai.providers.profile import Profile
from exai.providers.wire.openai_compatible import OpenAiCompatible, bearer, usable_key

__all__ = ["custom_models", "custom_provider"]


def custom_models(name: str, settings: config.CustomProvider) -> dict[str, Model]:
    """List the models of the endpoint `name`, by canonical name.

    Raises:
        StartFault: the row lists no model, one twice, or half a price.
    """
    habits = _habits(settings)
    models = {
        (canonical := f"{name}/{row.name}"): Model(
            name=canonical,
            provider=name,
            wire_name=row.name,
            context_tokens=row.context_tokens,
            max_output_tokens=row.max_output_tokens,
            images=row.images,
            calls_tools=False,
            price=_price(name, row),
            thinking=habits.thinking_fields(tuple(map(Effort, row.efforts))),
            temperature=(0.0, 2.0) if habits.temperature else None,
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
    name: str,
    settings: config.CustomProvider,
    shared: Shared,
) -> OpenAiCompatible:
    """Make the adapter of the endpoint `name`. Without a key, requests have none.

    Raises:
        StartFault: the key is malformed, two things would be the request's `Authorization`, or the list of models is
            empty, repeats a name or has half a price.
    """
    profile = _profile(name, settings)
    _check_authorization(profile, settings)
    return OpenAiCompatible(
        name=name,
        profile=profile,
        models=custom_models(name, settings),
        base_url=str(settings.base_url),
        authorization=_authorization(profile, usable_key(settings.api_key, profile.key_hint)),
        shared=shared,
    )


def _check_authorization(profile: Profile, settings: config.CustomProvider) -> None:
    """Refuse a row that has several values for the one header `Authorization`."""
    setting = profile.url_setting.rpartition(".")[0]
    url = settings.base_url
    given = {
        f"{setting}.base_url (its user and password)": bool(url.username or url.password),
        f"{setting}.headers": any(header.casefold() == "authorization" for header in profile.headers),
        f"{setting}.api_key": settings.api_key is not None and profile.key_header == "authorization",
    }
    several = [name for name, is_given in given.items() if is_given]
    if len(several) > 1:
        raise StartFault(
            f"{' and '.join(several)} would each be the header Authorization of the same request. Keep one of them, or "
            f"have the key sent in another header by {setting}.key_header."
        )


def _profile(name: str, settings: config.CustomProvider) -> Profile:
    habits = _habits(settings)
    setting = f"providers.custom.{name}"
    headers = (secret.get_secret_value().partition(":") for secret in settings.headers)
    query = (entry.partition("=") for entry in settings.query)
    return Profile(
        title=name,
        key_hint=f"the setting {setting}.api_key",
        url_setting=f"{setting}.base_url",
        max_tokens_field=habits.max_tokens_field,
        key_header=habits.key_header,
        headers={header: value.strip() for header, _, value in headers},
        query=tuple((key, value) for key, _, value in query),
        system_role=habits.system_role,
        request_fields=habits.request_fields,
        stream_fields={"stream_options": {"include_usage": True}} if habits.stream_usage else {},
        errors=(*habits.errors, *ERRORS),
        finishes={**({} if habits.strict_finish else OTHER_SPELLINGS), **FINISHES, **habits.finishes},
        lenient=not habits.strict_finish,
        think_tags=habits.think_tags,
    )


def _habits(settings: config.CustomProvider) -> Dialect:
    """Return the dialect, with the values that the row sets itself."""
    own = {name: value for name in OVERRIDABLE if (value := getattr(settings, name)) is not None}
    return replace(DIALECTS[settings.dialect], **own)


def _authorization(profile: Profile, key: str | None) -> Callable[[], str | None]:
    if key is None:
        return _no_authorization
    return bearer(key) if profile.key_header == "authorization" else lambda: key


def _no_authorization() -> None:
    return None


def _price(name: str, row: config.CustomModel) -> Price | None:
    if row.input_price is None and row.output_price is None:
        return None
    if row.input_price is None or row.output_price is None:
        raise StartFault(
            f"providers.custom.{name}.models gives {row.name} only one of input_price and output_price. Give "
            "both, or none if its cost is not to be counted."
        )
    return Price(row.input_price, row.cached_input_price, row.output_price, "configured")
