"""`plan`: a tree of items that is kept, and ticked off item by item."""

from collections.abc import Iterator
from functools import partial
from typing import Annotated, Any

import msgspec

from exai.auth import scopes
from exai.consulting.answer import AnswerReport, More
from exai.consulting.arguments import (
    EFFORT_NAMES,
    BudgetUsd,
    DryRun,
    EffortName,
    FallbackModels,
    FilePaths,
    ModelName,
    SendSecrets,
    Temperature,
    effort_named,
)
from exai.consulting.budgets import within_budget
from exai.consulting.consultant import Consultant
from exai.consulting.context import CallContext
from exai.consulting.inquiry import Inquiry
from exai.consulting.preview import preview_of_one
from exai.consulting.results import Result, ToolReturn
from exai.consulting.structured import as_entry
from exai.errors import AnswerBroken, BadArguments
from exai.storage.workflows.plans import Plan, PlanItem, PlanLine
from exai.tools.aliases import Alias
from exai.tools.base import Arguments, Requested, Tool
from exai.tools.prompts import prompt
from exai.workflows.planning_steps import PlanningStep, items_after, next_call
from exai.workflows.plans import (
    MOST_CHANGES,
    Changed,
    DraftItem,
    Plans,
    in_tree_order,
    items_changed,
    items_of_draft,
    read_changes,
)

__all__ = ["PlanArguments", "PlanDraft", "PlanTool", "ShownPlan"]

GOAL_CHARACTERS = 20_000
StepNumber = Annotated[int, msgspec.Meta(ge=1)]
Changes = Annotated[
    list[dict[str, Any]],
    msgspec.Meta(
        max_length=MOST_CHANGES,
        description="Of {item, state: todo|doing|done|blocked|dropped, title, accept, note, parent}; adds without item",
    ),
]
"""Typed by `read_changes`: each client would pay for the schema of an item."""


class PlanArguments(Arguments, frozen=True):
    goal: (
        Annotated[
            str, msgspec.Meta(max_length=GOAL_CHARACTERS, description="What is to be reached: makes a plan")
        ]
        | None
    ) = None
    plan_id: Annotated[str, msgspec.Meta(max_length=200)] | None = None
    update: Changes = msgspec.field(default_factory=list)
    revision: StepNumber | None = None
    absolute_file_paths: FilePaths = msgspec.field(default_factory=list)
    model: ModelName | None = None
    fallback_models: FallbackModels | None = None
    effort: EffortName | None = None
    temperature: Temperature | None = None
    send_secrets: SendSecrets = False
    budget_usd: BudgetUsd | None = None
    dry_run: DryRun = False
    step: Annotated[str, msgspec.Meta(max_length=GOAL_CHARACTERS)] | None = None
    step_number: StepNumber | None = None
    total_steps: StepNumber = 1
    next_step_required: bool = True
    is_step_revision: bool = False
    revises_step_number: StepNumber | None = None
    is_branch_point: bool = False
    branch_from_step: StepNumber | None = None
    branch_id: Annotated[str, msgspec.Meta(max_length=100)] | None = None
    more_steps_needed: bool = False

    def requested(self) -> Requested:
        return Requested(model=self.model)


class PlanDraft(msgspec.Struct, frozen=True):
    """A plan as a model drafts it."""

    items: list[DraftItem]


class ShownPlan(Result, frozen=True, kw_only=True):
    """A plan, or the latest ones."""

    plan_id: str | None = None
    revision: int | None = None
    model_used: str | None = None
    continuation_id: str | None = None
    """Of the conversation in which a model drafted it."""
    notes: tuple[str, ...] = ()
    next_call: dict[str, Any] | None = None
    goal: str | None = None
    items: tuple[PlanItem, ...] = ()
    plans: tuple[PlanLine, ...] = ()
    """The latest ones, where none was named."""
    more: tuple[More, ...] = ()
    """Where to read on by `files`."""
    answer: str | None = None
    """The request by which a model would draft it, where that is all that was asked for."""

    @classmethod
    def of(cls, plan: Plan, *notes: str) -> "ShownPlan":
        """Show a plan with its items."""
        return cls(
            plan_id=plan.plan_id, revision=plan.revision, notes=notes, goal=plan.goal, items=plan.items
        )

    def text(self) -> str:
        if self.answer is not None:
            return "\n".join([f"[{self.model_used} would draft it]", *self._notes(), "", self.answer])
        if self.plan_id is None:
            lines = [
                f"{each.plan_id}  {each.updated_at:%Y-%m-%d}  {_brief(each.goal)}" for each in self.plans
            ]
            return "\n".join(lines) or "You have no plan. Give a goal to make one."
        done = sum(item.state == "done" for item in self.items)
        counted = sum(item.state != "dropped" for item in self.items)
        head = [f"plan_id: {self.plan_id}", f"revision {self.revision}", f"{done} of {counted} done"]
        if self.model_used is not None:
            head += [f"drafted by {self.model_used}"]
        return "\n".join([f"[{' | '.join(head)}]", *self._notes(), "", f"Goal: {self.goal}", *self._tree()])

    def _notes(self) -> Iterator[str]:
        for note in self.notes:
            yield f"Note: {note}"
        if self.continuation_id is not None:
            yield f"To talk about it: chat with continuation_id {self.continuation_id}"
        if self.next_call is not None:
            yield f"Next: plan {msgspec.json.encode(self.next_call).decode()}"

    def _tree(self) -> Iterator[str]:
        for depth, item in in_tree_order(self.items):
            indent = "  " * depth
            branch = f" (branch {item.branch})" if item.branch else ""
            yield f"{indent}{item.item}. [{item.state}] {item.title}{branch}"
            for label, value in (("done when", item.accept), ("note", item.note)):
                if value:
                    yield f"{indent}   {label}: {as_entry(value)}"


class PlanTool:
    """Makes plans by a model or step by step, shows them, and ticks items off."""

    def __init__(self, consultant: Consultant, plans: Plans) -> None:
        self._consultant = consultant
        self._plans = plans
        self._instructions = prompt("plan")

    def tool(self) -> Tool[PlanArguments, ShownPlan]:
        """The catalogue's entry."""
        return Tool(
            name="plan",
            title="Plan",
            description="Make, show or tick off a plan that outlives this conversation.",
            arguments=PlanArguments,
            result=ShownPlan,
            report=AnswerReport,
            run=self.run,
            asks_provider=True,
            scope=scopes.MODELS,
            argument_scopes={"send_secrets": scopes.FILES_SECRETS},
            aliases=(
                Alias("planner", renames={"continuation_id": "plan_id"}, ignored=frozenset({"images"})),
            ),
            file_arguments=("absolute_file_paths",),
            argument_aliases=EFFORT_NAMES,
            unlisted=frozenset(PlanArguments.__struct_encode_fields__)
            - {"goal", "plan_id", "update", "absolute_file_paths"},
            read_only=False,
            open_world=True,
            listed_result=("plan_id", "notes", "items"),
            listed_depth=0,
        )

    async def run(self, arguments: PlanArguments, context: CallContext) -> ToolReturn[ShownPlan]:
        """Make, show or change a plan.

        Raises:
            ToolFault: one of its subclasses.
        """
        owner = context.caller.subject
        if arguments.dry_run and (arguments.goal is None or arguments.step is not None):
            raise BadArguments(
                "Argument 'dry_run': a model is asked only where a 'goal' is to be planned. Leave it out."
            )
        if arguments.step is not None or arguments.step_number is not None:
            return ToolReturn(await self._step(owner, arguments))
        if arguments.plan_id is None and arguments.update:
            raise BadArguments("Argument 'update' changes a plan. Give its plan_id too.")
        if arguments.goal is not None:
            if arguments.plan_id is not None:
                raise BadArguments("Give 'goal' to make a plan, or 'plan_id' to go on with one; not both.")
            return await self._draft(arguments.goal, arguments, context)
        if arguments.plan_id is None:
            return ToolReturn(ShownPlan(plans=tuple(await self._plans.newest(owner))))
        if not arguments.update:
            return ToolReturn(ShownPlan.of(await self._plans.find(owner, arguments.plan_id)))
        change = partial(items_changed, changes=read_changes(arguments.update))
        return ToolReturn(
            _shown_after(await self._plans.change(owner, arguments.plan_id, change, arguments.revision))
        )

    async def _draft(
        self, goal: str, arguments: PlanArguments, context: CallContext
    ) -> ToolReturn[ShownPlan]:
        """Have a model draft the plan, and keep it."""
        inquiry = Inquiry(
            instructions=self._instructions,
            question=f"Plan this.\n\n{goal}",
            model=arguments.model,
            fallback_models=arguments.fallback_models,
            file_paths=arguments.absolute_file_paths,
            effort=effort_named(arguments.effort),
            temperature=arguments.temperature,
            send_secrets=arguments.send_secrets,
            answer_as=PlanDraft,
        )
        if arguments.dry_run:
            model, requests, reason = await preview_of_one(self._consultant, inquiry, context)
            notes = () if reason is None else (reason,)
            return ToolReturn(ShownPlan(model_used=model, goal=goal, notes=notes, answer=requests))
        inquiry = await within_budget(self._consultant, inquiry, arguments.budget_usd, context)
        consultation = await self._consultant.consult(inquiry, context)
        drafted = consultation.structured
        draft = None if drafted is None else drafted.value
        items = items_of_draft(draft.items) if isinstance(draft, PlanDraft) else ()
        if not items:
            raise AnswerBroken(
                f"{consultation.completion.model} answered with no plan. Name another model, or say the goal in other "
                "words."
            )
        plan = await self._plans.create(context.caller.subject, goal, items)
        shown = msgspec.structs.replace(
            ShownPlan.of(plan, *consultation.notes),
            model_used=consultation.completion.model,
            continuation_id=consultation.conversation_id,
        )
        return ToolReturn(shown, consultation.findings, AnswerReport.of(consultation))

    async def _step(self, owner: str, arguments: PlanArguments) -> ShownPlan:
        """Take one step of an agent that makes the plan by itself."""
        step = _planning_step(arguments)
        if arguments.plan_id is None:
            step.check_first()
            plan = await self._plans.create(owner, step.text, ())
            return msgspec.structs.replace(ShownPlan.of(plan), next_call=next_call(plan, step))
        changed = await self._plans.change(owner, arguments.plan_id, partial(items_after, step=step))
        return msgspec.structs.replace(_shown_after(changed), next_call=next_call(changed.plan, step))


def _planning_step(arguments: PlanArguments) -> PlanningStep:
    """Read the guided arguments.

    Raises:
        BadArguments: one of them is missing.
    """
    text, number = arguments.step, arguments.step_number
    if text is None or not text.strip():
        raise BadArguments("Argument 'step': say what this step of the plan is.")
    if number is None:
        raise BadArguments("Argument 'step_number': say which step this is; the first is 1.")
    if arguments.is_step_revision and arguments.revises_step_number is None:
        raise BadArguments("Argument 'revises_step_number': say which step this one revises.")
    if arguments.is_branch_point and arguments.branch_from_step is None:
        raise BadArguments("Argument 'branch_from_step': say at which step the branch begins.")
    if arguments.branch_from_step is not None and arguments.branch_id is None:
        raise BadArguments("Argument 'branch_id': give the branch a name.")
    return PlanningStep(
        text=text,
        number=number,
        total=arguments.total_steps,
        is_last=not (arguments.next_step_required or arguments.more_steps_needed),
        revises=arguments.revises_step_number,
        leaves=arguments.branch_from_step,
        branch=arguments.branch_id,
    )


def _shown_after(changed: Changed) -> ShownPlan:
    if not changed.refused:
        return ShownPlan.of(changed.plan)
    return ShownPlan.of(
        changed.plan,
        "Nothing was changed: somebody else changed the plan meanwhile. This is how it is now; make the change again, "
        f"of revision {changed.plan.revision}.",
    )


def _brief(goal: str) -> str:
    line = " ".join(goal.split())
    return line if len(line) <= 100 else f"{line[:99]}…"
