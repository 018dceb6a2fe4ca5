"""Whether and whom of another family a run asks: by its definition, and not by what the caller thinks of itself."""

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from exai.providers.catalog import Model
from exai.workflows.definitions import Workflow

__all__ = ["Chosen", "Decision", "choose_other", "decide", "family_of"]

FAMILIES = ("glm", "kimi")
"""Names of families, which stand in the names of their models."""


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


def choose_other(lead: str, able: Sequence[Model]) -> Chosen:
    """Choose the first model of another family than the lead's; where there is none, the lead's, in a new context.

    Args:
        lead: the name of the model that concluded.
        able: the models that can be asked, best first.
    """
    family = family_of(lead)
    others = [model.name for model in able if family_of(model.name) != family]
    if not others:
        return Chosen(lead, "same")
    its = [name for name in others[1:] if family_of(name) == family_of(others[0])]
    return Chosen(others[0], "other", tuple(its))


def family_of(model: str) -> str:
    """Return who trained a model: by its name, else by the endpoint that serves it."""
    name = model.casefold()
    return next((family for family in FAMILIES if family in name), name.partition("/")[0])
