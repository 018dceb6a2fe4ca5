"""The models that EXAI knows, read from `catalog.toml`: windows, abilities, dialects, prices.

Facts about models live in the data file, so that a new model or price is a row
and not a change of code.
"""

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from importlib import resources
from types import MappingProxyType
from typing import Any, Literal

import msgspec

from exai.costs import Cost, Usage
from exai.messages import Effort, PictureLimits

__all__ = ["Catalog", "Fee", "Model", "Price", "Retired", "SearchWay", "nearest_names"]

_EFFORT_ORDER = tuple(Effort)


class SearchWay(StrEnum):
    """How a model searches the web."""

    PROVIDER = "provider"
    """Its provider does, and says what it found."""
    BUILTIN = "builtin"
    """It calls a tool of its provider, which does not say what it found."""
    TOOL = "tool"
    """It calls a tool that EXAI runs at its provider's search."""


Dialect = Mapping[Effort, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Price:
    """List price in US dollars per million tokens."""

    input: float
    cached_input: float | None
    """Price of prompt tokens that the provider had cached; `None`: no reduced price is known."""
    output: float
    checked: str
    """The day on which somebody last compared this with a source, as `YYYY-MM-DD`; `configured` for a price
    that the operator gave."""
    cache_write: float | None = None
    """Price of prompt tokens that the provider puts into its cache; `None`: no price of their own is known."""

    @property
    def free(self) -> bool:
        """Whether tokens cost nothing here."""
        return not (self.input or self.output)

    def cost(self, usage: Usage) -> Cost:
        """What `usage` costs."""
        if usage.input is None or usage.output is None:
            return Cost(unknown=("The provider did not report the tokens of a request.",))
        prompt = usage.input
        cached = min(usage.cached or 0, prompt)
        written = 0 if self.cache_write is None else min(usage.cache_write or 0, prompt - cached)
        items = {
            "input": (prompt - cached - written) * self.input / 1e6,
            "output": usage.output * self.output / 1e6,
        }
        if cached:
            items["cached_input"] = (
                cached * (self.input if self.cached_input is None else self.cached_input) / 1e6
            )
        if written and self.cache_write is not None:
            items["cache_write"] = written * self.cache_write / 1e6
        return Cost(items)


@dataclass(frozen=True, slots=True)
class Fee:
    """What a service of a provider beside its tokens costs, such as a web search."""

    provider: str
    service: str
    """Its short name in the catalogue."""
    name: str
    """In words, with its article."""
    item: str
    """Where it stands in a `Cost`: `search` or `file`."""
    usd: float | None
    """US dollars for each; `None` where no dollar price is published."""
    checked: str
    """As in `Price`."""

    def cost(self, count: int = 1) -> Cost:
        """What `count` of them cost."""
        if self.usd is None:
            return Cost(unknown=(f"No dollar price of {self.name} is published.",))
        return Cost({self.item: count * self.usd})


@dataclass(frozen=True, slots=True)
class Model:
    """What the house knows about one model."""

    name: str
    """Canonical; what answers and journals show. Models of a custom endpoint are `endpoint/model`."""
    provider: str
    """The one provider that may be asked for it."""
    wire_name: str
    """As the provider spells it."""
    context_tokens: int
    """Window: prompt and answer together."""
    max_output_tokens: int
    """Largest cap of an answer that the provider takes; thinking counts."""
    images: bool = False
    pictures: PictureLimits = field(default_factory=PictureLimits)
    """What it takes of pictures, if it takes any."""
    web_search: SearchWay | None = None
    """How it searches the web when asked to; `None`: it cannot."""
    builtin_search: bool = False
    """Whether it could as well search by `SearchWay.BUILTIN`."""
    price: Price | None = None
    """`None` where no dollar price is published."""
    aliases: tuple[str, ...] = ()
    thinking: Dialect = field(default_factory=dict, hash=False)
    """For each effort that the model tells apart, the request fields that ask for it."""
    default_effort: Effort | None = None
    """What the model does when no effort is sent, where that is documented."""
    temperature: tuple[float, float] | None = None
    """Range that the provider takes; `None`: sampling is fixed and any other value is an error there."""
    keeps_reasoning: bool = False
    """Whether earlier answers must go back with their reasoning."""
    template_tokens: int = 0
    """What the provider adds to every prompt and counts with it."""

    @property
    def efforts(self) -> tuple[Effort, ...]:
        """The efforts that the model tells apart, least first; empty for a model that does not think."""
        return tuple(self.thinking)

    def cost(self, usage: Usage) -> Cost:
        """What a request that used this much costs."""
        if self.price is None:
            return Cost(unknown=(f"No dollar price of {self.name} is known.",))
        return self.price.cost(usage)

    @property
    def always_thinks(self) -> bool:
        """Whether its thinking cannot be switched off."""
        return bool(self.thinking) and Effort.NONE not in self.thinking

    def effort_used(self, asked: Effort | None) -> Effort | None:
        """The effort at which it answers when `asked` is sent, or none is; `None` where that is not known."""
        return self.default_effort if asked is None else self.nearest_effort(asked)

    def nearest_effort(self, asked: Effort) -> Effort | None:
        """The model's least effort not below `asked`, else its greatest; `None`: it does not think."""
        if asked in self.thinking:
            return asked
        efforts = self.efforts
        if not efforts:
            return None
        wanted = _EFFORT_ORDER.index(asked)
        return next((effort for effort in efforts if _EFFORT_ORDER.index(effort) >= wanted), efforts[-1])


@dataclass(frozen=True, slots=True)
class Retired:
    """A name that its provider no longer serves."""

    name: str
    since: str
    """The day of its end, as `YYYY-MM-DD`."""
    successor: str
    """The model to use now."""
    resolves: bool
    """Whether a call that names it goes to the successor; else it is refused, naming the successor."""


class Catalog:
    """Models by name; names and aliases are compared without regard to case."""

    def __init__(
        self, models: Iterable[Model], retired: Iterable[Retired] = (), fees: Iterable[Fee] = ()
    ) -> None:
        """Raise `ValueError` when a name stands for two things or a successor does not exist."""
        self.models: Mapping[str, Model] = MappingProxyType({model.name: model for model in models})
        """By canonical name, in the file's order."""
        self.retired: Mapping[str, Retired] = MappingProxyType({entry.name: entry for entry in retired})
        """By name."""
        self.fees: Mapping[tuple[str, str], Fee] = MappingProxyType(
            {(fee.provider, fee.service): fee for fee in fees}
        )
        """By provider and service."""
        self._by_folded_name: dict[str, Model | Retired] = {}
        for model in self.models.values():
            for name in (model.name, *model.aliases):
                self._enter(name, model)
        for entry in self.retired.values():
            if entry.successor not in self.models:
                raise ValueError(f"{entry.name}: its successor {entry.successor} is not in the catalogue")
            self._enter(entry.name, entry)

    def _enter(self, name: str, entry: Model | Retired) -> None:
        if self._by_folded_name.setdefault(name.casefold(), entry) is not entry:
            raise ValueError(f"{name} stands for two entries of the catalogue")

    @classmethod
    def load(cls) -> "Catalog":
        """The catalogue that comes with the package."""
        text = resources.files("exai.providers").joinpath("catalog.toml").read_text(encoding="utf-8")
        rows = msgspec.convert(tomllib.loads(text), _File)
        dialects: dict[str, Dialect] = {
            name: MappingProxyType({Effort(effort): fields for effort, fields in by_effort.items()})
            for name, by_effort in rows.thinking.items()
        }
        return cls(
            (row.model(name, rows, dialects) for name, row in rows.models.items()),
            (
                Retired(name, group.since, group.successor, group.resolves)
                for group in rows.retired
                for name in group.names
            ),
            (
                Fee(provider, service, row.name, row.item, row.usd, row.checked)
                for provider, services in rows.fees.items()
                for service, row in services.items()
            ),
        )

    @property
    def names(self) -> tuple[str, ...]:
        """Canonical names, in the file's order."""
        return tuple(self.models)

    def find(self, name: str) -> Model | Retired | None:
        """The entry that `name`, an alias or a retired name stands for."""
        return self._by_folded_name.get(name.strip().casefold())


def nearest_names(name: str, known: Iterable[str]) -> list[str]:
    """Up to three of `known` that look most like `name`, best first."""
    folded = {candidate.casefold(): candidate for candidate in known}
    return [
        folded[match] for match in difflib.get_close_matches(name[:200].casefold(), folded, n=3, cutoff=0.5)
    ]


class _PriceRow(msgspec.Struct, forbid_unknown_fields=True):
    input: float
    output: float
    checked: str
    cached_input: float | None = None
    cache_write: float | None = None


class _FeeRow(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    item: Literal["search", "file"]
    checked: str
    usd: float | None = None


class _ModelRow(msgspec.Struct, forbid_unknown_fields=True):
    provider: str
    context_tokens: int
    max_output_tokens: int
    thinking: str | None = None
    default_effort: Effort | None = None
    images: str | None = None
    web_search: SearchWay | None = None
    builtin_search: bool = False
    temperature: tuple[float, float] | None = None
    keeps_reasoning: bool = False
    price: _PriceRow | None = None
    aliases: tuple[str, ...] = ()

    def model(self, name: str, file: "_File", dialects: Mapping[str, Dialect]) -> Model:
        price = self.price
        return Model(
            name=name,
            provider=self.provider,
            wire_name=name,
            context_tokens=self.context_tokens,
            max_output_tokens=self.max_output_tokens,
            images=self.images is not None,
            pictures=PictureLimits() if self.images is None else file.pictures[self.images],
            web_search=self.web_search,
            builtin_search=self.builtin_search,
            price=None
            if price is None
            else Price(price.input, price.cached_input, price.output, price.checked, price.cache_write),
            aliases=self.aliases,
            thinking={} if self.thinking is None else dialects[self.thinking],
            default_effort=self.default_effort,
            temperature=self.temperature,
            keeps_reasoning=self.keeps_reasoning,
            template_tokens=file.template_tokens[self.provider],
        )


class _RetiredRow(msgspec.Struct, forbid_unknown_fields=True):
    names: tuple[str, ...]
    since: str
    successor: str
    resolves: bool


class _File(msgspec.Struct, forbid_unknown_fields=True):
    thinking: dict[str, dict[str, dict[str, Any]]]
    pictures: dict[str, PictureLimits]
    models: dict[str, _ModelRow]
    retired: tuple[_RetiredRow, ...]
    fees: dict[str, dict[str, _FeeRow]]
    template_tokens: dict[str, int]
