"""The conformance page: everything that is claimed of each service, with its evidence, as Markdown."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from exai_emulator.calls import ErrorRow
from exai_emulator.custom.dialects import DIALECTS
from exai_emulator.emulator import CONFORMANCE, Emulator
from exai_emulator.options import EmulatorOptions
from exai_emulator.ready_faults import READY_FAULTS
from exai_emulator.rules import MARKS, AnyRule, Behaviour

__all__ = ["conformance_page"]

_TITLES = {"glm": "GLM", "kimi": "Kimi", "custom": "custom"}

_ERROR_HEAD = ("Error", "Evidence", "Status", "Code or type")

_OPENING = """\
# Conformance of the emulator

What [the emulator](emulator.md) claims of each service, and how much of it is proven. The emulator prints this page
from the tables that it runs on: `exai-emulator --conformance`. Nothing was checked against the live services; each
row carries what is known of it:
"""

_RULES = """\
Rules are checked in the order of the tables, and each can be switched by its id: in `EmulatorOptions.rules`, by
`emulator.rules.set` or at `POST /_ctl/rules`. `strictness="recorded"` keeps only those with mark W, `"all"` adds those
that are off by default. Where the text of a refusal is not known, the emulator's own stands in: match codes and types.
"""


def conformance_page() -> str:
    """The whole page."""
    apis = Emulator(EmulatorOptions()).apis
    parts = [
        _OPENING,
        _table(("Mark", "Evidence"), MARKS.items()),
        _RULES,
        _table(("Service", "Rows", *MARKS), _counts()),
        "The counts are of rules and behaviours; a row with several marks counts under each.\n",
    ]
    for provider, rows in CONFORMANCE.items():
        parts.append(f"## {_TITLES[provider]}\n")
        parts.append(_table(("Rule", "Evidence", "Refused", "Default"), _rules(rows)))
        parts.append(_table(("Behaviour", "Evidence", "What it is", "Switch"), _behaviours(rows)))
        ready = READY_FAULTS[provider].values()
        parts.append(
            _table(
                ("Ready-made fault", "Evidence", "What happens"),
                [(f"`{row.name}`", row.marks, row.summary) for row in ready],
            )
        )
        if provider != "custom":
            parts.append(_table(_ERROR_HEAD, _errors(apis[provider].errors)))
    for name, dialect in DIALECTS.items():
        parts.append(f"### Errors of the dialect `{name}`\n")
        parts.append(_table(_ERROR_HEAD, _errors(dialect.errors)))
    return "\n".join(parts)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _counts() -> Iterator[Sequence[str]]:
    for provider, rows in CONFORMANCE.items():
        counted = Counter(mark for row in rows for mark in row.marks)
        yield [_TITLES[provider], str(len(rows)), *(str(counted[mark]) for mark in MARKS)]


def _rules(rows: Sequence[AnyRule]) -> Iterator[Sequence[str]]:
    for row in rows:
        if not isinstance(row, Behaviour):
            yield f"`{row.id}`", row.marks, row.summary, "on" if row.default else "off"


def _behaviours(rows: Sequence[AnyRule]) -> Iterator[Sequence[str]]:
    for row in rows:
        if isinstance(row, Behaviour):
            state = "on" if row.default else "off"
            yield f"`{row.id}`", row.marks, row.summary, state if row.switchable else "–"


def _errors(errors: Mapping[str, ErrorRow]) -> Iterator[Sequence[str]]:
    for row in errors.values():
        told = [name for name in (row.kind, row.code) if name]
        verbatim = "no body" if not row.body else "a body of its own"
        shown = " and ".join(f"`{name}`" for name in told) if row.body is None else verbatim
        yield f"`{row.name}`", row.mark, str(row.status), shown
