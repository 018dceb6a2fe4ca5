"""`models`: the models that can be asked, with abilities, prices and health."""

from collections.abc import Sequence
from typing import Annotated, ClassVar, Self

import msgspec
from msgspec import UNSET, UnsetType

from exai.auth import scopes
from exai.consulting.context import CallContext
from exai.consulting.results import Report, Result, ToolReturn
from exai.conversations.estimates import estimate_tokens
from exai.errors import BadArguments, ToolFault
from exai.messages import Effort
from exai.monitoring.provider_health import Health
from exai.providers.base import Provider
from exai.providers.catalog import Model, Price, did_you_mean
from exai.routing.breaker import Breaker, State
from exai.storage.conversations.calibrations import Calibration
from exai.tools.base import Arguments, Tool
from exai.tools.older.operations import STATES_OF_MODELS
from exai.tools.system_report import ModelStates

__all__ = ["Models", "ModelsArguments", "ModelsListed", "ModelsReport"]

MOST_TOKENS = 1_300
"""Of all the models in a result, as it is written; who wants the rest names a provider or a model."""

FREE = "free"

Name = Annotated[str, msgspec.Meta(max_length=100)]


class ModelsArguments(Arguments, frozen=True):
    provider: Annotated[Name, msgspec.Meta(description="Only this one's models")] | None = None
    model: Annotated[Name, msgspec.Meta(description="All about this one")] | None = None


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
    def folded_names(self) -> frozenset[str]:
        """By which names it is asked for, in lower case."""
        return frozenset(name.casefold() for name in (self.name, *self.aliases))


class ListedProvider(msgspec.Struct, frozen=True):
    """A provider and its models."""

    name: str
    configured: bool
    models: tuple[ListedModel, ...]


class ModelsReport(Report, frozen=True):
    """The providers with all that is known of their models."""

    default: str | None
    providers: tuple[ListedProvider, ...]

    def only(self, model: str) -> Self:
        """Return the report on one model, by its name or one of its aliases; without providers where nobody has it."""
        wanted = model.strip().casefold()
        found = (
            (provider, [each for each in provider.models if wanted in each.folded_names])
            for provider in self.providers
        )
        return msgspec.structs.replace(
            self,
            providers=tuple(
                msgspec.structs.replace(provider, models=tuple(models))
                for provider, models in found
                if models
            ),
        )


class ModelSummary(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an agent needs to choose a model."""

    name: str
    context_tokens: int
    can: tuple[str, ...] = ()
    price_usd: str | None = None
    state: str | None = None
    """What is not as usual; missing while the model answers."""
    details: ListedModel | None = None

    @classmethod
    def of(cls, model: ListedModel, *, detailed: bool = False) -> Self:
        return cls(
            name=model.name,
            context_tokens=model.context_tokens,
            can=_abilities(model),
            price_usd=_price_text(model.price_usd_per_million),
            state=_state(model),
            details=model if detailed else None,
        )

    @property
    def line(self) -> str:
        """Render the model in one line."""
        parts = [f"- {self.name}", f"{self.context_tokens // 1000}k window"]
        if self.can:
            parts.append(", ".join(self.can))
        parts.append(self._priced)
        if self.state:
            parts.append(self.state)
        line = "; ".join(parts)
        return line if self.details is None else f"{line}\n  {_encode(self.details)}"

    @property
    def _priced(self) -> str:
        if self.price_usd is None:
            return "price unknown"
        return self.price_usd if self.price_usd == FREE else f"${self.price_usd}"


class ProviderSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A provider and its models, as an agent is shown them."""

    name: str
    configured: bool
    models: tuple[ModelSummary, ...]


class ModelsListed(Result, frozen=True, kw_only=True):
    """The providers with their models."""

    is_kept: ClassVar[bool] = True

    default: str | None = None
    note: str | None = None
    """Present where models were left out."""
    providers: tuple[ProviderSummary, ...]

    @classmethod
    def of(cls, report: ModelsReport, *, most_tokens: float = MOST_TOKENS, detailed: bool = False) -> Self:
        """Sum a report up; models beyond `most_tokens` are left out and counted."""
        summaries = [
            [ModelSummary.of(model, detailed=detailed) for model in provider.models]
            for provider in report.providers
        ]
        shown = _first_of_each(summaries, most_tokens)
        providers = tuple(
            ProviderSummary(name=provider.name, configured=provider.configured, models=tuple(models))
            for provider, models in zip(report.providers, shown, strict=True)
        )
        left_out = sum(map(len, summaries)) - sum(map(len, shown))
        note = f"{left_out} more models are not shown: name a provider or a model." if left_out else None
        return cls(default=report.default, note=note, providers=providers)

    def text(self) -> str:
        lines = [
            f"Default model: {self.default}"
            if self.default
            else "No provider has a key: set GLM_API_KEY or KIMI_API_KEY."
        ]
        if self.note:
            lines.append(f"Note: {self.note}")
        lines.append("Prices: input/output per million tokens.")
        for provider in self.providers:
            missing = "" if provider.configured else " (no key set: cannot be asked)"
            lines += ["", f"{provider.name}{missing}", *(model.line for model in provider.models)]
        return "\n".join(lines)


class Models:
    """Lists the models of every provider. Sends no request."""

    def __init__(self, states: ModelStates) -> None:
        self._states = states
        self._kept: dict[str | None, tuple[ModelsReport, ToolReturn[ModelsListed]]] = {}
        """By provider, the latest list, which is the same until something of its models changes."""

    def tool(self) -> Tool[ModelsArguments, ModelsListed]:
        """The catalogue's entry."""
        return Tool(
            name="models",
            title="List models",
            description="List providers and models: abilities, windows, prices, health, and which one is the default.",
            arguments=ModelsArguments,
            result=ModelsListed,
            report=ModelsReport,
            run=self.run,
            asks_provider=False,
            scope=scopes.STATUS,
            aliases=STATES_OF_MODELS,
            idempotent=True,
            is_listed=False,  # `status` has a section with the same
        )

    async def run(self, arguments: ModelsArguments, _context: CallContext) -> ToolReturn[ModelsListed]:
        """List them as a call's result.

        Raises:
            BadArguments: no such provider, or no such model.
        """
        return self._listed(arguments.provider, arguments.model)

    def named(self, name: str | None) -> ToolReturn[ModelsListed]:
        """List all models; those of the provider, or the one model, of that name.

        Raises:
            BadArguments: nothing has that name.
        """
        if name is None or name in self._states.router.providers:
            return self._listed(name, None)
        return self._listed(None, name)

    def _listed(self, provider: str | None, model: str | None) -> ToolReturn[ModelsListed]:
        report = self.report(provider)
        if model is None:
            kept = self._kept.get(provider)
            if kept is None or kept[0] != report:
                kept = self._kept[provider] = report, ToolReturn(ModelsListed.of(report), report=report)
            return kept[1]
        one = report.only(model)
        if not one.providers:
            known = [model.name for provider in report.providers for model in provider.models]
            raise BadArguments(
                f"Argument 'model': no model {model[:80]!r}.{did_you_mean(model, known)} "
                "Leave it out to see which there are."
            )
        return ToolReturn(ModelsListed.of(one, detailed=True), report=one)

    def report(self, name: str | None = None) -> ModelsReport:
        """Tell all that is known of them, of one provider where it is named.

        Raises:
            BadArguments: no such provider.
        """
        providers = self._states.router.providers
        if name is not None and name not in providers:
            raise BadArguments(
                f"Argument 'provider': no provider {name[:80]!r}.{did_you_mean(name, providers)} "
                f"There are: {', '.join(providers)[:400]}."
            )
        chosen = providers.values() if name is None else [providers[name]]
        return ModelsReport(
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


_encode_json = msgspec.json.Encoder().encode


def _encode(value: msgspec.Struct) -> str:
    return _encode_json(value).decode()


def _first_of_each(
    summaries: Sequence[Sequence[ModelSummary]], most_tokens: float
) -> list[list[ModelSummary]]:
    """Return as many of each provider's models as fit: the first of each, then the second of each, and so on."""
    ranked = sorted(
        (rank, number) for number, models in enumerate(summaries) for rank, _ in enumerate(models)
    )
    shown: list[list[ModelSummary]] = [[] for _ in summaries]
    tokens = 0
    for rank, number in ranked:
        summary = summaries[number][rank]
        tokens += estimate_tokens(_encode(summary))
        if tokens > most_tokens:
            break
        shown[number].append(summary)
    return shown


def _abilities(model: ListedModel) -> tuple[str, ...]:
    abilities = [name for name, able in (("images", model.images), ("web_search", model.web_search)) if able]
    if model.thinking == (Effort.NONE, Effort.HIGH):
        abilities.append("thinking on or off")
    elif model.thinking:
        levels = f" {'/'.join(model.thinking)}" if len(model.thinking) > 1 else ""
        abilities.append(f"{'always thinks' if model.always_thinks else 'thinking'}{levels}")
    return tuple(abilities)


def _state(model: ListedModel) -> str | None:
    """Say what is not as usual of a model: that it is spared now, else that its latest request failed."""
    breaker, health = model.breaker, model.health
    if breaker.state != State.CLOSED:
        return f"not asked for now ({breaker.cause}), again in {breaker.retry_after_s:g} s"
    if health is not None and health.last_error:
        return f"last: {health.last_error} ({health.failed} of {health.requests} failed)"
    return None


def _price_text(price: Price | None) -> str | None:
    if price is None:
        return None
    return FREE if price.free else f"{price.input:g}/{price.output:g}"
