"""What a baseline showed, as it is kept: JSON that pages, files and comparisons are made of."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from exai.monitoring.baselines.attribution import Attribution
from exai.monitoring.baselines.coverage import Coverage
from exai.monitoring.statistics.quantiles import Quantile
from exai.monitoring.statistics.shares import Share
from exai.storage.baselines.runs import BaselineRow, BaselineState

__all__ = [
    "LEAST_CALLS",
    "LEAST_COVERAGE",
    "LEAST_WITHOUT_P99",
    "SHARES",
    "BaselineReport",
    "Bottleneck",
    "Hour",
    "Spread",
    "Subject",
    "remarks_on",
]

SHARES = (0.5, 0.9, 0.95, 0.99)
LEAST_COVERAGE = 0.95
LEAST_CALLS = 368
LEAST_WITHOUT_P99 = 72


class Spread(msgspec.Struct, frozen=True):
    """How long something took."""

    mean: float | None
    quantiles: tuple[Quantile, ...]
    """In the order of `SHARES`."""
    longest: float | None
    """`None`: some never ended well."""


class Subject(msgspec.Struct, frozen=True):
    """The calls of a provider, a model or a tool."""

    kind: str
    """`provider`, `model` or `tool`."""
    name: str
    calls: int
    failed: Share
    failures: dict[str, int]
    """By error code, or outcome where there is none."""
    latency: Spread | None
    """Of the calls that ended well; `None`: none did."""
    useful: Spread | None
    """Of all of them, a failure being an answer that never came."""
    stages: dict[str, Spread]
    tokens_per_s: Spread | None
    cost_usd: float
    without_price: int
    emulated: int = 0
    """Of the calls."""


class Bottleneck(msgspec.Struct, frozen=True):
    """What makes slow calls of a model slow, and what to do."""

    model: str
    found: Attribution
    advice: str


class Hour(msgspec.Struct, frozen=True):
    """One hour, or an equal share, of the period."""

    began: datetime
    calls: int
    failed: int
    p50_ms: float | None
    p95_ms: float | None


class BaselineReport(msgspec.Struct, frozen=True):
    """All of it."""

    baseline: BaselineRow
    until: datetime
    """The end of what it is about: the plan's, or when it was ended or looked at."""
    coverage: Coverage
    calls: int
    open: int
    """Which had no end yet, and are in no number."""
    emulated: int
    """Of the calls: answered by the emulator of a demonstration."""
    remarks: tuple[str, ...]
    """What it may be used for, a sentence per provider, and what is to be known of it."""
    subjects: tuple[Subject, ...]
    bottlenecks: tuple[Bottleneck, ...]
    hours: tuple[Hour, ...]

    @property
    def state(self) -> BaselineState:
        """What becomes of a baseline whose time is over."""
        enough = any(each.kind == "provider" and each.calls >= LEAST_WITHOUT_P99 for each in self.subjects)
        return "complete" if enough and self.coverage.share >= LEAST_COVERAGE else "insufficient"


def remarks_on(
    row: BaselineRow, coverage: Coverage, subjects: Sequence[Subject], calls: int, emulated: int
) -> list[str]:
    """Say what a baseline may be used for."""
    said = [_of_provider(each, coverage) for each in subjects if each.kind == "provider" and each.name]
    if not said:
        said.append(
            "Nothing was asked of a provider, so this is a baseline of none: let it run for longer, or send something "
            "with `exai baseline load`."
        )
    if row.speed > 1:
        said.append(
            f"Compressed: its clock ran {row.speed:g} times as fast; it shows that all works, and not how fast."
        )
    if emulated:
        said.append(
            f"Emulated: the built-in emulator answered {emulated} of {calls} calls; these measure no provider."
        )
    if len(coverage.releases) > 1:
        said.append(f"The release changed meanwhile: {', '.join(coverage.releases)}.")
    if len(coverage.settings_digests) > 1:
        said.append("The settings changed meanwhile.")
    return said


def _of_provider(subject: Subject, coverage: Coverage) -> str:
    name = subject.name
    if coverage.share < LEAST_COVERAGE:
        return (
            f"{name}: no baseline, since EXAI ran for {coverage.share:.1%} of the time, and {LEAST_COVERAGE:.0%} "
            "are needed."
        )
    if subject.calls < LEAST_WITHOUT_P99:
        missing = LEAST_WITHOUT_P99 - subject.calls
        return (
            f"{name}: no baseline yet; {subject.calls} calls ended, {missing} more are needed, "
            f"{LEAST_CALLS} in all for p99."
        )
    if subject.calls < LEAST_CALLS:
        return f"{name}: a baseline up to p95, of {subject.calls} calls; p99 needs {LEAST_CALLS - subject.calls} more."
    return f"{name}: a baseline, of {subject.calls} calls."
