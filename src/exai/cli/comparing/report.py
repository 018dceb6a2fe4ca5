"""Writes a comparison as Markdown, HTML and JSON."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from exai.cli.comparing.plan import Plan
from exai.cli.comparing.verdicts import SPEED, Comparison, Measure
from exai.errors import StartFault
from exai.monitoring.baselines.markdown import table
from exai.monitoring.baselines.page import captioned, page_of
from exai.monitoring.baselines.plots import Bar, whiskers
from exai.monitoring.statistics.shares import Share

__all__ = ["ComparisonReport", "comparison_as_markdown", "write_comparison"]


class ComparisonReport(msgspec.Struct, frozen=True):
    """All that was found."""

    began: str
    plan: Plan
    planned_blocks: int
    emulated: int
    """Of the calls: answered by the emulator of a demonstration."""
    calls: int
    late: int
    spent_usd: float
    comparisons: tuple[Comparison, ...]

    @property
    def is_void(self) -> bool:
        """Whether nothing of it counts."""
        return any(each.void for each in self.comparisons)

    def shown(self, found: Comparison) -> Sequence[Measure]:
        """The measures that say something: the emulator writes as fast as the machine."""
        return [each for each in found.measures if not (self.emulated and each.name == SPEED)]


def comparison_as_markdown(report: ComparisonReport) -> str:
    """Write all of it but the plot."""
    plan = report.plan
    lines = [
        f"# {' and '.join(plan.models)}",
        "",
        f"{report.began}: {report.calls} calls in {report.comparisons[0].blocks} of {report.planned_blocks} planned "
        f"blocks, seed {plan.seed}, up to {plan.answers.max_tokens} tokens an answer, {report.spent_usd:.4f} USD by "
        f"list price; {report.late} calls were sent late.",
        "",
    ]
    if report.emulated:
        lines.append(
            f"- Emulated: the built-in emulator answered {report.emulated} of {report.calls} calls, so this compares "
            "no models, and nothing was charged."
        )
        lines.append("")
    for each in report.comparisons:
        lines.extend(_comparison(each, report.shown(each)))
    return "\n".join(lines).rstrip() + "\n"


def write_comparison(report: ComparisonReport, folder: Path) -> list[Path]:
    """Write it into a folder; return where.

    Raises:
        StartFault: the folder cannot be written.
    """
    text = comparison_as_markdown(report)
    plots = [
        captioned(f"{each.b} in proportion to {each.a}; 1 is no difference", _plot(each, report.shown(each)))
        for each in report.comparisons
        if not each.void
    ]
    texts = {
        "report.html": page_of(" and ".join(report.plan.models), text, plots),
        "report.json": msgspec.json.format(msgspec.json.encode(report)).decode() + "\n",
        "report.md": text,
    }
    try:
        for name, each in texts.items():
            (folder / name).write_text(each, encoding="utf-8")
    except OSError as error:
        raise StartFault(f"{folder} cannot be written: {error.strerror or error}.") from None
    return [folder / name for name in texts]


def _comparison(found: Comparison, measures: Sequence[Measure]) -> Iterator[str]:
    yield f"## {found.a} (A) and {found.b} (B), {found.blocks} blocks"
    yield ""
    for reason in found.void:
        yield f"- **Void:** {reason}"
    for reason in found.void_for_speed:
        yield f"- **Void for speed:** {reason}"
    yield from _failures(found)
    if found.void:
        yield ""
        return
    yield f"Answered: A {_share(found.success_a)}, B {_share(found.success_b)}, p {found.success_p:.3f}."
    yield f"From caches of providers: {found.cached_a:.0%} of what A read, {found.cached_b:.0%} of what B read."
    yield ""
    if found.void_for_speed:
        return
    rows = [("measure", "A", "B", "B to A", "p", "verdict")]
    for each in measures:
        p = "–" if each.p is None else f"{each.p:.3f}"
        rows.append(
            (
                f"{each.name}, {each.unit}",
                _value(each.a),
                _value(each.b),
                _interval(each),
                p,
                _verdict(each, found),
            )
        )
    yield from table(rows)
    yield ""
    yield (
        "A and B: medians. B to A: of a typical block, with what holds the true ratio in 95 of 100 cases. p: adjusted "
        "for all measures together. Failures count as answers that never came."
    )
    yield ""


def _failures(found: Comparison) -> Iterator[str]:
    codes = sorted({*found.failures_a, *found.failures_b})
    if not codes:
        return
    if found.void or found.void_for_speed:
        yield ""
    rows = [("failed with", "A", "B")]
    rows += [(code, str(found.failures_a.get(code, 0)), str(found.failures_b.get(code, 0))) for code in codes]
    yield from table(rows)
    yield ""


def _verdict(each: Measure, found: Comparison) -> str:
    if each.verdict == "not enough":
        return f"not enough: {each.blocks} blocks"
    least = (
        ""
        if each.least_visible is None
        else f"; {each.blocks} blocks could have shown {each.least_visible - 1:.1%}"
    )
    if each.verdict == "no difference shown":
        return f"no difference shown{least}"
    side = found.a if each.verdict == "A" else found.b
    if each.is_better == "more":
        side = found.b if each.verdict == "A" else found.a
        return f"{side} has more"
    word = {"s": "is faster", "ms": "takes less", "USD": "is cheaper"}.get(each.unit, "has less")
    return f"{side} {word}"


def _interval(each: Measure) -> str:
    if each.ratio is None or each.low is None or each.high is None:
        return "–"
    return f"{each.ratio - 1:+.1%} ({each.low - 1:+.1%} to {each.high - 1:+.1%})"


def _share(share: Share) -> str:
    return f"{share.share:.1%} ({share.low:.1%} to {share.high:.1%})"


def _value(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


def _plot(found: Comparison, measures: Sequence[Measure]) -> str:
    rows: Sequence[Bar] = [
        Bar(
            each.name,
            each.ratio,
            each.low,
            each.high,
            _interval(each).partition(" ")[0],
            (("ratio", each.ratio),),
        )
        for each in measures
        if each.ratio is not None and each.low is not None
    ]
    return whiskers(
        f"Ratios of {found.b} to {found.a}", [Bar("no difference", 1, None, None, "", (("1", 1.0),)), *rows]
    )
