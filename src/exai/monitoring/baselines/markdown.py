"""Writes a report as Markdown, for a terminal and for a pull request."""

from collections.abc import Iterator, Sequence

from exai.monitoring.baselines.comparison import Change
from exai.monitoring.baselines.report import SHARES, BaselineReport, Spread
from exai.monitoring.statistics.quantiles import Quantile

__all__ = ["as_markdown", "changes_as_markdown", "interval_text", "milliseconds", "table"]

NEVER = "never"
EMULATED = "emulated"
"""Instead of a speed: the emulator writes as fast as the machine."""
MOMENT = "%Y-%m-%d %H:%M:%S UTC"


def as_markdown(report: BaselineReport) -> str:
    """Write all of a report but its plots."""
    row = report.baseline
    lines = [
        f"# Baseline {row.name}",
        "",
        f"{row.began_at:{MOMENT}} to {report.until:{MOMENT}}: {row.state}. {_count(report.calls, 'call')} ended"
        + (f", {report.open} still run" if report.open else "")
        + (f"; only {row.filter}" if row.filter else "")
        + f". EXAI ran for {report.coverage.share:.2%} of the time, in {_count(report.coverage.runs, 'run')}.",
        *(["", row.note] if row.note else []),
        "",
        *(f"- {sentence}" for sentence in report.remarks),
        *(
            f"- No EXAI ran from {gap.began:{MOMENT}} to {gap.ended:{MOMENT}}."
            for gap in report.coverage.gaps
        ),
        "",
        *_times(report),
        *_failures(report),
        *_stages(report),
        *_bottlenecks(report),
    ]
    return "\n".join(lines).rstrip() + "\n"


def changes_as_markdown(before: str, after: str, changes: Sequence[Change]) -> str:
    """Write how one baseline differs from another."""
    rows = [("of", "percentile", before, after, "change", "p", "verdict")]
    for each in changes:
        change = "–"
        if each.ratio is not None and each.low is not None and each.high is not None:
            change = f"{each.ratio - 1:+.1%} ({each.low - 1:+.1%} to {each.high - 1:+.1%})"
        p = "–" if each.p is None else f"{each.p:.3f}"
        times = (milliseconds(each.before_ms), milliseconds(each.after_ms))
        rows.append((f"{each.kind} {each.name}", f"p{each.share * 100:g}", *times, change, p, each.verdict))
    return "\n".join(table(rows)) + "\n"


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Write rows, the first of which is the head, as a table."""
    head, *rest = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return [head, "|" + "---|" * len(rows[0]), *rest]


def milliseconds(value: float | None) -> str:
    """Write a time."""
    if value is None:
        return NEVER
    return f"{value / 1_000:,.2f} s" if value >= 1_000 else f"{value:.1f} ms"


def interval_text(quantile: Quantile) -> str:
    """Write a quantile with its interval; an end that is open shows as `≥`."""
    value = milliseconds(quantile.value)
    if quantile.value is None:
        return value
    if quantile.high is None:
        return f"≥ {value}"
    low = "0" if quantile.low is None else milliseconds(quantile.low)
    return f"{value} ({low} to {milliseconds(quantile.high)})"


def _times(report: BaselineReport) -> Iterator[str]:
    yield "## Times of calls that ended well"
    yield ""
    names = [f"p{share * 100:g}" for share in SHARES]
    rows: list[Sequence[str]] = [("of", "calls", *names, "longest", "tokens/s", "useful answer p95", "USD")]
    for each in report.subjects:
        cells = [interval_text(q) for q in each.latency.quantiles] if each.latency else ["–"] * len(SHARES)
        longest = milliseconds(each.latency.longest) if each.latency else "–"
        useful = interval_text(each.useful.quantiles[2]) if each.useful else "–"
        speed = EMULATED if each.emulated else _plain(each.tokens_per_s)
        cost = f"{each.cost_usd:.4f}" + (" and more" if each.without_price else "")
        rows.append((f"{each.kind} {each.name}", str(each.calls), *cells, longest, speed, useful, cost))
    yield from table(rows)
    yield ""
    yield "In brackets: what holds the true percentile in 95 of 100 cases. `≥`: too few calls to say how long."
    yield "A useful answer counts failures as answers that never came."
    yield ""


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _plain(spread: Spread | None) -> str:
    return "–" if spread is None or spread.quantiles[0].value is None else f"{spread.quantiles[0].value:.1f}"


def _failures(report: BaselineReport) -> Iterator[str]:
    yield "## Failures"
    yield ""
    rows = [("of", "calls", "failed", "share", "by code")]
    for each in report.subjects:
        share = each.failed
        codes = ", ".join(f"{name} {count}" for name, count in each.failures.items()) or "–"
        text = f"{share.share:.2%} ({share.low:.2%} to {share.high:.2%})"
        rows.append((f"{each.kind} {each.name}", str(share.of), str(share.hits), text, codes))
    yield from table(rows)
    yield ""


def _stages(report: BaselineReport) -> Iterator[str]:
    yield "## Stages"
    yield ""
    rows = [("of", "stage", "mean", "p50", "p95", "longest")]
    for each in report.subjects:
        for stage, spread in each.stages.items():
            rows.append(
                (
                    f"{each.kind} {each.name}",
                    stage.removesuffix("_ms"),
                    milliseconds(spread.mean),
                    interval_text(spread.quantiles[0]),
                    interval_text(spread.quantiles[2]),
                    milliseconds(spread.longest),
                )
            )
    yield from table(rows)
    yield ""


def _bottlenecks(report: BaselineReport) -> Iterator[str]:
    yield "## What makes slow calls slow"
    yield ""
    if not report.bottlenecks:
        yield "No model has the 72 calls that ended well which this needs."
    for each in report.bottlenecks:
        found = each.found
        first = found.stages[0]
        yield (
            f"{each.model}, {found.calls} calls: usual ones take {milliseconds(found.body_ms)}, slow ones "
            f"{milliseconds(found.tail_ms)}. {first.stage.removesuffix('_ms')} explains {first.share:.0%} of it "
            f"({first.low:.0%} to {first.high:.0%}); without it p95 were {milliseconds(first.p95_without_ms)} "
            f"instead of {milliseconds(found.p95_ms)}."
        )
        yield ""
        yield f"**{each.advice}**"
        yield ""
        rows = [("stage", "longer by", "share", "p95 without")]
        for stage in found.stages:
            if stage.share > 0:
                share = f"{stage.share:.0%} ({stage.low:.0%} to {stage.high:.0%})"
                times = (milliseconds(stage.excess_ms), share, milliseconds(stage.p95_without_ms))
                rows.append((stage.stage.removesuffix("_ms"), *times))
        yield from table(rows)
        yield ""
