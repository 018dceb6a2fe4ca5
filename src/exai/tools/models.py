"""`models`: the models that can be asked, with abilities, prices and health."""

from typing import Annotated, Self

import msgspec
from msgspec import UNSET, UnsetType

from exai.auth import scopes
from exai.consulting.context import CallContext
from exai.consulting.results import Result, ToolReturn
from exai.errors import BadArguments, ToolFault
from exai.messages import Effort
from exai.monitoring.provider_health import Health
from exai.providers.base import Provider
from exai.providers.catalog import Model, Price
from exai.routing.breaker import Breaker, State
from exai.storage.conversations.calibrations import Calibration
from exai.tools.aliases import Alias
from exai.tools.base import Arguments, Tool
from exai.tools.system_report import ModelStates

__all__ = ["Models", "ModelsArguments", "ModelsListed"]


class ModelsArguments(Arguments, frozen=True):
    provider: Annotated[str, msgspec.Meta(max_length=100, description="Only this one's models")] | None = None


class TokenEstimate(msgspec.Struct, frozen=True):
    """How accurate our token estimates for a model are."""

    factor: float
    mean_error: float
    samples: int

    @classmethod
    def of(cls, known: Calibration | None) -> Self | None:
        """`None` while the provider has counted no prompt."""
        if known is None or known.mean_error is None:
            return None
        return cls(round(known.factor, 3), round(known.mean_error, 4), known.samples)


class ModelHealth(msgspec.Struct, frozen=True):
    """A summary of the latest requests to a model."""

    requests: int
    failed: int
    last_error: str | None
    seconds_since_last: float
    mean_seconds: float

    @classmethod
    def of(cls, health: Health | None) -> Self | None:
        """`None` for a model that was not asked lately."""
        if health is None:
            return None
        return cls(
            health.requests,
            health.failed,
            health.last_error,
            round(health.seconds_since_last, 1),
            round(health.mean_seconds, 3),
        )


class BreakerState(msgspec.Struct, frozen=True):
    """Whether requests to a model are held back; cause and wait if they are."""

    state: str
    cause: str | UnsetType = UNSET
    retry_after_s: float | UnsetType = UNSET

    @classmethod
    def of(cls, breaker: Breaker | None) -> Self:
        """A model that was never asked has a closed breaker."""
        if breaker is None or breaker.state is State.CLOSED:
            return cls(State.CLOSED)
        return cls(breaker.state, breaker.cause or "", round(breaker.retry_after_s, 1))


class ListedModel(msgspec.Struct, frozen=True):
    """One model: what it can do, what it costs, how it has been doing."""

    name: str
    aliases: tuple[str, ...]
    context_tokens: int
    max_output_tokens: int
    images: bool
    web_search: bool
    thinking: tuple[str, ...]
    always_thinks: bool
    default_effort: str | None
    price_usd_per_million: Price | None
    token_estimate: TokenEstimate | None
    health: ModelHealth | None
    breaker: BreakerState

    @property
    def line(self) -> str:
        """Render the model in one line."""
        parts = [f"- {self.name}", f"{self.context_tokens // 1000}k window"]
        if abilities := self._abilities():
            parts.append(", ".join(abilities))
        parts.append(_price_text(self.price_usd_per_million))
        if self.token_estimate is not None:
            parts.append(f"token estimates {self.token_estimate.mean_error:.0%} off")
        if (health := self.health) is not None:
            state = f"last: {health.last_error}" if health.last_error else "well"
            parts.append(f"{state} ({health.failed} of {health.requests} failed)")
        if self.breaker.state != State.CLOSED:
            parts.append(
                f"not asked for now ({self.breaker.cause}), again in {self.breaker.retry_after_s:g} s"
            )
        return "; ".join(parts)

    def _abilities(self) -> list[str]:
        abilities = [
            name for name, able in (("images", self.images), ("web_search", self.web_search)) if able
        ]
        if self.thinking == (Effort.NONE, Effort.HIGH):
            abilities.append("thinking on or off")
        elif self.thinking:
            levels = f" {'/'.join(self.thinking)}" if len(self.thinking) > 1 else ""
            abilities.append(f"{'always thinks' if self.always_thinks else 'thinking'}{levels}")
        return abilities


class ListedProvider(msgspec.Struct, frozen=True):
    """A provider and its models."""

    name: str
    configured: bool
    models: tuple[ListedModel, ...]


class ModelsListed(Result, frozen=True):
    """The providers with their models."""

    default: str | None
    providers: tuple[ListedProvider, ...]

    def text(self) -> str:
        lines = [
            f"Default model: {self.default}"
            if self.default
            else "No provider has a key: set GLM_API_KEY or KIMI_API_KEY."
        ]
        for provider in self.providers:
            missing = "" if provider.configured else " (no key set: cannot be asked)"
            lines += ["", f"{provider.name}{missing}", *(model.line for model in provider.models)]
        return "\n".join(lines)


class Models:
    """Lists the models of every provider. Sends no request."""

    def __init__(self, states: ModelStates) -> None:
        self._states = states

    def tool(self) -> Tool[ModelsArguments, ModelsListed]:
        """The catalogue's entry."""
        return Tool(
            name="models",
            title="List models",
            description="List providers and models: abilities, windows, prices, health, and which one is the default.",
            arguments=ModelsArguments,
            result=ModelsListed,
            run=self.run,
            asks_provider=False,
            scope=scopes.STATUS,
            aliases=(Alias("listmodels"),),
            idempotent=True,
        )

    async def run(self, arguments: ModelsArguments, _context: CallContext) -> ToolReturn[ModelsListed]:
        """List them as a call's result.

        Raises:
            BadArguments: no such provider.
        """
        return ToolReturn(self.listing(arguments.provider))

    def listing(self, name: str | None = None) -> ModelsListed:
        """List them, of one provider where it is named.

        Raises:
            BadArguments: no such provider.
        """
        providers = self._states.router.providers
        if name is not None and name not in providers:
            raise BadArguments(
                f"Argument 'provider': no provider {name[:80]!r}. There are: {', '.join(providers)}."
            )
        chosen = providers.values() if name is None else [providers[name]]
        return ModelsListed(
            default=self._default(), providers=tuple(self._provider(provider) for provider in chosen)
        )

    def _default(self) -> str | None:
        try:
            return self._states.router.resolve(None).model.name
        except ToolFault:
            return None

    def _provider(self, provider: Provider) -> ListedProvider:
        models = tuple(self._model(model) for model in provider.models.values())
        return ListedProvider(provider.name, provider.configured, models)

    def _model(self, model: Model) -> ListedModel:
        states = self._states
        return ListedModel(
            name=model.name,
            aliases=model.aliases,
            context_tokens=model.context_tokens,
            max_output_tokens=model.max_output_tokens,
            images=model.images,
            web_search=model.web_search is not None,
            thinking=model.efforts,
            always_thinks=model.always_thinks,
            default_effort=model.default_effort,
            price_usd_per_million=model.price,
            token_estimate=TokenEstimate.of(states.calibration_of(model.name)),
            health=ModelHealth.of(states.health.of(model.provider, model.name)),
            breaker=BreakerState.of(states.breakers.find(model.provider, model.name)),
        )


def _price_text(price: Price | None) -> str:
    if price is None:
        return "price unknown"
    if price.free:
        return "free"
    return f"${price.input:g} in / ${price.output:g} out per million"
