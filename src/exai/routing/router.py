"""Chooses the model that answers, and knows its provider. A named model answers or fails, unless others are allowed."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

import msgspec

from exai import config
from exai.errors import AbilityMissing, ProviderUnconfigured, StartFault, UnknownModel
from exai.files.heavy_work import HeavyWork
from exai.messages import Effort
from exai.providers.base import Provider, Shared
from exai.providers.catalog import Catalog, Fee, Model, Retired, nearest_names
from exai.providers.custom import custom_provider
from exai.providers.glm import glm_provider, search_engines
from exai.providers.glm_search import GlmSearch
from exai.providers.kimi import kimi_provider
from exai.providers.kimi_search import KimiSearch
from exai.providers.remote_files.remote_files import FileHost
from exai.providers.search import SearchEngine
from exai.providers.wire.openai_compatible import OpenAiCompatible
from exai.routing.ledger import Tried
from exai.runtime.clock import Clock
from exai.storage.files.copies import CopyTables

__all__ = ["AUTO", "Choice", "ModelRouter"]

AUTO = "auto"
"""The name by which a caller leaves the choice to `models.preferred`."""

AUTO_CONSENT = "leaving the choice to auto"

Available = Callable[[str, str], bool]
"""Of a provider and a model."""


class Choice(msgspec.Struct, frozen=True):
    """The model of one call."""

    model: Model
    model_requested: str | None
    """The name in the call; `None` where it named none."""
    reason: str | None
    """Why `model` is not what was requested, in a sentence; `None` when it is."""
    fallbacks: tuple[Model, ...] = ()
    """The models that may take over when it cannot answer, in this order."""
    consent: str = ""
    """What allows that, in words."""
    filtered_too: bool = False
    """Whether a question that its provider filtered may be put to another one."""

    def answered_by(self, model: Model, tried: Sequence[Tried]) -> "Choice":
        """Return the choice after `model` took over and answered; `tried` are the models before it and itself."""
        failed = " and ".join(f"{each.model} ({each.outcome})" for each in tried if each.model != model.name)
        taken_over = f"{failed} could not answer; {model.name} took over, as {self.consent} allows."
        reason = taken_over if self.reason is None else f"{self.reason} {taken_over}"
        return msgspec.structs.replace(self, model=model, reason=reason)


class _Needs(msgspec.Struct, frozen=True):
    """What a call asks of its model beyond text."""

    images: bool
    web_search: bool
    thinking: bool
    kinds: tuple[str, ...] = ()
    """Of files that it must be shown as they are."""

    def unmet(self, model: Model) -> str | None:
        """Name what `model` lacks, for a sentence."""
        if self.images and not model.images:
            return "takes no images"
        for kind in self.kinds:
            if model.part_for(kind) is None:
                return f"is shown no file of kind {kind}"
        if self.web_search and not model.web_search:
            return "cannot search the web"
        if self.thinking and not model.efforts:
            return "has no thinking to set"
        return None


class ModelRouter:
    """The providers of this configuration and the models they serve."""

    def __init__(
        self,
        catalog: Catalog,
        providers: Mapping[str, OpenAiCompatible],
        models: config.Models,
        available: Available,
        engines: Sequence[SearchEngine],
        fees: Mapping[tuple[str, str], Fee],
    ) -> None:
        """Raise `StartFault` when `models` names one that does not exist; else use `from_settings`."""
        self._catalog = catalog
        self._fees = fees
        self.search_engines: Mapping[str, SearchEngine] = MappingProxyType(
            {engine.provider: engine for engine in engines}
        )
        """Engines that search the web without a model, by provider, in the order in which `auto` takes them."""
        self._available = available
        self._auto_by = models.auto_by
        self._providers = MappingProxyType(dict(providers))
        self._served = {
            name: model for provider in providers.values() for name, model in provider.models.items()
        }
        self._by_folded_name = {name.casefold(): model for name, model in self._served.items()}
        self._default = (
            None if models.default == AUTO else self._configured_name(models.default, "models.default")
        )
        preferred = [self._configured_name(name, "models.preferred") for name in models.preferred]
        self._reachable = [
            model
            for model in preferred
            if model.name in self._served and self._providers[model.provider].configured
        ]
        """The preferred models that are served and whose provider has a key, the first choice first."""
        self._chains: dict[str, tuple[tuple[Model, ...], bool]] = {}
        for chain in models.chains:
            first = self._configured_name(chain.model, "models.chains").name
            if first in self._chains:
                raise StartFault(f"models.chains has two chains for {first}. Write one of them.")
            then = tuple(self._configured_name(name, "models.chains") for name in chain.then)
            self._chains[first] = (then, chain.content_filter)

    @classmethod
    def from_settings(
        cls,
        providers: config.Providers,
        models: config.Models,
        timeouts: config.Timeouts,
        clock: Clock,
        *,
        available: Available = lambda _provider, _model: True,
        copies: CopyTables | None = None,
        files: config.Files | None = None,
        work: HeavyWork | None = None,
    ) -> "ModelRouter":
        """Build every provider. Needs no running event loop; connections are opened on the first call.

        `available` says whether a model's breaker would let a request through now; `auto` asks it. `copies`
        remembers what lies in the providers' file stores; without it nothing is put there. `work` has the threads that
        all calls share.

        Raises:
            StartFault: a setting names a model that does not exist or makes a provider impossible.
        """
        catalog = Catalog.load()
        files = files or config.Files()
        shared = Shared(timeouts, clock, work or HeavyWork(files), copies, files)
        built = {
            "glm": glm_provider(
                providers.glm,
                _allowed(catalog, "glm", providers.glm.allowed_models),
                catalog.files["glm"],
                shared,
            ),
            "kimi": kimi_provider(
                providers.kimi,
                _allowed(catalog, "kimi", providers.kimi.allowed_models),
                catalog.files["kimi"],
                shared,
            ),
        }
        _, engine = search_engines(str(providers.glm.base_url), providers.glm.search_engine)
        engines: list[SearchEngine] = [KimiSearch(built["kimi"], clock), GlmSearch(built["glm"], engine)]
        for name, settings in providers.custom.items():
            if name in built:
                raise StartFault(
                    f"providers.custom.{name} has the name of a built-in provider. Give it another name; the "
                    f"address of {name} itself is providers.{name}.base_url."
                )
            built[name] = custom_provider(name, settings, shared)
        fees = dict(catalog.fees)
        if providers.glm.search_usd is not None:
            listed = fees["glm", "web_search"]
            fees["glm", "web_search"] = replace(listed, usd=providers.glm.search_usd, checked="configured")
        return cls(catalog, built, models, available, engines, fees)

    @property
    def providers(self) -> Mapping[str, Provider]:
        """All providers that are known, configured or not, by name."""
        return self._providers

    @property
    def file_hosts(self) -> Mapping[str, FileHost]:
        """The providers that keep files, by name; those without a key keep none."""
        return {name: self._providers[name] for name in ("kimi", "glm")}

    @property
    def fees(self) -> tuple[Fee, ...]:
        """What the providers' services cost beside tokens."""
        return tuple(self._fees.values())

    def fee(self, provider: str, service: str) -> Fee:
        """Return the fee of one service; one that the catalogue does not list has no known price."""
        known = self._fees.get((provider, service))
        return known or Fee(provider, service, f"the {service} of {provider}", "search", None, "")

    def resolve(
        self,
        requested: str | None,
        *,
        images: bool = False,
        kinds: tuple[str, ...] = (),
        web_search: bool = False,
        effort: Effort | None = None,
        fallback: Sequence[str] | None = None,
        kept: bool = False,
    ) -> Choice:
        """Choose the model for a call that needs these abilities, and those that may take over from it.

        `kinds` are those of files that it must be shown as they are, such as videos.
        `None` takes `models.default`; `auto` one of `models.preferred` that can be asked
        and has the abilities. `effort` above `none` lets `auto` look for a model that
        thinks; a model that was named answers all the same, and a note says that it does not.
        `fallback` names models that the caller allows to take over; without it
        `models.chains` decides, and for `auto` the other preferred ones may. `kept`:
        nobody named the model, the conversation has it from an earlier exchange.

        Raises:
            UnknownModel: no such model, a retired one without a stand-in, or one that is switched off.
            AbilityMissing: the model cannot do what the call needs.
            ProviderUnconfigured: no key is set for its provider.
        """
        needs = _Needs(images, web_search, effort not in {None, Effort.NONE}, kinds)
        if requested is None and self._default is not None:
            model = self._able(self._default, msgspec.structs.replace(needs, thinking=False))
            choice = Choice(model, None, "No model was named; this is the configured default.")
        elif requested is None or requested.strip().casefold() == AUTO:
            choice = self._auto(requested, needs)
        else:
            model, reason = self._named(requested)
            choice = Choice(
                self._able(model, msgspec.structs.replace(needs, thinking=False)), requested, reason
            )
            if kept:
                choice = msgspec.structs.replace(
                    choice,
                    model_requested=None,
                    reason="No model was named: the conversation keeps its own.",
                    fallbacks=() if self._default is not None else tuple(self._able_preferred(needs)),
                    consent=AUTO_CONSENT,
                )
        return self._with_consent(choice, fallback)

    def _with_consent(self, choice: Choice, fallback: Sequence[str] | None) -> Choice:
        """Add the models that may take over: those of the call, else those of the chains."""
        if fallback is not None:
            named = [self._named(name)[0] for name in fallback]
            choice = msgspec.structs.replace(
                choice, fallbacks=tuple(named), consent="fallback_models of the call"
            )
        elif (chain := self._chains.get(choice.model.name)) is not None:
            then, filtered_too = chain
            choice = msgspec.structs.replace(
                choice,
                fallbacks=tuple(model for model in then if model.name in self._served),
                consent="models.chains",
                filtered_too=filtered_too,
            )
        if not choice.fallbacks:
            return choice
        others = {model.name: model for model in choice.fallbacks if model.name != choice.model.name}
        return msgspec.structs.replace(choice, fallbacks=tuple(others.values()))

    @property
    def askable(self) -> tuple[Model, ...]:
        """The models whose provider has a key: the preferred ones first, in their order."""
        others = [model for model in self._served.values() if self._providers[model.provider].configured]
        return tuple({model.name: model for model in (*self._reachable, *others)}.values())

    def is_ready(self, model: Model) -> bool:
        """Whether a model can be asked now: its provider does not fail."""
        return self._available(model.provider, model.name)

    def family(self, model: Model) -> str:
        """Return who made a model, whichever endpoint serves it: models of one family err alike."""
        entry = self._catalog.find(model.wire_name)
        if isinstance(entry, Retired):
            entry = self._catalog.models[entry.successor]
        if entry is not None:
            return entry.provider
        vendor, has_vendor, _ = model.wire_name.partition("/")
        return vendor.casefold() if has_vendor else model.provider

    async def close(self) -> None:
        """Close every provider's connections."""
        for provider in self._providers.values():
            await provider.close()

    def _named(self, requested: str) -> tuple[Model, str | None]:
        """Look a name up: the model, and a sentence where its own name is another."""
        name = requested.strip()
        if (served := self._by_folded_name.get(name.casefold())) is not None:
            return served, None
        entry = self._catalog.find(name)
        if (elsewhere := self._at_gateway(name, entry)) is not None:
            return elsewhere, f"{name} is served here as {elsewhere.name}."
        if isinstance(entry, Retired):
            successor = self._catalog.models[entry.successor]
            if not entry.resolves or successor.name not in self._served:
                raise UnknownModel(self._retired(entry, successor))
            return successor, f"{entry.name} was retired on {entry.since}; {successor.name} is its successor."
        if entry is None:
            raise UnknownModel(self._unknown(requested))
        if entry.name not in self._served:
            raise UnknownModel(
                f"{entry.name} is switched off here: providers.{entry.provider}.allowed_models does not list "
                "it. Choose one that `status` lists under models."
            )
        return entry, f"{name} is another name of {entry.name}."

    def _able(self, model: Model, needs: _Needs) -> Model:
        """Return `model`, if it has what the call needs and its provider has a key."""
        if (lack := needs.unmet(model)) is not None:
            able = [other for other in self._served.values() if needs.unmet(other) is None]
            able = [other for other in able if self._providers[other.provider].configured] or able
            instead = ", ".join(other.name for other in able[:4])
            advice = f"Models that do what this call needs: {instead}." if able else "No model here does."
            raise AbilityMissing(f"{model.name} {lack}. {advice}")
        provider = self._providers[model.provider]
        if not provider.configured:
            raise provider.unconfigured(model.name)
        return model

    def _auto(self, requested: str | None, needs: _Needs) -> Choice:
        """Choose the best of the preferred that can answer now; the rest of them may take over."""
        able = self._able_preferred(needs)
        if not able:
            raise self._nobody(needs)
        ready = [model for model in able if self._available(model.provider, model.name)]
        failing = [model for model in able if model not in ready]
        why = f"{'Left to auto' if requested is not None else 'No model was named'}: {_AUTO_WORDS[self._auto_by]}."
        if ready and failing:
            why += f" Not asked for now, because they fail: {', '.join(model.name for model in failing)}."
        chosen, *others = [*ready, *failing]
        return Choice(chosen, requested, why, tuple(others), AUTO_CONSENT)

    def _able_preferred(self, needs: _Needs) -> list[Model]:
        """List the preferred models that can be asked and have the abilities, in the order that `auto_by` sets."""
        able = [model for model in self._reachable if needs.unmet(model) is None]
        if self._auto_by == "price":
            able.sort(key=_price_rank)
        elif self._auto_by == "window":
            able.sort(key=lambda model: -model.context_tokens)
        return able

    def _nobody(self, needs: _Needs) -> AbilityMissing | ProviderUnconfigured:
        """Say why none of the preferred can answer, and what to do."""
        reachable = self._reachable
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
            return AbilityMissing(f"None of models.preferred can do what this call needs. {advice}")
        hints = " or ".join(
            provider.key_hint for provider in self._providers.values() if not provider.configured
        )
        usable = [name for name, model in self._served.items() if self._providers[model.provider].configured]
        if usable:
            return ProviderUnconfigured(
                f"None of models.preferred can be asked. Name a model, such as {usable[0]}, or list it in "
                "models.preferred."
            )
        return ProviderUnconfigured(f"No provider has a key. Set {hints}.")

    def _configured_name(self, name: str, setting: str) -> Model:
        """Look up the model that a setting names, allowed or not."""
        try:
            return self._named(name)[0]
        except UnknownModel as fault:
            entry = self._catalog.find(name)
            if isinstance(entry, Model) and setting != "models.default":
                return entry
            raise StartFault(f"{setting} names {name!r}. {fault}") from fault

    def _at_gateway(self, name: str, entry: Model | Retired | None) -> Model | None:
        """Find the model of a custom endpoint whose own name that is, where nobody else can be asked for it."""
        if isinstance(entry, Model) and self._providers[entry.provider].configured:
            return None
        folded = name.casefold()
        found = [
            model
            for model in self._served.values()
            if model.name != model.wire_name and model.wire_name.casefold() == folded
        ]
        return found[0] if len(found) == 1 else None

    def _unknown(self, requested: str) -> str:
        shown = requested if len(requested) <= 80 else f"{requested[:80]}..."
        return f"There is no model {shown!r}. {self._nearest(requested)}"

    def _retired(self, entry: Retired, successor: Model) -> str:
        gone = f"{entry.name} was retired by its provider on {entry.since}."
        if successor.name in self._served:
            return f"{gone} Use {successor.name} instead."
        return (
            f"{gone} Its successor {successor.name} is switched off here: "
            f"providers.{successor.provider}.allowed_models does not list it. {self._nearest(entry.name)}"
        )

    def _nearest(self, requested: str) -> str:
        """Name the models with similar names that can be asked; a retired name leads to its successor."""
        answering = {
            name: model for name, model in self._served.items() if self._providers[model.provider].configured
        } or self._served
        known: dict[str, str] = {}
        for name, model in answering.items():
            known |= dict.fromkeys((name, model.wire_name, *model.aliases), name)
        for entry in self._catalog.retired.values():
            if entry.successor in answering:
                known[entry.name] = entry.successor
        near = nearest_names(requested, known, 6)
        if "/" in requested:
            near = nearest_names(requested.rpartition("/")[2], known, 6) + near
        names = list(dict.fromkeys(known[name] for name in near))[:3]
        return (
            f"Nearest: {', '.join(names)}." if names else "Call `status` with section models for the names."
        )


_AUTO_WORDS = {
    "order": "the first of models.preferred that can be asked and does what the call needs",
    "price": "the cheapest of models.preferred that can be asked and does what the call needs",
    "window": "the one of models.preferred with the largest window that can be asked and does what the call needs",
}


def _price_rank(model: Model) -> float:
    """Rank by price, cheapest first; a prompt is several times as long as its answer. An unknown price comes last."""
    return float("inf") if model.price is None else 4 * model.price.input + model.price.output


def _allowed(catalog: Catalog, provider: str, allowed: Iterable[str]) -> dict[str, Model]:
    """Return the catalogue's models of `provider`, or those of them that `allowed` lists.

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
