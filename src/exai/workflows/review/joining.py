"""From what the passes of a review found to one list: what is none for itself is left out, what is one is joined."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from exai.errors import ToolFault
from exai.evidence.pieces import CHANGE
from exai.evidence.requests import Symbol
from exai.evidence.workspace import Workspace
from exai.storage.workflows.evidence import EvidenceRow
from exai.workflows.review.answers import QuotedDefects
from exai.workflows.review.findings import Candidate
from exai.workflows.review.noise import Change, Rules, Together, together
from exai.workflows.stage_output import StageOutput
from exai.workflows.treatments.treated import Treated

__all__ = ["Joined", "change_in", "join", "unjudged"]

BARE = "bare"
"""The pass that reads the code without comments. What it found alone, comments speak against."""
SPOKEN_AGAINST = "Only the pass without comments found it: comments there speak against it, and may mislead."
MOST_JUDGED = 60
"""Findings that are put to another model in one request."""
FORMATTERS = (
    "ruff.toml",
    ".flake8",
    ".prettierrc*",
    ".eslintrc*",
    "eslint.config.*",
    "biome.json",
    "rustfmt.toml",
    ".rustfmt.toml",
    ".clang-format",
    ".golangci.y*ml",
    "go.mod",
    ".rubocop.yml",
)
FORMATTER_TABLES = r"^\[tool\.(ruff|black|flake8|pylint)|\"(prettier|eslint)\""


class Joined(msgspec.Struct, frozen=True):
    """What the passes found together."""

    passes: tuple[str, ...]
    """Those that answered, in their order."""
    models: tuple[str, ...]
    """Who answered in each."""
    together: Together
    has_formatter: bool = False

    @property
    def counted(self) -> int:
        """How many passes read the same: the one without comments adds a vote, and needs none of others."""
        return max(1, len([name for name in self.passes if name != BARE]))


async def join(work: Treated) -> StageOutput:
    """Join what the passes `of` found.

    Raises:
        ToolFault: the workspace cannot be read any more.
    """
    found = {name: value for name in work.of if (value := work.value_of(name, QuotedDefects)) is not None}
    named = [
        Candidate(reported=each.reported, citation=each.citation, passes=(name,))
        for name, defects in found.items()
        for each in defects.findings
    ]
    has_formatter = False
    if named:
        async with work.ports.workspaces.open(work.owner, work.request.workspace) as workspace:
            named = await _with_symbols(workspace, named)
            if any(each.reported.category == "style" for each in named):
                has_formatter = await _has_formatter(workspace)
    rules = Rules(passes=1, change=change_in(work.evidence), has_formatter=has_formatter)
    joined = together(named, rules)
    if BARE in found:
        left = tuple(_remarked(each) for each in joined.left)
        joined = msgspec.structs.replace(joined, left=left)
    models = tuple(work.outputs[name].model for name in found)
    result = Joined(tuple(found), models, joined, has_formatter)
    return StageOutput("", f"{len(joined.left)} findings", msgspec.to_builtins(result))


async def unjudged(work: Treated) -> StageOutput:
    """Write out the findings that the passes named behind the first of `of` made alone, for somebody else to judge.

    With depth `deep` those that all passes name are among them, where the first pass is one of these.
    """
    source, *passes = work.of
    joined = work.value_of(source, Joined)
    left = joined.together.left if joined is not None else ()
    is_deep = work.request.depth == "deep"
    put = [
        (number, each)
        for number, each in enumerate(left, start=1)
        if set(each.passes) <= set(passes) or (is_deep and each.passes[0] in passes)
    ]
    return StageOutput("", "\n\n".join(_put(number, each) for number, each in put[:MOST_JUDGED]))


def change_in(rows: Iterable[EvidenceRow]) -> Change | None:
    """Return the lines that change, as far as they were shown; `None`: files are looked at, and no change."""
    hunks = [row for row in rows if row.source == CHANGE]
    if not hunks:
        return None
    numbers: dict[str, set[int]] = {}
    texts: list[str] = []
    for row in hunks:
        number = row.first
        for line in row.text.removesuffix("\n").split("\n") if row.text else ():
            if line[:1] in {"+", "-"}:
                numbers.setdefault(row.path, set()).add(number)
                texts.append(line[1:])
            number += line[:1] != "-"
    return Change({path: frozenset(each) for path, each in numbers.items()}, "\n".join(texts))


def _remarked(candidate: Candidate) -> Candidate:
    if candidate.passes != (BARE,):
        return candidate
    return msgspec.structs.replace(candidate, remarks=(*candidate.remarks, SPOKEN_AGAINST))


def _put(number: int, candidate: Candidate) -> str:
    told = candidate.reported
    lines = f"{told.first}-{told.last}" if told.last != told.first else f"{told.first}"
    rows = [
        f"R{number}. {told.severity} {told.category}, {told.path}:{lines}",
        f"quote: {told.quote}",
        f"claim: {told.message}",
    ]
    return "\n".join([*rows, f"when: {told.when}"] if told.when else rows)


async def _with_symbols(workspace: Workspace, named: Sequence[Candidate]) -> list[Candidate]:
    """Say of each in which part of its file it stands."""
    outlines: dict[str, Sequence[Symbol]] = {}
    for path in dict.fromkeys(each.reported.path for each in named):
        try:
            outlines[path] = (await workspace.outline(path)).symbols
        except ToolFault:
            outlines[path] = ()  # it is of a commit, and no longer there
    return [msgspec.structs.replace(each, symbol=_enclosing(outlines, each)) for each in named]


def _enclosing(outlines: Mapping[str, Sequence[Symbol]], candidate: Candidate) -> str:
    told = candidate.reported
    around: Iterator[Symbol] = (
        symbol for symbol in outlines[told.path] if symbol.first <= told.first <= symbol.last
    )
    inner = list(around)
    return inner[-1].qualified if inner else ""


async def _has_formatter(workspace: Workspace) -> bool:
    for glob in FORMATTERS:
        if (await workspace.list_files(glob)).total:
            return True
    for glob in ("pyproject.toml", "package.json"):
        if (await workspace.search(pattern=FORMATTER_TABLES, glob=glob)).hits:
            return True
    return False
