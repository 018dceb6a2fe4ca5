"""Arguments that tools which ask a model have in common: their types, with what clients are shown of them."""

from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec

from exai.errors import BadArguments
from exai.messages import Effort
from exai.providers.catalog import did_you_mean

__all__ = [
    "EFFORT_NAMES",
    "AnswerTokens",
    "BudgetUsd",
    "ContinuationId",
    "DryRun",
    "EffortName",
    "FallbackModels",
    "FilePaths",
    "Fork",
    "ImageSources",
    "ModelName",
    "ReadDocuments",
    "SendSecrets",
    "Temperature",
    "WorkspaceName",
    "effort_named",
]

ModelName = Annotated[
    str,
    msgspec.Meta(max_length=200, description="From `status` section models; never swapped"),
]
FallbackModels = Annotated[
    list[str], msgspec.Meta(max_length=10, description="May answer instead, in turn, if `model` cannot")
]
FilePaths = Annotated[
    list[str],
    msgspec.Meta(max_length=500, description="Files, folders, handles of `files`"),
]
WorkspaceName = Annotated[str, msgspec.Meta(max_length=4_096, description="Path or tree_ id")]
ImageSources = Annotated[
    list[str],
    msgspec.Meta(max_length=100, description="Absolute paths, file_… or data: URLs (PNG, JPEG, GIF, WebP)"),
]
EffortName = Annotated[
    str,
    msgspec.Meta(
        max_length=40,
        description="How hard to think; default: the model's own",
        extra_json_schema={"enum": [effort.value for effort in Effort]},
    ),
]
"""The schema lists our own efforts; `effort_named` takes those of other servers too."""
EFFORT_NAMES: Mapping[str, str] = {"thinking_mode": "effort", "reasoning_effort": "effort"}
"""Names that other servers have for the argument."""
ReadDocuments = Annotated[
    Literal["here", "provider"], msgspec.Meta(description="Who reads PDF and Office documents")
]
SendSecrets = Annotated[bool, msgspec.Meta(description="Send files although they hold secrets")]
DryRun = Annotated[bool, msgspec.Meta(description="Show the request and its price, and send nothing")]
BudgetUsd = Annotated[float, msgspec.Meta(gt=0, le=10_000)]
"""Unlisted everywhere, so no client pays for a description."""
Temperature = Annotated[float, msgspec.Meta(ge=0, le=2)]
AnswerTokens = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
ContinuationId = Annotated[str, msgspec.Meta(max_length=200)]

Fork = Annotated[bool, msgspec.Meta(description="Go on in a copy; the conversation stays as it is")]

EFFORTS = {
    **{effort.value: effort for effort in Effort},
    "off": Effort.NONE,
    "minimal": Effort.LOW,
    "xhigh": Effort.MAX,
}
"""Those of the schema, and steps that other servers have."""


def effort_named(name: str | None) -> Effort | None:
    """Return the effort of that name; `None` is the model's own.

    Raises:
        BadArguments: there is no such effort.
    """
    if name is None:
        return None
    effort = EFFORTS.get(name.strip().casefold())
    if effort is None:
        raise BadArguments(
            f"Argument 'effort': there is no effort {name!r}.{did_you_mean(name, EFFORTS)} "
            f"Give one of {', '.join(Effort)}, or leave it out for the model's own."
        )
    return effort
