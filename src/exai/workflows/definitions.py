"""Definitions of workflows: a TOML file and a prompt each, checked when the process starts.

A definition says which stages a run has, what is gathered, who is asked or what is made of answers in each, with which
section of the prompt, when another family of models is asked to refute, and what a run may cost. The engine knows
stages and no tools.

A prompt is a Markdown file of sections, each behind a line `[[name]]`. In a section `{name}` stands for an input of
the tool, or for what an earlier stage answered or gathered; what is put there is not looked through again. `{|name}`
puts it there as material: each of its lines behind `│`, so that none begins a line of ours. What was gathered and
stands first in a section is sent in front of the conversation: there the provider's cache has it for the next question.
"""

import hashlib
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal

import msgspec

from exai.errors import StartFault
from exai.evidence.patches.written import PATCH
from exai.evidence.pieces import SOURCES
from exai.runtime.os_errors import reason_of
from exai.workflows.answers import ANSWERS
from exai.workflows.conditions import Condition, ConditionFault
from exai.workflows.exploring.tools import EXPLORING_TOOLS
from exai.workflows.treatments.registry import TREATMENTS

__all__ = [
    "ANSWERED",
    "ANYTHING",
    "FACTS",
    "Action",
    "AnyStage",
    "CollectStage",
    "Definition",
    "Depth",
    "ExploreStage",
    "Question",
    "Stage",
    "TreatStage",
    "View",
    "Workflow",
    "bundled_workflows",
    "workflows_with",
]

ANSWERED = frozenset({"top_confidence", "citations_unverified", "patch_problems"})
"""Facts that models' answers have."""
FACTS = ANSWERED | {"depth", "changes", "named"}
"""What conditions may ask for beside the tool's inputs."""

SYSTEM = "system"

ANYTHING = "anything"
"""What a stage that collects needs where any piece will do."""

_SECTION = re.compile(r"^\[\[([a-z_]+)\]\]$", re.MULTILINE)
_PLACEHOLDER = re.compile(r"\{(\|?)([a-z_]+)\}")

Name = Annotated[str, msgspec.Meta(pattern="^[a-z_]+$")]

Positive = Annotated[int, msgspec.Meta(ge=1)]
Depth = Literal["quick", "standard", "deep"]

GraphKind = Literal["trace", "dependencies"]
"""What a part calls and who calls it; who depends on it and what it calls."""

View = Literal["gathered", "reversed", "bare"]
"""`reversed`: the last file first. `bare`: with comments and docstrings blanked."""


class CollectStage(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="collect"):
    """Gathers evidence in the caller's workspace, without a model."""

    name: Name
    """Also of what the prompt shows of it: the blocks of all pieces, each under its id."""
    evidence: tuple[str, ...]
    """Names of `pieces.SOURCES`, the most important first."""
    when: str | None = None
    """A condition on inputs, facts and what earlier stages answered; `None`: always."""
    graph: GraphKind | None = None
    """Which graph of calls is followed from the request's target, where it has one; it stands before the rest."""
    needs: Name | None = None
    """The source without which the run ends before a model is asked, as nothing of what the caller names is there;
    `anything`: it ends where nothing was found."""
    optional: bool = False
    """Whether the run goes on where no workspace is named and there is not just one folder that may be read."""


class Stage(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="ask"):
    """One request of a run."""

    name: Name
    by: Literal["lead", "peer", "other"] = "lead"
    """Who is asked: the run's model, or one of another family: `peer` always, `other` by the rules for the expert."""
    system: Name = SYSTEM
    """The section with the standing instructions."""
    section: Name | None = None
    """The section that it asks with; `None`: that of its name."""
    view: View = "gathered"
    """How what was gathered stands in its prompt."""
    beside: Name | None = None
    """A stage before it that is asked at the same time, so that neither knows the other's answer."""
    answer: Name | None = None
    """The object that it is to answer with, a name of `answers.ANSWERS`, or `patch`; `None`: text."""
    keeps_code: str | None = None
    """Of a patch: a condition under which it may change comments, docstrings and prose alone."""
    when: str | None = None
    """A condition on inputs, facts and what earlier stages answered; `None`: always."""
    heading: str = ""
    """What stands above its text in the run's answer; empty: it is not shown, unless it is the run's result."""


class TreatStage(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="treat"):
    """Makes something of earlier answers, without a model; after a failure too, of what there is."""

    name: Name
    """Also of what the prompts of later stages show of it."""
    treatment: Name
    """A name of `treatments.registry.TREATMENTS`."""
    of: tuple[Name, ...]
    """The stages that it is made of."""
    when: str | None = None
    """A condition on inputs, facts and what earlier stages answered; `None`: always."""


class ExploreStage(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="explore"):
    """Has the run's model look for further evidence by tools, in rounds that each add something new."""

    name: Name
    """Also of what later prompts show of it: the blocks of what was found, each under its id."""
    tools: tuple[str, ...]
    """Names of `exploring.tools.EXPLORING_TOOLS`."""
    rounds: Mapping[Depth, Positive]
    """How many requests it has at most, by the depth that the call asks for; none for one that is not there."""
    calls: Positive = 8
    """How much is looked at in one round."""
    tokens: Positive = 20_000
    """How much it adds to the prompts that follow, estimated."""
    seconds: Annotated[float, msgspec.Meta(gt=0)] = 120.0
    """After these no round begins, and none where less is left of the call."""
    usd: Annotated[float, msgspec.Meta(gt=0)] | None = None
    """Above these dollars of the run no round begins; `None`: the run's own."""
    system: Name = SYSTEM
    """The section with the standing instructions."""
    section: Name | None = None
    """The section that it asks with; `None`: that of its name."""
    when: str | None = None
    """A condition on inputs, facts and what earlier stages answered; `None`: always."""

    @property
    def asked(self) -> Stage:
        """Its requests as those of a stage that asks."""
        return Stage(self.name, system=self.system, section=self.section)


AnyStage = Stage | CollectStage | TreatStage | ExploreStage


class Expert(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When another family is asked."""

    policy: Literal["always", "auto", "never"] = "auto"
    """`auto`: when one of `when` holds and the caller does not decline."""
    when: tuple[str, ...] = ()
    """Empty: whenever the caller does not decline."""
    track_record: str | None = None
    """The input that says of which kind findings are: the caller's verdicts on that kind choose between other
    families."""


class Budget(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one run may take."""

    usd: Annotated[float, msgspec.Meta(gt=0)]
    seconds: Annotated[float, msgspec.Meta(gt=0)]
    requests: Annotated[int, msgspec.Meta(ge=1)]
    evidence_tokens: Annotated[int, msgspec.Meta(ge=1)] = 60_000
    """How much of what was gathered the prompt shows, estimated; of one file at most a third, while others need it."""


class Action(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the caller is to do next, by how sure it is."""

    at: tuple[str, ...]
    """`first`, or words of the ladder of confidence."""
    do: tuple[str, ...]


class Guided(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The form in which the caller investigates."""

    actions: tuple[Action, ...] = ()


class Definition(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A definition as its file has it."""

    name: Name
    version: int
    result: Name
    """The stage whose answer is the run's."""
    question: Name
    """The input that the conversation keeps as the question."""
    budget: Budget
    stage: tuple[AnyStage, ...]
    inputs: tuple[Name, ...] = ()
    """Further inputs that the prompt may name."""
    expert: Expert = Expert()
    guided: Guided = Guided()

    @property
    def asked(self) -> list[Stage]:
        """The stages in which a model is asked."""
        return [stage for stage in self.stage if isinstance(stage, Stage)]


class Question(msgspec.Struct, frozen=True):
    """What a stage asks."""

    preface: str
    """What was gathered, where the section begins with it: it stands in front of the conversation."""
    text: str

    @property
    def digest(self) -> str:
        """By what it is known as the same."""
        return hashlib.sha256(f"{self.preface}\n{self.text}".encode()).hexdigest()


class Workflow:
    """A definition with its prompt, whose every name was resolved."""

    def __init__(self, definition: Definition, sections: Mapping[str, str]) -> None:
        """Raise `ValueError` for a definition that contradicts itself or its prompt."""
        self.definition = definition
        self.name = definition.name
        self._sections = sections
        self._gathering = {
            stage.name for stage in definition.stage if isinstance(stage, CollectStage | ExploreStage)
        }
        inputs = {definition.question, *definition.inputs}
        names = inputs | FACTS | {stage.name for stage in definition.stage}
        self._conditions = {
            text: _condition(text, names)
            for text in (
                *definition.expert.when,
                *(stage.when for stage in definition.stage),
                *(stage.keeps_code for stage in definition.asked),
            )
            if text is not None
        }
        if (named := definition.expert.track_record) is not None and named not in inputs:
            raise ValueError(f"[expert] has track_record {named!r}; known are {', '.join(sorted(inputs))}")
        self._check_stages(inputs)

    def system(self, stage: Stage) -> str:
        """Return the standing instructions of a stage."""
        return self._sections[stage.system]

    def question(self, stage: Stage, values: Mapping[str, str]) -> Question:
        """Return what a stage asks, with inputs and earlier answers in their places."""

        def put(found: re.Match[str]) -> str:
            value = values.get(found[2], "")
            return "\n".join(f"│{line}" for line in value.splitlines()) if found[1] else value

        section = self._sections[stage.section or stage.name]
        at = 0
        while (found := _PLACEHOLDER.match(section, at)) and found[2] in self._gathering:
            at = len(section) - len(section[found.end() :].lstrip())
        return Question(
            _PLACEHOLDER.sub(put, section[:at]).strip(), _PLACEHOLDER.sub(put, section[at:]).strip()
        )

    def is_met(self, condition: str, values: Mapping[str, object]) -> bool:
        """Check one of the definition's conditions."""
        return self._conditions[condition].is_met(values)

    def actions(self, *words: str) -> tuple[str, ...]:
        """Return what a caller who investigates is to do next, by the first of these words that has something."""
        for word in words:
            for action in self.definition.guided.actions:
                if word in action.at:
                    return action.do
        return ()

    def _check_stages(self, known: set[str]) -> None:
        before = set(known)
        stages = self.definition.stage
        names = [stage.name for stage in stages]
        if len(set(names)) < len(names):
            raise ValueError("two stages have one name")
        results = {stage.name for stage in stages if isinstance(stage, Stage | TreatStage)}
        if self.definition.result not in results:
            raise ValueError(f"there is no stage {self.definition.result!r} to be the result")
        for stage in stages:
            if isinstance(stage, CollectStage):
                _check_names(stage.name, "the evidence", stage.evidence, SOURCES)
                if stage.needs not in {None, ANYTHING}:
                    _check_names(stage.name, "needs", (stage.needs or "",), stage.evidence)
            elif isinstance(stage, TreatStage):
                _check_names(stage.name, "the treatment", (stage.treatment,), TREATMENTS)
                _check_names(stage.name, "the stage", stage.of, before - known)
            elif isinstance(stage, ExploreStage):
                if not any(isinstance(each, CollectStage) and each.name in before for each in stages):
                    raise ValueError(f"stage {stage.name} explores, and no stage before it collects")
                _check_names(stage.name, "the tool", stage.tools, EXPLORING_TOOLS)
                self._check_asked(stage.asked, before)
            else:
                self._check_asked(stage, before)
            before.add(stage.name)

    def _check_asked(self, stage: Stage, before: set[str]) -> None:
        asked = stage.section or stage.name
        for section in (asked, stage.system):
            if section not in self._sections:
                raise ValueError(f"the prompt has no section [[{section}]]")
        if stage.beside is not None:
            _check_names(stage.name, "the stage", (stage.beside,), before)
        placeholders = {name for _, name in _PLACEHOLDER.findall(self._sections[asked])}
        if unknown := placeholders - before:
            raise ValueError(
                f"[[{asked}]] names {', '.join(sorted(unknown))}; known there are {', '.join(sorted(before))}"
            )
        if stage.answer is not None:
            _check_names(stage.name, "the answer", (stage.answer,), {*ANSWERS, PATCH})


def bundled_workflows() -> Mapping[str, Workflow]:
    """Read the definitions that come with EXAI.

    Raises:
        StartFault: one of them is wrong; the sentence names its file and what is wrong.
    """
    folder = resources.files("exai.workflows") / "bundled"
    return MappingProxyType({workflow.name: workflow for workflow in read_folder(folder)})


def workflows_with(folder: Path | None) -> Mapping[str, Workflow]:
    """Read the definitions that come with EXAI, those of an operator's folder in their place.

    Raises:
        StartFault: a definition is wrong, or of no tool that there is.
    """
    bundled = bundled_workflows()
    if folder is None:
        return bundled
    try:
        own = {workflow.name: workflow for workflow in read_folder(folder)}
    except OSError as error:
        raise StartFault(f"`workflows.folder` cannot be read: {reason_of(error)}.") from error
    if unknown := own.keys() - bundled.keys():
        raise StartFault(
            f"`workflows.folder` defines {', '.join(sorted(unknown))}, which no tool runs. Those that can be replaced "
            f"are {', '.join(sorted(bundled))}."
        )
    return MappingProxyType({**bundled, **own})


def read_folder(folder: Traversable | Path) -> Iterator[Workflow]:
    """Read every definition of a folder, each with the prompt beside it.

    Raises:
        StartFault: one of them is wrong; the sentence names its file and what is wrong.
    """
    for file in sorted(folder.iterdir(), key=lambda each: each.name):
        if file.name.endswith(".toml"):
            yield _read(folder, file)


def read_definition(file: Path) -> Workflow:
    """Read a definition, with the prompt beside it.

    Raises:
        StartFault: it is wrong; the sentence says what.
    """
    return _read(file.parent, file)


def _read(folder: Traversable | Path, file: Traversable | Path) -> Workflow:
    try:
        definition = definition_of(file.read_text(encoding="utf-8"))
        prompt = folder / f"{definition.name}.md"
        return Workflow(definition, sections_of(prompt.read_text(encoding="utf-8")))
    except OSError as error:
        name = Path(error.filename).name if error.filename else file.name
        raise StartFault(
            f"The workflow {file.name} is wrong: {name} cannot be read ({reason_of(error)})."
        ) from error
    except ValueError as error:
        raise StartFault(f"The workflow {file.name} is wrong: {error}.") from error


def definition_of(text: str) -> Definition:
    """Read a definition's TOML; a stage without a kind asks.

    Raises:
        ValueError: it is none.
    """
    read = msgspec.toml.decode(text, type=dict[str, Any])
    stages = read.get("stage")
    if isinstance(stages, list):
        read["stage"] = [{"kind": "ask", **stage} if isinstance(stage, dict) else stage for stage in stages]
    return msgspec.convert(read, Definition)


def sections_of(text: str) -> dict[str, str]:
    """Split a prompt at the lines that name its sections.

    Raises:
        ValueError: text stands before the first, or one comes twice.
    """
    first, *parts = _SECTION.split(text)
    if first.strip():
        raise ValueError("the prompt has text before its first section")
    names = parts[::2]
    if len(set(names)) < len(names):
        raise ValueError("the prompt has a section twice")
    return {name: body.strip() for name, body in zip(names, parts[1::2], strict=True)}


def _check_names(stage: str, what: str, given: Iterable[str], known: Collection[str]) -> None:
    for name in given:
        if name not in known:
            raise ValueError(f"stage {stage} has {what} {name!r}; known are {', '.join(sorted(known))}")


def _condition(text: str, names: set[str]) -> Condition:
    try:
        return Condition(text, names)
    except ConditionFault as fault:
        raise ValueError(f"the condition {fault}") from None
