"""Writes a report as one HTML file with its plots: no script, nothing from elsewhere, light and dark."""

import re
from collections.abc import Iterator, Sequence
from html import escape

from exai.monitoring.baselines.markdown import as_markdown, interval_text, milliseconds
from exai.monitoring.baselines.plots import Bar, bars, columns, whiskers
from exai.monitoring.baselines.report import SHARES, BaselineReport, Bottleneck

__all__ = ["as_page", "captioned", "page_of"]

STYLE = """
:root { color-scheme: light dark; --ink: light-dark(#1c2024, #e6e8eb); --ground: light-dark(#fff, #16181b);
  --pale: light-dark(#eef1f4, #262a2f); --strong: light-dark(#1f5fa8, #79b1ec); --mark: light-dark(#9a3b12, #f0a37a); }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--ground); max-width: 84rem;
  margin: 2rem auto; padding: 0 1rem; }
p, ul, figure { max-width: 60rem; } ul { margin: .2rem 0; }
h1, h2 { line-height: 1.2; } h2 { margin-top: 2.2rem; }
div.table { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .25rem .6rem; border-bottom: 1px solid var(--pale); white-space: nowrap; }
svg { width: 100%; height: auto; font: 12px system-ui, sans-serif; } svg text { fill: var(--ink); }
.bar { fill: var(--strong); opacity: .55; } .gap { fill: url(#gap); }
.hatch { stroke: var(--mark); fill: none; opacity: .6; } .mark { fill: var(--strong); }
.line { stroke: var(--strong); stroke-width: 1; opacity: .6; } .interval { stroke: var(--mark); stroke-width: 3; }
.axis { stroke: var(--ink); opacity: .4; } figure { margin: 1rem 0; } figcaption { opacity: .8; }
"""


def as_page(report: BaselineReport) -> str:
    """Write all of a report, plots included."""
    plots = [
        captioned(
            "Latency of calls that ended well: p50, p90, p95 and p99, and the interval of p95",
            _latency(report),
        ),
        captioned("Calls by hour; hatched: none ended", _hours(report)),
        *(
            captioned(f"What makes slow calls of {each.model} slow", _excess(each))
            for each in report.bottlenecks
        ),
    ]
    return page_of(f"Baseline {report.baseline.name}", as_markdown(report), plots)


def page_of(title: str, markdown: str, plots: Sequence[str]) -> str:
    """Write a page of our own Markdown, with the plots after its first paragraphs."""
    before, heading, after = markdown.partition("\n## ")
    body = "\n".join([*_html(before), *plots, *_html(f"{heading.strip()} {after}" if heading else "")])
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" '
        f'content="width=device-width, initial-scale=1"><title>{escape(title)}</title><style>{STYLE}</style></head>\n'
        f"<body>\n{body}\n</body></html>\n"
    )


def captioned(caption: str, plot: str) -> str:
    """Write a plot with what it shows."""
    return f"<figure><figcaption>{escape(caption)}</figcaption>{plot}</figure>"


def _latency(report: BaselineReport) -> str:
    rows = []
    for each in report.subjects:
        if each.latency is None:
            continue
        quantiles = each.latency.quantiles
        marks = [(f"p{q.share * 100:g} {interval_text(q)}", q.value) for q in quantiles]
        known = tuple((name, at) for name, at in marks if at is not None)
        p95 = quantiles[SHARES.index(0.95)]
        text = milliseconds(p95.value)
        rows.append(Bar(f"{each.kind} {each.name}", p95.value or 0.0, p95.low, p95.high, text, known))
    return whiskers("Latency by provider, model and tool", rows)


def _hours(report: BaselineReport) -> str:
    heights = [float(hour.calls) if hour.calls else None for hour in report.hours]
    captions = [f"{hour.began:%m-%d %H:%M}" for hour in report.hours]
    return columns("Calls by hour", heights, captions, "calls")


def _excess(bottleneck: Bottleneck) -> str:
    rows = [
        Bar(each.stage.removesuffix("_ms"), each.share, each.low, each.high, f"{each.share:.0%}")
        for each in bottleneck.found.stages
        if each.share > 0
    ]
    return bars(f"Share of each stage in what makes {bottleneck.model} slow", rows)


def _html(markdown: str) -> Iterator[str]:
    """Turn the Markdown that this package writes into HTML: headings, lists, tables, bold, code."""
    rows: list[list[str]] = []
    for line in [*markdown.splitlines(), ""]:
        if line.startswith("|"):
            rows.append(re.split(r"(?<!\\)\|", line)[1:-1])
            continue
        if rows:
            yield _table(rows)
            rows = []
        if line.startswith("#"):
            level = len(line) - len(line.lstrip("#"))
            yield f"<h{level}>{_inline(line.lstrip('# '))}</h{level}>"
        elif line.startswith("- "):
            yield f"<ul><li>{_inline(line[2:])}</li></ul>"
        elif line:
            yield f"<p>{_inline(line)}</p>"


def _table(rows: Sequence[Sequence[str]]) -> str:
    head, _, *body = rows
    cells = "".join(f'<th scope="col">{_inline(cell.strip())}</th>' for cell in head)
    lines = "".join(
        "<tr>" + "".join(f"<td>{_inline(cell.strip())}</td>" for cell in row) + "</tr>" for row in body
    )
    return f'<div class="table" tabindex="0"><table><thead><tr>{cells}</tr></thead><tbody>{lines}</tbody></table></div>'


def _inline(text: str) -> str:
    whole = escape(text.replace("\\|", "|"))
    whole = re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", whole)
    return re.sub(r"`(.+?)`", r"<code>\1</code>", whole)
