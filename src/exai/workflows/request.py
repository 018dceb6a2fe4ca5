"""What a call asks of a workflow."""

from collections.abc import Mapping

import msgspec

from exai.evidence.pieces import Wanted
from exai.messages import Effort

__all__ = ["WorkflowRequest"]


class WorkflowRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The question, with what the caller shows beside it. Two that are equal ask for the same run."""

    question: str
    inputs: Mapping[str, str] = {}
    """Further inputs of the tool, by name."""
    options: Mapping[str, str | int | float] = {}
    """What treatments are told, by name."""
    depth: str = "standard"
    file_paths: tuple[str, ...] = ()
    """Those in the workspace are evidence of it, where evidence is gathered."""
    workspace: str | None = None
    """The absolute path of a folder, or the id of a snapshot; `None`: the one of the settings, else the only one."""
    wanted: Wanted = Wanted()
    """What evidence is wanted for, beside the question."""
    target: str = ""
    """Where graphs begin, as a path, a name, `Class.method` or `path:name`; empty: none is followed."""
    send_secrets: bool = False
    model: str | None = None
    """`None`: the conversation's model, else the configured default."""
    fallback_models: tuple[str, ...] | None = None
    continuation_id: str | None = None
    fork: bool = False
    """Whether the run belongs to a copy of that conversation, made with its exchange."""
    effort: Effort | None = None
    """How hard the run's model is to think; `None`: as it does by itself."""
    temperature: float | None = None
    """Of the run's model."""
    max_answer_tokens: int | None = None
    """Of each answer that is a text."""
    wants_expert: bool = True
    budget_usd: float | None = None
    """What the run may cost, beside its definition's budget: a request is made only if it is estimated to fit."""
