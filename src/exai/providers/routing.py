"""Which model answers, and who serves it. A named model answers or fails; it is never swapped."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from exai import config
from exai.clock import Clock
from exai.errors import AbilityMissing, ProviderUnconfigured, StartFault, UnknownModel
from exai.messages import Effort
from exai.providers.base import Provider
from exai.providers.catalog import Catalog, Fee, Model, Retired, nearest_names
from exai.providers.custom import custom_provider
from exai.providers.glm import glm_provider
from exai.providers.kimi import kimi_provider
from exai.providers.openai_compatible import OpenAiCompatible

__all__ = ["AUTO", "Choice", "Roster"]

AUTO = "auto"
"""The name by which a caller leaves the choice to `models.preferred`."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The model of one call."""

    model: Model
    model_requested: str | None
    """As the caller spelt it; `None` when it named none."""
    reason: str | None
    """Why `model` is not what was requested, in a sentence; `None` when it is."""


@dataclass(frozen=True, slots=True)
class _Needs:
    """What a call asks of its model beyond text."""

    images: bool
    web_search: bool
    thinking: bool

    def unmet(self, model: Model) -> str | None:
        """What `model` lacks, in words."""
        if self.images and not model.images:
            return "takes no images"
        if self.web_search and not model.web_search:
            return "cannot search the web"
        if self.thinking and not model.efforts:
            return "has no thinking to set"
        return None


class Roster:
    """The providers of this configuration and the models they serve."""

    def __init__(
        self, catalog: Catalog, providers: Mapping[str, OpenAiCompatible], models: config.Models
    ) -> None:
        """Raise `StartFault` when `models` names one that does not exist; else use `from_settings`."""
        self._catalog = catalog
        self._providers = MappingProxyType(dict(providers))
        self._served = {
            name: model for provider in providers.values() for name, model in provider.models.items()
        }
        self._by_folded_name = {name.casefold(): model for name, model in self._served.items()}
        self._default = (
            None if models.default == AUTO else self._configured_name(models.default, "models.default")
        )
        self._preferred = tuple(self._configured_name(name, "models.preferred") for name in models.preferred)

    @classmethod
    def from_settings(
        cls,
        providers: config.Providers,
        models: config.Models,
        timeouts: config.Timeouts,
        clock: Clock,
    ) -> "Roster":
        """Build every provider. Needs no running event loop; connections are opened on the first call.

        Raises:
            StartFault: a setting names a model that does not exist or makes a provider impossible.
        """
        catalog = Catalog.load()
        built = {
            "glm": glm_provider(
                providers.glm, _allowed(catalog, "glm", providers.glm.allowed_models), timeouts, clock
            ),
            "kimi": kimi_provider(
                providers.kimi, _allowed(catalog, "kimi", providers.kimi.allowed_models), timeouts, clock
            ),
        }
        for name, settings in providers.custom.items():
            if name in built:
                raise StartFault(
                    f"providers.custom.{name} has the name of a built-in provider. Give it another name; the "
                    f"address of {name} itself is providers.{name}.base_url."
                )
            built[name] = custom_provider(name, settings, timeouts, clock)
        return cls(catalog, built, models)

    @property
    def providers(self) -> Mapping[str, Provider]:
        """All that are known, configured or not, by name."""
        return self._providers

    @property
    def fees(self) -> tuple[Fee, ...]:
        """What the providers' services cost beside tokens."""
        return tuple(self._catalog.fees.values())

    def fee(self, provider: str, service: str) -> Fee:
        """The fee of one service; one that the catalogue does not list has no known price."""
        known = self._catalog.fees.get((provider, service))
        return known or Fee(provider, service, f"the {service} of {provider}", "search", None, "")

    def resolve(
        self,
        requested: str | None,
        *,
        images: bool = False,
        web_search: bool = False,
        effort: Effort | None = None,
    ) -> Choice:
        """The model for a call that needs these abilities.

        `None` takes `models.default`; `auto` the first of `models.preferred` that can
        be asked and has the abilities. `effort` above `none` asks for a model that thinks.

        Raises:
            UnknownModel: no such model, a retired one without a stand-in, or one that is switched off.
            AbilityMissing: the model cannot do what the call needs.
            ProviderUnconfigured: no key is set for its provider.
        """
        needs = _Needs(images, web_search, effort not in {None, Effort.NONE})
        if requested is None and self._default is not None:
            model = self._able(self._default, needs)
            return Choice(model, None, "No model was named; this is the configured default.")
        if requested is None or requested.strip().casefold() == AUTO:
            return self._first_preferred(requested, needs)
        model, reason = self._named(requested)
        return Choice(self._able(model, needs), requested, reason)

    async def close(self) -> None:
        """Let go of every provider's connections."""
        for provider in self._providers.values():
            await provider.close()

    def _named(self, requested: str) -> tuple[Model, str | None]:
        """The model that a name stands for, and why it is called otherwise."""
        name = requested.strip()
        if (served := self._by_folded_name.get(name.casefold())) is not None:
            return served, None
        entry = self._catalog.find(name)
        if isinstance(entry, Retired):
            successor = self._catalog.models[entry.successor]
            if not entry.resolves or successor.name not in self._served:
                raise UnknownModel(
                    f"{entry.name} was retired by its provider on {entry.since}. Use {entry.successor} "
                    "instead."
                )
            return successor, f"{entry.name} was retired on {entry.since}; {successor.name} is its successor."
        if entry is None:
            raise UnknownModel(self._unknown(requested))
        if entry.name not in self._served:
            raise UnknownModel(
                f"{entry.name} is switched off here: providers.{entry.provider}.allowed_models does not list "
                "it. Choose one that `models` lists."
            )
        return entry, f"{name} is another name of {entry.name}."

    def _able(self, model: Model, needs: _Needs) -> Model:
        """`model`, if it has what the call needs and can be asked."""
        if (lack := needs.unmet(model)) is not None:
            able = [other for other in self._served.values() if needs.unmet(other) is None]
            able.sort(key=lambda other: not self._providers[other.provider].configured)
            instead = ", ".join(other.name for other in able[:4])
            advice = f"Models that do what this call needs: {instead}." if able else "No model here does."
            raise AbilityMissing(f"{model.name} {lack}. {advice}")
        provider = self._providers[model.provider]
        if not provider.configured:
            raise provider.unconfigured(model.name)
        return model

    def _first_preferred(self, requested: str | None, needs: _Needs) -> Choice:
        reachable = [
            model
            for model in self._preferred
            if model.name in self._served and self._providers[model.provider].configured
        ]
        for model in reachable:
            if needs.unmet(model) is None:
                why = "Left to auto" if requested is not None else "No model was named"
                return Choice(
                    model,
                    requested,
                    f"{why}: the first of models.preferred that can be asked and does what the call needs.",
                )
        if reachable:
            able = [
                model.name
                for model in self._served.values()
                if needs.unmet(model) is None and self._providers[model.provider].configured
            ]
            advice = (
                f"Name one of these: {', '.join(able[:4])}."
                if able
                else "Leave out what it needs beyond text."
            )
            raise AbilityMissing(f"None of models.preferred can do what this call needs. {advice}")
        hints = " or ".join(
            provider.key_hint for provider in self._providers.values() if not provider.configured
        )
        usable = [name for name, model in self._served.items() if self._providers[model.provider].configured]
        if usable:
            raise ProviderUnconfigured(
                f"None of models.preferred can be asked. Name a model, such as {usable[0]}, or list it in "
                "models.preferred."
            )
        raise ProviderUnconfigured(f"No provider has a key. Set {hints}.")

    def _configured_name(self, name: str, setting: str) -> Model:
        """The model that a setting names, allowed or not."""
        try:
            return self._named(name)[0]
        except UnknownModel as fault:
            entry = self._catalog.find(name)
            if isinstance(entry, Model) and setting == "models.preferred":
                return entry
            raise StartFault(f"{setting} names {name!r}. {fault}") from fault

    def _unknown(self, requested: str) -> str:
        near = nearest_names(requested, [*self._served, *self._catalog.retired])
        shown = requested if len(requested) <= 80 else f"{requested[:80]}..."
        advice = f"Nearest: {', '.join(near)}." if near else "Call `models` for the names."
        return f"There is no model {shown!r}. {advice}"


def _allowed(catalog: Catalog, provider: str, allowed: Iterable[str]) -> dict[str, Model]:
    """The catalogue's models of `provider`, or those of them that `allowed` lists.

    Raises:
        StartFault: a name in the list is none of the provider's models.
    """
    models = {name: model for name, model in catalog.models.items() if model.provider == provider}
    listed = set()
    for name in allowed:
        entry = catalog.find(name)
        if not isinstance(entry, Model) or entry.provider != provider:
            near = ", ".join(nearest_names(name, models))
            raise StartFault(
                f"providers.{provider}.allowed_models names {name!r}, which is no model of {provider}. "
                + (f"Nearest: {near}." if near else f"It has: {', '.join(models)}.")
            )
        listed.add(entry.name)
    return {name: model for name, model in models.items() if name in listed} if listed else models
