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
from exai.providers.file_limits import FileDialect, FilePart

__all__ = ["Catalog", "Fee", "Model", "Price", "Retired", "SearchWay", "did_you_mean", "nearest_names"]

GATEWAY = "openrouter/"
"""What LiteLLM puts before the names of a gateway."""

_EFFORT_ORDER = tuple(Effort)


class SearchWay(StrEnum):
    """How a model searches the web."""

    PROVIDER = "provider"
    """Its provider searches, and reports the sources."""
    BUILTIN = "builtin"
    """It calls a tool of its provider, which does not report the sources."""
    TOOL = "tool"
    """It calls a tool that EXAI runs with its provider's search."""


Dialect = Mapping[Effort, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Price:
    """List price in US dollars per million tokens."""

    input: float
    cached_input: float | None
    """The price of cached prompt tokens; `None`: no reduced price is known."""
    output: float
    checked: str
    """The day of the last comparison with a source, as `YYYY-MM-DD`; `configured` for the operator's own price."""
    cache_write: float | None = None
    """The price of prompt tokens that are written to the cache; `None`: the ordinary price."""

    @property
    def free(self) -> bool:
        """Whether tokens are free."""
        return not (self.input or self.output)

    def cost(self, usage: Usage) -> Cost:
        """Calculate the cost of `usage`."""
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
    """The price of a provider's service beside tokens, such as a web search."""

    provider: str
    service: str
    """Its short name in the catalogue."""
    name: str
    """Its name for people, with its article."""
    item: str
    """Its kind in a `Cost`: `search` or `file`."""
    usd: float | None
    """US dollars for each; `None` when no dollar price is published."""
    checked: str
    """As in `Price`."""

    def cost(self, count: int = 1) -> Cost:
        """Calculate the cost of `count` of them."""
        if self.usd is None:
            return Cost(unknown=(f"No dollar price of {self.name} is published.",))
        return Cost({self.item: count * self.usd})


@dataclass(frozen=True, slots=True)
class Model:
    """The facts about one model."""

    name: str
    """The canonical name, which answers and the journal have. Models of a custom endpoint are `endpoint/model`."""
    provider: str
    """The provider that serves it."""
    wire_name: str
    """The provider's name of it."""
    context_tokens: int
    """The context window: prompt and answer together."""
    max_output_tokens: int
    """The longest answer that the provider accepts as a limit, thinking included."""
    images: bool = False
    pictures: PictureLimits = field(default_factory=PictureLimits)
    """Which pictures it accepts, if any."""
    parts: tuple[FilePart, ...] = ()
    """How it is shown files as they are, such as videos."""
    web_search: SearchWay | None = None
    """How it searches the web; `None`: it cannot."""
    builtin_search: bool = False
    """Whether it can also search by `SearchWay.BUILTIN`."""
    price: Price | None = None
    """`None` when no dollar price is published."""
    aliases: tuple[str, ...] = ()
    thinking: Dialect = field(default_factory=dict, hash=False)
    """The request fields for each effort that the model distinguishes."""
    default_effort: Effort | None = None
    """The effort when none is sent, if that is documented."""
    temperature: tuple[float, float] | None = None
    """The range that the provider accepts; `None`: sampling is fixed, and a value is an error."""
    keeps_reasoning: bool = False
    """Whether earlier answers must be sent back with their reasoning."""
    template_tokens: int = 0
    """The tokens that the provider adds to every prompt."""
    calls_tools: bool = True
    """Whether it is known to call tools."""

    @property
    def efforts(self) -> tuple[Effort, ...]:
        """The efforts that the model distinguishes, lowest first; empty for a model that does not think."""
        return tuple(self.thinking)

    def cost(self, usage: Usage) -> Cost:
        """Calculate the cost of a request with this usage."""
        if self.price is None:
            return Cost(unknown=(f"No dollar price of {self.name} is known.",))
        return self.price.cost(usage)

    @property
    def always_thinks(self) -> bool:
        """Whether its thinking cannot be switched off."""
        return bool(self.thinking) and Effort.NONE not in self.thinking

    def effort_used(self, asked: Effort | None) -> Effort | None:
        """Return the effort at which it answers when `asked` is sent, or nothing; `None` if that is unknown."""
        return self.default_effort if asked is None else self.nearest_effort(asked)

    def part_for(self, kind: str) -> FilePart | None:
        """Return how it is shown a file of a kind as it is; `None`: it is not."""
        return next((part for part in self.parts if kind in part.kinds), None)

    def takes(self, kind: str, size: int) -> bool:
        """Whether it is shown a file of a kind and size as it is."""
        part = self.part_for(kind)
        return part is not None and size <= part.max_bytes

    def nearest_effort(self, asked: Effort) -> Effort | None:
        """Return the model's lowest effort not below `asked`, else its highest; `None`: it does not think."""
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
    """The day on which it ended, as `YYYY-MM-DD`."""
    successor: str
    """The model to use now."""
    resolves: bool
    """Whether a call for it goes to the successor; otherwise it is refused with the successor's name."""


class Catalog:
    """The models by name; names and aliases are case-insensitive."""

    def __init__(
        self,
        models: Iterable[Model],
        retired: Iterable[Retired] = (),
        fees: Iterable[Fee] = (),
        vendors: Mapping[str, Iterable[str]] = MappingProxyType({}),
        files: Mapping[str, FileDialect] = MappingProxyType({}),
    ) -> None:
        """`vendors` are the names of each provider's vendor that gateways put before those of its models.

        `files` is what each provider's file store takes.

        Raise `ValueError` when a name is used twice or a successor does not exist.
        """
        self._provider_by_vendor = {
            vendor: provider for provider, names in vendors.items() for vendor in names
        }
        self.files = files
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
        """Load the catalogue that comes with the package."""
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
            rows.vendors,
            rows.files,
        )

    @property
    def names(self) -> tuple[str, ...]:
        """Canonical names, in the file's order."""
        return tuple(self.models)

    def find(self, name: str) -> Model | Retired | None:
        """Find the entry of a name, an alias or a retired name, also with its vendor before it."""
        folded = name.strip().casefold()
        if (entry := self._by_folded_name.get(folded)) is not None:
            return entry
        prefix, _, bare = folded.removeprefix(GATEWAY).rpartition("/")
        entry = self._by_folded_name.get(bare)
        if entry is None or self._provider_by_vendor.get(prefix) != self._provider_of(entry):
            return None
        return entry

    def _provider_of(self, entry: Model | Retired) -> str:
        return (self.models[entry.successor] if isinstance(entry, Retired) else entry).provider


def nearest_names(name: str, known: Iterable[str], most: int = 3) -> list[str]:
    """Find up to `most` of `known` that are most similar to `name`, best first."""
    folded = {candidate.casefold(): candidate for candidate in known}
    matches = difflib.get_close_matches(name[:200].casefold(), folded, n=most, cutoff=0.5)
    return [folded[match] for match in matches]


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Ask for the one of `known` that is most similar, as a further sentence; empty where none is."""
    nearest = nearest_names(name, known, most=1)
    return f" Did you mean {nearest[0]!r}?" if nearest else ""


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
            parts=() if self.images is None else file.files[self.provider].parts,
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
    files: dict[str, FileDialect]
    models: dict[str, _ModelRow]
    retired: tuple[_RetiredRow, ...]
    fees: dict[str, dict[str, _FeeRow]]
    template_tokens: dict[str, int]
    vendors: dict[str, tuple[str, ...]]
