"""Whether and whom of another family a run asks: by its definition, and not by what the caller thinks of itself.

Of several other families the one is asked that was right more often, once the owner has judged enough findings of the
kind. How often a family was right is (right + 1) / (judged + 2), Laplace's rule of succession: one that was hardly
judged stands in the middle. Families that are equal there stay in the order in which they are best.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import msgspec

from exai.providers.catalog import Model
from exai.storage.workflows.findings import VerdictsOfModels
from exai.workflows.definitions import Workflow

__all__ = ["Chosen", "Decision", "TrackRecord", "choose_other", "decide", "family_of"]

FAMILIES = ("glm", "kimi")
"""Names of families, which stand in the names of their models."""


ENOUGH_VERDICTS = 30
"""Of a kind, before they choose."""


class TrackRecord(msgspec.Struct, frozen=True):
    """How often families were right in findings of one kind."""

    kind: str
    verdicts: int
    families: Mapping[str, tuple[int, int]]
    """Findings that a family named: how many were right, and how many were judged."""

    @classmethod
    def of(cls, kind: str, judged: Sequence[VerdictsOfModels]) -> "TrackRecord":
        """Make it of what was judged; a finding that two models of a family named counts once for it."""
        families: dict[str, tuple[int, int]] = {}
        for each in judged:
            for family in {family_of(name.strip()) for name in each.models.split(",") if name.strip()}:
                right, all_judged = families.get(family, (0, 0))
                families[family] = (right + each.judged - each.wrong, all_judged + each.judged)
        return cls(kind, sum(each.judged for each in judged), families)

    @property
    def is_enough(self) -> bool:
        """Whether it may choose."""
        return self.verdicts >= ENOUGH_VERDICTS

    def share(self, family: str) -> float:
        """Return how often a family is expected to be right."""
        right, judged = self.families.get(family, (0, 0))
        return (right + 1) / (judged + 2)

    def reason(self, families: Sequence[str]) -> str:
        """Say why the first of these families was chosen."""
        counts = [(name, *self.families.get(name, (0, 0))) for name in families]
        each = ", ".join(f"{name} in {right} of {judged}" for name, right, judged in counts)
        return f"By your {self.verdicts} verdicts on findings of reviews of the kind {self.kind}, right were: {each}."


class Decision(msgspec.Struct, frozen=True):
    """Whether another family is asked, and why."""

    asks: bool
    why: str


class Chosen(msgspec.Struct, frozen=True):
    """Who is asked."""

    model: str
    family: Literal["other", "same"]
    fallbacks: tuple[str, ...] = ()
    """Models of its family that may take over."""
    why: str = ""
    """By which verdicts, where they decided."""


def decide(workflow: Workflow, values: Mapping[str, object], *, declined: bool) -> Decision:
    """Decide by the definition's policy; `declined`: the caller wants nobody else asked."""
    expert = workflow.definition.expert
    if expert.policy == "never":
        return Decision(False, "The workflow's definition asks nobody else.")
    if expert.policy == "always":
        ignored = ", whatever use_assistant_model says" if declined else ""
        return Decision(True, f"The workflow's definition always asks another family{ignored}.")
    if declined:
        return Decision(False, "You declined it by use_assistant_model=false.")
    if not expert.when:
        return Decision(True, "The workflow's definition asks another family unless that is declined.")
    for condition in expert.when:
        if workflow.is_met(condition, values):
            return Decision(True, f"The workflow's definition asks another family when {condition}.")
    return Decision(False, f"None of its conditions holds: {'; '.join(expert.when)}.")


def choose_other(
    lead: str,
    able: Sequence[Model],
    record: TrackRecord | None = None,
    is_ready: Callable[[Model], bool] = lambda _: True,
) -> Chosen:
    """Choose the first model of another family than the lead's; where there is none, the lead's, in a new context.

    Args:
        lead: the name of the model that concluded.
        able: the models that can be asked, best first.
        record: which other family was right more often; decides between several that are ready, once it is enough.
        is_ready: whether a model can be asked now.
    """
    family = family_of(lead)
    others = [model.name for model in able if family_of(model.name) != family]
    if not others:
        return Chosen(lead, "same")
    ready = [model.name for model in able if model.name in others and is_ready(model)]
    families = list(dict.fromkeys(map(family_of, ready or others)))
    why = ""
    if record is not None and record.is_enough and len(families) > 1:
        families.sort(key=lambda each: -record.share(each))
        why = record.reason(families)
    first, *further = [name for name in others if family_of(name) == families[0]]
    return Chosen(first, "other", tuple(further), why)


def family_of(model: str) -> str:
    """Return who trained a model: by its name, else by the endpoint that serves it."""
    name = model.casefold()
    return next((family for family in FAMILIES if family in name), name.partition("/")[0])
