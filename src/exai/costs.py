"""Usage and cost of requests to providers: values that can be added, in which an unknown price is never zero."""

from collections.abc import Mapping

import msgspec

__all__ = ["Bill", "Cost", "Usage"]


class Usage(msgspec.Struct, frozen=True):
    """Tokens as the provider reports them; `None` for what it does not report."""

    input: int | None = None
    """All tokens of the prompt, cached and newly cached ones included."""
    cached: int | None = None
    """Tokens of the prompt that were read from the provider's cache."""
    output: int | None = None
    """All generated tokens, reasoning included."""
    reasoning: int | None = None
    cache_write: int | None = None
    """Tokens of the prompt that were written to the provider's cache."""

    def __add__(self, other: "Usage") -> "Usage":
        """Add both; a value is `None` only when neither reports it."""
        return Usage(
            _sum(self.input, other.input),
            _sum(self.cached, other.cached),
            _sum(self.output, other.output),
            _sum(self.reasoning, other.reasoning),
            _sum(self.cache_write, other.cache_write),
        )


def _sum(one: int | None, other: int | None) -> int | None:
    if one is None or other is None:
        return other if one is None else one
    return one + other


class Cost(msgspec.Struct, frozen=True):
    """List price in US dollars of one request or of several."""

    items: Mapping[str, float] = msgspec.field(default_factory=dict)
    """Dollars by kind: `input`, `cached_input`, `cache_write`, `output`, `search`, `file`.

    A kind that is free is 0; one that did not occur is missing.
    """
    unknown: tuple[str, ...] = ()
    """Why parts have no price, a sentence each. While there is one, there is no total."""

    @property
    def usd(self) -> float | None:
        """The total; `None` when a part is unknown, or nothing was charged."""
        return None if self.unknown or not self.items else self.known_usd

    @property
    def known_usd(self) -> float:
        """The sum of the known parts: the least that it cost."""
        # Nine digits are a thousandth of the price of a token; the rest is rounding error.
        return round(sum(self.items.values()), 9)

    @property
    def least_usd(self) -> float | None:
        """The sum of the known parts, as sums of many requests have it; `None` where no part is known."""
        return self.known_usd if self.items else None

    @property
    def free(self) -> bool:
        """Whether every part is known to cost nothing."""
        return self.usd == 0

    def __add__(self, other: "Cost") -> "Cost":
        """Add both."""
        if not (other.items or other.unknown):
            return self
        if not (self.items or self.unknown):
            return other
        items = dict(self.items)
        for name, usd in other.items.items():
            items[name] = items.get(name, 0.0) + usd
        return Cost(items, tuple(dict.fromkeys((*self.unknown, *other.unknown))))


_NOTHING = Cost()


class Bill(msgspec.Struct):
    """Usage and cost of one request, or of several, so far."""

    usage: Usage | None = None
    """`None` until a provider reports usage."""
    cost: Cost = _NOTHING
    services: dict[str, int] = msgspec.field(default_factory=dict)
    """How often a service with a fee of its own was used, by its name in the catalogue."""
    unreported: int = 0
    """How often a provider may have charged for what was sent, and did not tell the usage."""

    def add(self, cost: Cost, usage: Usage | None = None) -> None:
        """Add one request, or a fee without a request."""
        self.cost = cost if self.cost is _NOTHING else self.cost + cost
        if usage is not None:
            self.usage = usage if self.usage is None else self.usage + usage
