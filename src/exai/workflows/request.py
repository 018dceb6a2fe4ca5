"""What a call asks of a workflow."""

from collections.abc import Mapping

import msgspec

__all__ = ["WorkflowRequest"]


class WorkflowRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The question, with what the caller shows beside it. Two that are equal ask for the same run."""

    question: str
    inputs: Mapping[str, str] = {}
    """Further inputs of the tool, by name."""
    depth: str = "standard"
    file_paths: tuple[str, ...] = ()
    send_secrets: bool = False
    model: str | None = None
    """`None`: the conversation's model, else the configured default."""
    fallback_models: tuple[str, ...] | None = None
    continuation_id: str | None = None
    wants_expert: bool = True
