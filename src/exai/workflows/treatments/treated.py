"""What a treatment is given."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from exai.evidence.requests import Graph
from exai.evidence.workspace import Workspaces
from exai.files.store.shelf import Shelf
from exai.runtime.clock import Clock
from exai.storage.workflows.evidence import EvidenceRow
from exai.storage.workflows.findings import FindingTables
from exai.workflows.request import WorkflowRequest
from exai.workflows.stage_output import StageOutput

__all__ = ["Ports", "Treated", "Treatment"]

T = TypeVar("T", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True)
class Ports:
    """What treatments read and keep things by."""

    workspaces: Workspaces
    findings: FindingTables
    shelf: Shelf
    clock: Clock


@dataclass(frozen=True, slots=True)
class Treated:
    """The run as it is when its turn comes."""

    owner: str
    request: WorkflowRequest
    of: tuple[str, ...]
    """The stages that the definition names for it."""
    outputs: Mapping[str, StageOutput]
    """What the stages answered, by their names."""
    evidence: Sequence[EvidenceRow]
    """What was gathered, what was not shown included."""
    graph: Graph | None
    """What calls what, where it was followed."""
    has_failed: bool
    """Whether a stage before it failed, so that it makes do with what there is."""
    ports: Ports

    def value_of(self, stage: str, kind: type[T]) -> T | None:
        """Return the object that a stage answered; `None`: it has none of that kind."""
        output = self.outputs.get(stage)
        if output is None or output.value is None:
            return None
        try:
            return msgspec.convert(output.value, kind)
        except msgspec.ValidationError:
            return None


Treatment = Callable[[Treated], Awaitable[StageOutput]]
"""Makes a stage's output. The same answers and evidence make the same output, however often."""
