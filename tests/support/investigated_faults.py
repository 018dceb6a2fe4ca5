"""Investigations by example: a group, evidence of it, and models that answer what a test says."""

import asyncio
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from exai.error_tracking.investigation.asking import Reply
from exai.error_tracking.investigation.bundle import (
    EvidenceBundle,
    EvidencePiece,
    FurtherItem,
    Provenance,
    Subject,
)
from exai.error_tracking.investigation.investigator import Investigator, Spent
from exai.error_tracking.investigation.report import PatchCheck
from exai.error_tracking.investigation.roles import Candidate
from exai.runtime.clock import ManualClock
from exai.storage.error_tracking.groups import OccurrenceRow
from exai.storage.error_tracking.rows import GroupRow

__all__ = [
    "NOW",
    "SOURCE",
    "Evidence",
    "Models",
    "Patches",
    "citation",
    "claim",
    "group",
    "investigator",
    "opinion",
    "piece",
    "reported",
    "subject",
]

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
SOURCE = "def take(self):\n    item = self._rows[key]\n    return item.pop()\n"


def group(**changed: Any) -> GroupRow:
    known: dict[str, Any] = {
        "group_id": "grp_1",
        "number": 1,
        "project_id": 1,
        "title": "KeyError: 'x'",
        "kind": "KeyError",
        "culprit": "exai.rows:take",
        "code": None,
        "fixable_by": "developer",
        "own_doing": 0,
        "state": "open",
        "version": 1,
        "seen": 3,
        "handled": 0,
        "stored": 3,
        "lost": 0,
        "callers": 1,
        "first_seen": NOW,
        "last_seen": NOW,
        "first_release": "1.0.0",
        "last_release": "1.0.0",
    }
    empty = ("resolved_at", "resolved_in", "archived_until", "archived_count", "archived_rate")
    return GroupRow(**{**known, **dict.fromkeys(empty), **changed})


def subject(**changed: Any) -> Subject:
    occurrence = OccurrenceRow("occ_1", NOW, "1.0.0", "run_1", None, None, "{}")
    return Subject(group(**changed), occurrence, "1.0.0")


def piece(evidence_id: str, text: str, path: str = "", provenance: Provenance = "own") -> EvidencePiece:
    return EvidencePiece(
        evidence_id=evidence_id,
        kind="source" if path else "occurrence",
        place=f"{path}:10-12" if path else "occurrence occ_1",
        sha256=hashlib.sha256(text.encode()).hexdigest(),
        provenance=provenance,
        text=text,
        path=path,
        first=10 if path else 0,
        is_failing_place=bool(path),
    )


class Evidence:
    """Has two pieces, and one more for who asks."""

    def __init__(self, *pieces: EvidencePiece) -> None:
        self.pieces = pieces or (
            piece("e1", "KeyError: 'x' in exai.rows:take"),
            piece("e4", SOURCE, "src/exai/rows.py"),
        )
        self.asked: list[Sequence[FurtherItem]] = []
        self.repository = ""
        self.commit = ""

    async def gather(self, subject: Subject) -> EvidenceBundle:  # noqa: ARG002 - part of the protocol
        return EvidenceBundle(
            pieces=self.pieces, left_out=(), tokens=100, repository=self.repository, commit=self.commit
        )

    async def gather_more(
        self,
        subject: Subject,  # noqa: ARG002 - part of the protocol
        bundle: EvidenceBundle,
        items: Sequence[FurtherItem],
    ) -> EvidenceBundle:
        self.asked.append(items)
        more = piece("e13", "log: the row was taken twice")
        return EvidenceBundle(pieces=(*bundle.pieces, more), left_out=(), tokens=200)


class Patches:
    """Takes every patch."""

    async def check(self, bundle: EvidenceBundle, patch: str) -> PatchCheck:  # noqa: ARG002 - the protocol
        return PatchCheck(applies=True, parses=True, commit="0" * 40)


Said = str | Reply | float
"""An answer, what became of a request, or after how many seconds none has come."""


class Models:
    """Answers in order what a test says; `first` and `second` as they stand."""

    def __init__(self, *said: Said, usd: float = 0.01) -> None:
        self.said = list(said)
        self.usd = usd
        self.prompts: list[tuple[str, str]] = []
        self.first = Candidate("kimi-k2-turbo-preview", "kimi-k2.6", "kimi")
        self.second = Candidate("glm-5.3-flash", "glm-5.3-flash", "glm")
        self.crowded = False

    def candidates(self) -> tuple[Candidate, Candidate]:
        return self.first, self.second

    def is_crowded(self) -> bool:
        return self.crowded

    def expected_usd(self, model: Candidate, prompt: str) -> float:  # noqa: ARG002 - part of the protocol
        return self.usd

    async def ask(self, model: Candidate, prompt: str) -> Reply:
        self.prompts.append((model.name, prompt))
        said = self.said.pop(0) if self.said else "I have nothing more to say."
        if isinstance(said, float):
            await asyncio.sleep(said)
        if isinstance(said, Reply):
            return said
        return Reply(
            end="answered",
            text=str(said),
            name=model.name,
            provider=model.provider,
            tokens=100,
            usd=self.usd,
        )


def citation(evidence: str, quote: str, place: str = "") -> dict[str, str]:
    return {"evidence": evidence, "quote": quote, "place": place}


def claim(*citations: dict[str, str], fix: dict[str, str] | None = None, **more: Any) -> str:
    """A report whose steps have a citation each; true ones, where none are given."""
    cited = citations or (
        citation("e1", "KeyError: 'x'"),
        citation("e4", "item = self._rows[key]", "src/exai/rows.py:11"),
    )
    report = {
        "cause": "The row was taken twice.",
        "chain": [{"who": "own code", "text": "It happened.", "citations": [each]} for each in cited],
        "fix": fix or {"kind": "step", "text": "Take it once."},
        **more,
    }
    return json.dumps({"report": report})


def opinion(verdict: str = "confirms", *citations: dict[str, str]) -> str:
    return json.dumps(
        {
            "verdict": verdict,
            "why": "It follows.",
            "citations": citations or [citation("e4", "return item.pop()")],
        }
    )


def investigator(models: Models, evidence: Evidence | None = None, **known: Any) -> Investigator:
    return Investigator(
        evidence or Evidence(),
        models,
        known.pop("patches", Patches()),
        known.pop("clock", None) or ManualClock(),
        **{"most_usd": 0.15, **known},
    )


@dataclass
class Told:
    """Takes notes; `wanted` says of a stage whether the investigation is still wanted."""

    wanted: Callable[[str], bool] | None = None
    costs: list[tuple[int, float | None]] = field(default_factory=list)

    async def stage(self, stage: str, *, asks: bool) -> bool:  # noqa: ARG002 - part of the protocol
        return self.wanted is None or self.wanted(stage)

    async def spent(self, tokens: int, cost_usd: float | None) -> None:
        self.costs.append((tokens, cost_usd))


async def reported(
    models: Models,
    evidence: Evidence | None = None,
    *,
    note: Callable[[str], bool] | None = None,
    **known: Any,
) -> Any:
    """Run one investigation to its end; with a `suspect` of a group whose provider that is."""

    suspect, before = known.pop("suspect", None), known.pop("before", Spent())
    made = investigator(models, evidence, **known)
    return await made.investigate(subject(), suspect, Told(note), before)
