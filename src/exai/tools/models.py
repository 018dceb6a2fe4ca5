"""`models`: who can be asked, what each can do, what it costs and how it has been doing."""

from collections.abc import Callable
from typing import Annotated, Any

import msgspec

from exai.auth import scopes
from exai.consulting.context import CallContext
from exai.errors import BadArguments, ToolFault
from exai.monitoring.provider_health import Health, ProviderHealth
from exai.providers.base import Provider
from exai.providers.catalog import Model
from exai.routing.breaker import Breaker, Breakers, State
from exai.routing.router import ModelRouter
from exai.storage.conversations.calibrations import Calibration
from exai.tools.base import Arguments, JsonObject, Tool, ToolAnswer

__all__ = ["Models", "ModelsArguments"]


class ModelsArguments(Arguments, frozen=True):
    provider: Annotated[str, msgspec.Meta(max_length=100, description="Only this one's models")] | None = None


def _nothing_learnt(_: str) -> Calibration | None:
    return None


class Models:
    """Lists the models of every provider; asks nobody."""

    def __init__(
        self,
        router: ModelRouter,
        health: ProviderHealth,
        breakers: Breakers,
        calibration_of: Callable[[str], Calibration | None] = _nothing_learnt,
    ) -> None:
        self._router = router
        self._health = health
        self._breakers = breakers
        self._calibration_of = calibration_of

    def tool(self) -> Tool[ModelsArguments]:
        """The catalogue's entry."""
        return Tool(
            name="models",
            title="List models",
            description="List providers and models: abilities, windows, prices, health, and which one is the default.",
            arguments=ModelsArguments,
            run=self.run,
            output_schema={
                "type": "object",
                "properties": {
                    "default": {"type": ["string", "null"]},
                    "providers": {"type": "array", "items": {"type": "object"}},
                },
                "required": ["providers"],
            },
            asks_provider=False,
            scope=scopes.STATUS,
            aliases=("listmodels",),
            idempotent=True,
        )

    async def run(self, arguments: ModelsArguments, _context: CallContext) -> ToolAnswer:
        """The list as a tool's answer.

        Raises:
            BadArguments: no such provider.
        """
        return self.answer(arguments.provider)

    def answer(self, name: str | None = None) -> ToolAnswer:
        """The list, of one provider where it is named.

        Raises:
            BadArguments: no such provider.
        """
        providers = self._router.providers
        if name is not None and name not in providers:
            raise BadArguments(
                f"Argument 'provider': no provider {name[:80]!r}. There are: {', '.join(providers)}."
            )
        chosen = providers.values() if name is None else [providers[name]]
        structured: JsonObject = {
            "default": self._default(),
            "providers": [self._provider(provider) for provider in chosen],
        }
        return ToolAnswer(text=_text(structured), structured=structured)

    def _default(self) -> str | None:
        try:
            return self._router.resolve(None).model.name
        except ToolFault:
            return None

    def _provider(self, provider: Provider) -> JsonObject:
        return {
            "name": provider.name,
            "configured": provider.configured,
            "models": [self._model(model) for model in provider.models.values()],
        }

    def _model(self, model: Model) -> JsonObject:
        price = model.price
        return {
            "name": model.name,
            "aliases": list(model.aliases),
            "context_tokens": model.context_tokens,
            "max_output_tokens": model.max_output_tokens,
            "images": model.images,
            "web_search": model.web_search is not None,
            "thinking": [effort.value for effort in model.efforts],
            "always_thinks": model.always_thinks,
            "default_effort": model.default_effort.value if model.default_effort else None,
            "price_usd_per_million": None
            if price is None
            else {
                "input": price.input,
                "cached_input": price.cached_input,
                "cache_write": price.cache_write,
                "output": price.output,
                "checked": price.checked,
            },
            "token_estimate": _calibration(self._calibration_of(model.name)),
            "health": _health(self._health.of(model.provider, model.name)),
            "breaker": _breaker(self._breakers.find(model.provider, model.name)),
        }


def _health(health: Health | None) -> JsonObject | None:
    if health is None:
        return None
    return {
        "requests": health.requests,
        "failed": health.failed,
        "last_error": health.last_error,
        "seconds_since_last": round(health.seconds_since_last, 1),
        "mean_seconds": round(health.mean_seconds, 3),
    }


def _calibration(known: Calibration | None) -> JsonObject | None:
    """How good our estimates of this model's tokens are; `None` while its provider has counted none."""
    if known is None or known.mean_error is None:
        return None
    return {
        "factor": round(known.factor, 3),
        "mean_error": round(known.mean_error, 4),
        "samples": known.samples,
    }


def _breaker(breaker: Breaker | None) -> JsonObject:
    """Its state; a model that was never asked has a closed one."""
    if breaker is None or breaker.state is State.CLOSED:
        return {"state": State.CLOSED.value}
    return {
        "state": breaker.state.value,
        "cause": breaker.cause,
        "retry_after_s": round(breaker.retry_after_s, 1),
    }


def _text(structured: JsonObject) -> str:
    default = structured["default"]
    lines = [
        f"Default model: {default}" if default else "No provider has a key: set GLM_API_KEY or KIMI_API_KEY."
    ]
    for provider in structured["providers"]:
        lines.append("")
        lines.append(
            f"{provider['name']}" + ("" if provider["configured"] else " (no key set: cannot be asked)")
        )
        lines += [_line(model) for model in provider["models"]]
    return "\n".join(lines)


def _line(model: dict[str, Any]) -> str:
    abilities = [name for name in ("images", "web_search") if model[name]]
    if (efforts := model["thinking"]) == ["none", "high"]:
        abilities.append("thinking on or off")
    elif efforts:
        levels = f" {'/'.join(efforts)}" if len(efforts) > 1 else ""
        abilities.append(f"{'always thinks' if model['always_thinks'] else 'thinking'}{levels}")
    price = model["price_usd_per_million"]
    parts = [f"- {model['name']}", f"{model['context_tokens'] // 1000}k window"]
    if abilities:
        parts.append(", ".join(abilities))
    if price is None:
        parts.append("price unknown")
    elif price["input"] or price["output"]:
        parts.append(f"${price['input']:g} in / ${price['output']:g} out per million")
    else:
        parts.append("free")
    if (estimate := model["token_estimate"]) is not None:
        parts.append(f"token estimates {estimate['mean_error']:.0%} off")
    if (health := model["health"]) is not None:
        state = f"last: {health['last_error']}" if health["last_error"] else "well"
        parts.append(f"{state} ({health['failed']} of {health['requests']} failed)")
    if (cause := model["breaker"].get("cause")) is not None:
        parts.append(f"not asked for now ({cause}), again in {model['breaker']['retry_after_s']:g} s")
    return "; ".join(parts)
