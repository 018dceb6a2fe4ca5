"""A plan that an agent makes by itself, step by step: the form that older planners have.

The first step is the goal; each further one is an item. A step that revises another one drops its item and takes its
place; a branch hangs below the step that it leaves. A step that comes again replaces what it said before.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from exai.errors import BadArguments
from exai.storage.workflows.plans import Plan, PlanItem
from exai.workflows.plans import TEXT_CHARACTERS, TITLE_CHARACTERS

__all__ = ["PlanningStep", "items_after", "next_call"]


class PlanningStep(msgspec.Struct, frozen=True):
    """One step, as the agent reports it."""

    text: str
    number: int
    total: int
    is_last: bool
    revises: int | None = None
    """The step whose place it takes."""
    leaves: int | None = None
    """The step at which its branch begins."""
    branch: str | None = None

    def check_first(self) -> None:
        """Check that it may begin a plan.

        Raises:
            BadArguments: it is not the first.
        """
        if self.number != 1:
            raise BadArguments(
                f"Argument 'step_number': a plan begins with step 1, and this is {self.number}. To go on with one, "
                "give its plan_id."
            )
        of_later_steps = {
            "revises_step_number": self.revises,
            "branch_from_step": self.leaves,
            "branch_id": self.branch,
        }
        for name, value in of_later_steps.items():
            if value is not None:
                raise BadArguments(
                    f"Argument {name!r}: step 1 begins a plan, so there is nothing to revise or to branch off from. "
                    "Leave it out, or give the plan_id of the plan that goes on."
                )


def items_after(plan: Plan, step: PlanningStep) -> tuple[PlanItem, ...]:
    """Return the items that a step adds or replaces.

    Raises:
        BadArguments: it leaves steps out, or refers to one that is not there.
    """
    last = max((item.step or 1 for item in plan.items), default=1)
    if not 2 <= step.number <= last + 1:
        raise BadArguments(
            f"Argument 'step_number': this plan goes on with step {last + 1}, and this is {step.number}."
        )
    same = _find(plan.items, step.number, step.branch)
    number = same.item if same else max((item.item for item in plan.items), default=0) + 1
    title, _, rest = step.text.strip().partition("\n")
    item = PlanItem(
        number,
        title[:TITLE_CHARACTERS],
        parent=_parent(plan, step),
        note=(title[TITLE_CHARACTERS:] + rest).strip()[:TEXT_CHARACTERS],
        step=step.number,
        branch=step.branch,
    )
    if step.revises is None:
        return (item,)
    revised = _named(plan, step.revises, "revises_step_number", step.branch)
    dropped = msgspec.structs.replace(revised, state="dropped", note=f"Revised by step {step.number}.")
    return (dropped, msgspec.structs.replace(item, parent=revised.parent))


def next_call(plan: Plan, step: PlanningStep) -> dict[str, Any] | None:
    """Return the arguments of the next step; `None` behind the last one."""
    if step.is_last:
        return None
    number = step.number + 1
    total = max(step.total, number)
    call: dict[str, Any] = {
        "plan_id": plan.plan_id,
        "step": "…",
        "step_number": number,
        "total_steps": total,
        "next_step_required": number < total,
    }
    return call if step.branch is None else {**call, "branch_id": step.branch}


def _parent(plan: Plan, step: PlanningStep) -> int | None:
    if step.leaves is not None:
        return None if step.leaves == 1 else _named(plan, step.leaves, "branch_from_step").item
    if step.branch is None:
        return None
    branch = [item for item in plan.items if item.branch == step.branch]
    return branch[0].parent if branch else None


def _named(plan: Plan, number: int, argument: str, branch: str | None = None) -> PlanItem:
    found = _find(plan.items, number, branch) or _find(plan.items, number, None)
    if found is None:
        steps = (
            ", ".join(str(item.step) for item in plan.items if item.step is not None) or "none but the goal"
        )
        raise BadArguments(f"Argument '{argument}': this plan has no step {number}. It has: {steps}.")
    return found


def _find(items: Sequence[PlanItem], step: int, branch: str | None) -> PlanItem | None:
    return next((item for item in items if item.step == step and item.branch == branch), None)
