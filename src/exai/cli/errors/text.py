"""Groups of faults as text: a table that fits the terminal, a report that reads well, a line about a change."""

import shutil
import textwrap
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
import typer

from exai.cli.errors.investigation_text import investigation_lines
from exai.cli.errors.printable import printable
from exai.error_tracking.console import GroupDetails, GroupLine
from exai.storage.error_tracking.rows import Turn

__all__ = ["as_report", "as_table", "print_line"]

LEAST_TITLE = 20
NARROWEST = 72
SHOWN_FRAMES = 8
SHOWN_TURNS = 12
_BARS = " ▁▂▃▄▅▆▇█"


def as_table(
    groups: Sequence[GroupLine],
    width: int | None = None,
    now: datetime | None = None,
    *,
    with_cost: bool = False,
) -> str:
    """Write one line per group, as wide as the terminal; the titles give way."""
    width = max(width or shutil.get_terminal_size((100, 24)).columns, NARROWEST)
    now = now or datetime.now(UTC)
    rows = [
        ("group", "state", "seen", "callers", *(("USD",) if with_cost else ()), "last", "fixed by", "what")
    ]
    rows += [
        (
            each.group,
            f"{each.state} ↑" if each.escalates else each.state,
            _count(each.seen),
            str(each.callers),
            *((f"{each.cost_usd:.2f}",) if with_cost else ()),
            _ago(each.last_seen, now),
            each.fixable_by or "?",
            printable(_title(each)),
        )
        for each in groups
    ]
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]) - 1)]
    left = max(width - sum(widths) - 2 * len(rows[0]), LEAST_TITLE)
    texts = {0, 1, len(widths) - 1}
    return "\n".join(
        "  ".join(
            [
                *(
                    row[place].ljust(size) if place in texts else row[place].rjust(size)
                    for place, size in enumerate(widths)
                ),
                _cut(row[-1], left),
            ]
        ).rstrip()
        for row in rows
    )


def as_report(details: GroupDetails, width: int | None = None, now: datetime | None = None) -> str:
    """Write all of a group, in the order in which it is needed."""
    width = min(max(width or shutil.get_terminal_size((100, 24)).columns, NARROWEST), 110)
    return "\n".join(_report(details, width, now or datetime.now(UTC)))


def print_line(group: GroupLine, *, as_json: bool) -> None:
    """Print what became of a group."""
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(group)).decode())
    else:
        typer.echo(f"{group.group} is {group.state} (version {group.version}): {printable(_title(group))}")


def _whose(group: GroupLine) -> str:
    """Name who wrote the words of a group, where that is not EXAI."""
    if group.provenance != "outside":
        return ""
    return group.reporter or "a provider"


def _report(details: GroupDetails, width: int, now: datetime) -> Iterator[str]:
    yield from _head(details, width, now)
    yield ""
    yield from _facts(details, width)
    if details.investigation is not None:
        yield ""
        yield from investigation_lines(details.investigation, width)
    if details.latest is not None:
        yield ""
        outside = details.provenance.get("latest") == "outside"
        yield from (
            f"│ {line}" if outside and place else line
            for place, line in enumerate(_occurrence(details.latest, width - 2))
        )
    yield ""
    yield "grouped by"
    for each in details.grouped_by:
        yield from textwrap.wrap(
            f"{each.hash[:12]}  seen {each.seen:,}  {printable(each.why)}",
            width,
            initial_indent="  ",
            subsequent_indent="                ",
            max_lines=4,
            placeholder=" …",
        )
    yield "history"
    turns = details.history
    if len(turns) > SHOWN_TURNS:
        yield f"  … {len(turns) - SHOWN_TURNS} earlier"
    for turn in turns[-SHOWN_TURNS:]:
        yield from textwrap.wrap(_turn(turn), width, initial_indent="  ", subsequent_indent="    ")


def _head(details: GroupDetails, width: int, now: datetime) -> Iterator[str]:
    group = details.group
    yield from textwrap.wrap(f"{group.group}  {printable(_title(group))}", width, subsequent_indent="      ")
    escalates = ", escalating" if group.escalates else ""
    yield from textwrap.wrap(
        f"{group.state}{escalates} (version {group.version}) · seen {group.seen:,} times, by {group.callers} "
        f"callers · {group.handled:,} put right · {group.lost:,} lost",
        width,
    )
    if whose := _whose(group):
        yield from textwrap.wrap(
            f"The words behind │, and the title, are of {whose}; nobody has checked them.", width
        )
    yield f"first {_when(group.first_seen, now)} · last {_when(group.last_seen, now)}"
    if details.hours:
        yield f"last 7 days  {_hours(details, now)}"


def _facts(details: GroupDetails, width: int) -> Iterator[str]:
    report = details.report
    facts = [
        ("what", report.means),
        ("whose", report.cause),
        ("where", report.place),
        ("since", report.since),
        *([("suspect", report.suspect)] if report.suspect else []),
        ("decides", report.look_at),
        ("to do", report.fix),
    ]
    facts += [("observed", sentence) for sentence in report.observations]
    facts += [
        (
            "shared",
            f"{each.what} {each.value}: {each.of_failures:.0%} of the failures, {each.of_good:.0%} of the good calls",
        )
        for each in report.shared
    ]
    for name, text in facts:
        yield from _field(name, printable(text), width)


def _occurrence(body: dict[str, Any], width: int) -> Iterator[str]:
    known = ("call_id", "incident_id", "tool", "provider", "model", "door", "client", "subject", "release")
    yield f"latest kept occurrence, {body['at']:%Y-%m-%d %H:%M:%S} UTC, noticed by: {body.get('source', '?')}"
    told = "  ".join(f"{name}={printable(str(body[name]))}" for name in known if body.get(name))
    yield from textwrap.wrap(told, width, initial_indent="  ", subsequent_indent="  ")
    for raised in reversed(body.get("chain", [])):
        text = f"{raised['type']}: {raised['message']}" if raised["message"] else raised["type"]
        yield from textwrap.wrap(
            printable(text), width, initial_indent="  ", subsequent_indent="    ", max_lines=4
        )
        for frame in reversed(raised["frames"][-SHOWN_FRAMES:]):
            mark = "›" if frame["own"] else " "
            place = f"{frame['module']}:{frame['function']}:{frame['line']}"
            yield _cut(f"   {mark} {printable(place)}", width)
    if body.get("message"):
        yield from textwrap.wrap(
            printable(body["message"]), width, initial_indent="  ", subsequent_indent="  "
        )


def _title(group: GroupLine) -> str:
    """Name whose words a title is, where it is another program's."""
    return group.title if group.reporter is None else f"[{group.reporter}] {group.title}"


def _turn(turn: Turn) -> str:
    facts = ", ".join(f"{name} {value}" for name, value in turn.facts.items())
    told = f"{turn.at:%Y-%m-%d %H:%M} {turn.kind} by {turn.actor}"
    return printable(" · ".join(part for part in (told, facts, turn.note) if part))


def _field(name: str, text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, initial_indent=f"{name:8} ", subsequent_indent=" " * 9)


def _hours(details: GroupDetails, now: datetime) -> str:
    """Draw how often it was seen on each of the last seven days, in blocks of six hours."""
    blocks = [0] * 28
    for hour in details.hours:
        place = 27 - int((now - hour.hour).total_seconds() // (6 * 3_600))
        if 0 <= place < 28:
            blocks[place] += hour.seen
    most = max(blocks) or 1
    return "".join(_BARS[-(-each * 8 // most)] for each in blocks) + f"  at most {most:,} in 6 hours"


def _count(number: int) -> str:
    if number < 10_000:
        return str(number)
    return f"{number / 1_000:.0f}k" if number < 1_000_000 else f"{number / 1_000_000:.1f}M"


def _when(moment: datetime, now: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC ({_ago(moment, now)} ago)"


def _ago(moment: datetime, now: datetime) -> str:
    seconds = max(0, int((now - moment).total_seconds()))
    for unit, length in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= length:
            return f"{seconds // length}{unit}"
    return f"{seconds}s"


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"
