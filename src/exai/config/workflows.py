"""The settings of what goes on over several requests: calls of tools by a model, and workflows."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from exai.config.values import Count, Seconds, Section

__all__ = ["ToolLoop", "Workflows"]


class ToolLoop(Section):
    """How far a model may go with tools, such as a search tool, before it has to answer."""

    max_rounds: Count = 8
    """Answers of one call that may be tool calls. After them the model is asked to answer with what it has."""

    max_calls: Count = 32
    """Tool calls of one call, all rounds together."""

    max_cost_usd: Annotated[float, Field(gt=0, le=10_000)] = 1.0
    """What the rounds may cost before the model has to answer, as far as prices are known."""

    max_s: Seconds = 600.0
    """How long the rounds may take before the model has to answer."""

    tool_s: Seconds = 60.0
    """How long one tool call may take; then the model is told that it failed."""

    max_result_characters: Count = 60_000
    """Longest result that a model gets; a longer one is cut, and marked as cut."""


class Workflows(Section):
    """Tools that ask models in several steps (`docs/workflows.md`)."""

    folder: Path | None = None
    """Folder with definitions of one's own, `NAME.toml` and `NAME.md`, in the place of EXAI's of that name. Unset:
    EXAI's."""

    confirm_above_usd: Annotated[float, Field(gt=0, le=10_000)] | None = None
    """Dollars. A call of `think`, `debug`, `review`, `analyze` or `write` that is estimated above them and brings no
    `budget_usd` is answered with the estimate and the call that allows it, and nothing is asked. Unset: never."""

    task_after_s: Seconds = 10.0
    """After how long without an end a call becomes a task, for a client that declares
    `io.modelcontextprotocol/tasks`. It is kept for `idempotency.keep_hours`."""

    tasks_per_caller: Count = 32
    """Tasks of one caller that run at a time. Further calls are answered when they end, as without tasks."""
