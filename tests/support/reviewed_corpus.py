"""Reviews of the corpus by the daemon and the emulator: who reads, who makes things up, and what is shown of it."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from benchmarks.corpus_data import Clean, Corpus, Defect, write_tree

from exai.evidence.packing import Packed, Packer
from exai.evidence.pieces import CHANGE, Bounds, Piece, Wanted
from exai.evidence.requests import Opening
from exai.evidence.workspace import Workspace
from exai.workflows.definitions import CollectStage, bundled_workflows
from exai_emulator import Emulator, Persona
from exai_emulator.reporting.findings import Judging, ScriptedFinding
from exai_emulator.reporting.turns import Report
from support.mcp_websocket import McpSocket

__all__ = ["JUDGING", "Reviewed", "gathered_of", "packed_of", "recall", "review_of", "true_finding"]

JUDGING = Judging(pattern=r"^│(?P<id>R\d+)\. .*?(?=^│R\d+\. |\Z)")
"""How a persona finds what is put to it."""
FALSE_FINDINGS = 20
_LEAST_QUOTED = 8
"""Characters without blanks: a shorter quotation is no evidence."""


@dataclass(frozen=True, slots=True)
class Reviewed:
    """What a review of one change showed."""

    row: Defect | Clean
    findings: Sequence[Mapping[str, Any]]
    withheld: Mapping[str, int]
    was_reported: bool
    """Whether a reader saw what is wrong, by what the prompts showed."""

    @property
    def has_found(self) -> bool:
        """Whether what is wrong is among what is shown, at its place."""
        return any(self._is_true(each) for each in self.findings)

    @property
    def false(self) -> int:
        """How many of those shown are made up."""
        return sum(not self._is_true(each) for each in self.findings)

    def _is_true(self, finding: Mapping[str, Any]) -> bool:
        return isinstance(self.row, Defect) and finding["message"] == self.row.title


def true_finding(corpus: Corpus, defect: Defect) -> ScriptedFinding:
    """The finding of a defect, for a reader who is shown all that it takes to see it."""
    gold = defect.gold[0]
    lines = corpus.changed(defect)[gold.path].splitlines()
    number = next(
        each
        for each in range(gold.first, gold.last + 1)
        if len("".join(lines[each - 1].split())) >= _LEAST_QUOTED
    )
    fields = {
        "severity": "high",
        "category": "logic",
        "path": gold.path,
        "from": number,
        "to": number,
        "quote": lines[number - 1].strip(),
        "message": defect.title,
        "caused_by": _changed_line(corpus.diff(defect)),
        "when": "",
        "fix": "",
        "cwe": "",
    }
    return ScriptedFinding(fields=fields, markers=tuple(corpus.gold_lines(defect)))


def _changed_line(diff: str) -> str:
    changed = [
        line[1:].strip() for line in diff.splitlines() if line[:1] in "+-" and line[:3] not in ("+++", "---")
    ]
    return max(changed, key=len)


async def packed_of(corpus: Corpus, row: Defect | Clean, room: int) -> Packed:
    """What a review of a change shows in a room of tokens."""
    return Packer().pack(await gathered_of(corpus, row), room)


async def gathered_of(corpus: Corpus, row: Defect | Clean) -> Sequence[Piece]:
    """What a review of a change gathers."""
    (stage,) = [
        each for each in bundled_workflows()["review"].definition.stage if isinstance(each, CollectStage)
    ]
    with tempfile.TemporaryDirectory(prefix="exai-corpus-") as made:
        write_tree(corpus.changed(row), Path(made))
        workspace = Workspace(Opening(folder=made, roots=(made,)))
        try:
            found = await workspace.gather(
                stage.evidence, Wanted(patch=corpus.diff(row)), Bounds(tokens=60_000)
            )
        finally:
            await workspace.close()
    return found.pieces


def recall(defect: Defect, pieces: Sequence[Piece]) -> float:
    """The share of the gold ranges that pieces show whole."""
    seen: dict[str, set[int]] = {}
    for piece in pieces:
        number = piece.first
        for line in piece.text.splitlines():
            if piece.source == CHANGE and line[:1] == "-":
                continue
            seen.setdefault(piece.path, set()).add(number)
            number += 1
    shown = [set(range(gold.first, gold.last + 1)) <= seen.get(gold.path, set()) for gold in defect.gold]
    return sum(shown) / len(shown)


async def review_of(
    client: McpSocket,
    emulator: Emulator,
    corpus: Corpus,
    row: Defect | Clean,
    folder: Path,
    *,
    seed: int = 1,
    noisy: bool = True,
    depth: Literal["standard", "deep"] = "standard",
) -> Reviewed:
    """Review one change; with `noisy` one of the two families reports false findings, and believes all."""
    place = folder / row.id
    write_tree(corpus.changed(row), place)
    diff = folder / f"{row.id}.diff"
    diff.write_text(corpus.diff(row), encoding="utf-8")
    true = true_finding(corpus, row) if isinstance(row, Defect) else None
    reads = Persona("reader", report=Report(findings=() if true is None else (true,), judging=JUDGING))
    emulator.personas.set(reads)
    if noisy:
        report = Report(judging=JUDGING, false_findings=FALSE_FINDINGS, seed=seed)
        emulator.personas.set(Persona("noisy", report=report), provider="kimi")
    before = len(emulator.log.requests)
    result = await client.tool(
        "review", {"workspace": str(place), "change": str(diff), "depth": depth, "model": "glm-5.3"}
    )
    if result["isError"]:
        raise AssertionError(result["content"][0]["text"])
    told = result["structuredContent"]
    asked = "\n".join(str(each.body.get("messages")) for each in emulator.log.requests[before:])
    was_reported = true is not None and all(_escaped(marker) in asked for marker in true.markers)
    return Reviewed(row, told.get("findings", []), told.get("withheld", {}), was_reported)


def _escaped(text: str) -> str:
    """Spell a text as it stands in the log of requests."""
    return repr(text)[1:-1]
