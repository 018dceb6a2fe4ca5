"""What a run came to."""

from typing import Any, Literal

import msgspec

from exai.evidence.shown import ShownEvidence
from exai.workflows.exploring.rounds import Explored

__all__ = ["ExpertReport", "Outcome", "Previewed", "StageReport"]


class ExpertReport(msgspec.Struct, frozen=True, omit_defaults=True):
    """Whether another family was asked, and why."""

    ran: bool
    why: str
    model: str | None = None
    family: Literal["other", "same"] | None = None
    chosen_by: str = ""
    """The verdicts by which its family was chosen of several, where there were enough."""
    seconds: float | None = None
    cost_usd: float | None = None


class StageReport(msgspec.Struct, frozen=True, omit_defaults=True):
    """One request of a run."""

    stage: str
    model: str | None
    asked: int
    """How often, as a crash may take an answer."""
    cost_usd: float | None
    seconds: float | None
    kept: bool = False
    """Whether it had ended before this call."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """A run's answer, with how it came about."""

    workflow_id: str
    conversation_id: str
    answer: str
    models: tuple[str, ...]
    """Who answered, in turn."""
    notes: tuple[str, ...] = ()
    values: dict[str, Any] = {}
    """The answers that are objects, by stage."""
    stages: tuple[StageReport, ...] = ()
    expert: ExpertReport | None = None
    citations: dict[str, int] = {}
    """How many places were named, by what was found of them."""
    evidence: tuple[ShownEvidence, ...] = ()
    """What was gathered in the workspace, and why it was not shown where it was not."""
    exploring: Explored | None = None
    """How far the model looked for evidence by itself, and why it ended; `None`: it did not."""
    is_partial: bool = False
    recalled: bool = False
    """Whether it is the answer of an earlier call."""


class Previewed(msgspec.Struct, frozen=True):
    """What a run would ask, while nothing is asked."""

    model: str | None
    """That would be asked first; `None`: nobody would."""
    requests: str
    """In words, with tokens and prices."""
    estimated_usd: float
    """Of all of them, as often as each may be made; a model without a known price counts nothing."""
    notes: tuple[str, ...] = ()
