"""What requests to providers used and cost: values that add up, and never take an unknown price for zero."""

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["Bill", "Cost", "Usage"]


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as the provider reports them; `None` where it does not say."""

    input: int | None = None
    """All tokens of the prompt, the cached and the newly cached ones included."""
    cached: int | None = None
    """Of the prompt, read from the provider's cache."""
    output: int | None = None
    """All generated tokens, the reasoning ones included."""
    reasoning: int | None = None
    cache_write: int | None = None
    """Of the prompt, newly put into the provider's cache."""

    def __add__(self, other: "Usage") -> "Usage":
        """Both together: what was reported adds up, and `None` stays only where nobody said."""
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


@dataclass(frozen=True, slots=True)
class Cost:
    """List price in US dollars of one request or of several."""

    items: Mapping[str, float] = field(default_factory=dict)
    """Dollars by what they are for: `input`, `cached_input`, `cache_write`, `output`, `search`, `file`.

    What is free is 0; what did not occur is missing.
    """
    unknown: tuple[str, ...] = ()
    """Why parts of it have no price, a sentence each. While there is one, there is no total."""

    @property
    def usd(self) -> float | None:
        """The total; `None` where a part is unknown, or nothing was charged for at all."""
        return None if self.unknown or not self.items else self.known_usd

    @property
    def known_usd(self) -> float:
        """What the known parts add up to: the least that it cost."""
        # Nine digits are a thousandth of the price of a token; beyond is noise of the addition.
        return round(sum(self.items.values()), 9)

    @property
    def free(self) -> bool:
        """Whether all of it is known to cost nothing."""
        return self.usd == 0

    def __add__(self, other: "Cost") -> "Cost":
        """Both together."""
        if not (other.items or other.unknown):
            return self
        if not (self.items or self.unknown):
            return other
        items = dict(self.items)
        for name, usd in other.items.items():
            items[name] = items.get(name, 0.0) + usd
        return Cost(items, tuple(dict.fromkeys((*self.unknown, *other.unknown))))


class Bill:
    """What one tool call has used and cost so far; every request that it makes is added."""

    __slots__ = ("cost", "usage")

    def __init__(self) -> None:
        self.usage: Usage | None = None
        """`None` while no provider has reported any."""
        self.cost = Cost()

    def add(self, cost: Cost, usage: Usage | None = None) -> None:
        """Add one request, or a fee that is no request of its own."""
        self.cost += cost
        if usage is not None:
            self.usage = usage if self.usage is None else self.usage + usage
