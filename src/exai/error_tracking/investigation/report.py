"""The report of an investigation, as it is kept and shown. All texts of models in it are shown as text."""

from typing import Literal

import msgspec

from exai.error_tracking.investigation.answers import Rejected
from exai.error_tracking.investigation.bundle import LeftOut
from exai.error_tracking.investigation.citations import CheckedCitation, CheckedStep
from exai.error_tracking.investigation.levels import Level

__all__ = ["AskedModel", "CheckedFix", "InvestigationReport", "Opinion", "PatchCheck", "Role", "ShownFile"]


Role = Literal["investigator", "second opinion"]


class AskedModel(msgspec.Struct, frozen=True):
    """A model that was asked."""

    role: Role
    asked_for: str
    """The name in the settings."""
    name: str
    """What that is by the catalogue, and answered."""
    provider: str
    requests: int
    emulated: bool


class PatchCheck(msgspec.Struct, frozen=True):
    """What was found about a patch without writing it anywhere."""

    applies: bool
    parses: bool | None
    """Whether its files of Python can be read afterwards; `None`: it has none, or does not apply."""
    commit: str
    """That it was checked against; empty: none is known, so that it was not checked."""
    repository: str = ""
    """Root of the repository that has it."""
    problems: tuple[str, ...] = ()
    """Sentences."""


class CheckedFix(msgspec.Struct, frozen=True):
    """What a model proposes, and what was found about it. Nothing applies it by itself."""

    kind: Literal["patch", "setting", "step", "provider", "none"]
    text: str
    patch: str = ""
    check: PatchCheck | None = None


class Opinion(msgspec.Struct, frozen=True):
    """What the second model says."""

    verdict: Literal["confirms", "refutes", "unsure"]
    why: str
    citations: tuple[CheckedCitation, ...]


class ShownFile(msgspec.Struct, frozen=True):
    """Lines of a file that the models were shown and the report cites."""

    path: str
    sha256: str
    """Of the lines; if they are others, the report may be of the past."""


class InvestigationReport(msgspec.Struct, frozen=True, kw_only=True):
    """What models make of a group of faults, and what of that was checked."""

    level: Level
    cause: str
    chain: tuple[CheckedStep, ...]
    rejected: tuple[Rejected, ...]
    fix: CheckedFix
    reproduction: str
    reach: str
    second_opinion: Opinion | None
    no_second_opinion: str
    """Why there is none; else empty."""
    would_decide: str
    not_looked_at: str
    left_out: tuple[LeftOut, ...]
    """Of the evidence."""
    models: tuple[AskedModel, ...]
    notes: tuple[str, ...]
    """What else a reader has to know, such as that the models were emulated."""
    release: str
    requests: int
    tokens: int
    cost_usd: float | None
    """`None`: not known."""
    seconds: float
    shown_files: tuple[ShownFile, ...]

    @property
    def emulated(self) -> bool:
        """Whether an emulator answered for a model."""
        return any(model.emulated for model in self.models)
