"""What models may answer: further items or a claim, and an opinion on a claim."""

from typing import Annotated, Literal

import msgspec

from exai.error_tracking.investigation.bundle import MOST_ITEMS, FurtherItem

__all__ = ["Citation", "Claim", "FirstAnswer", "Fix", "OpinionAnswer", "Rejected", "Step"]

Sentence = Annotated[str, msgspec.Meta(max_length=1_000)]
Text = Annotated[str, msgspec.Meta(max_length=2_000)]
MOST_PATCH = 40_000


class Citation(msgspec.Struct, frozen=True):
    """Where something stands that a claim rests on."""

    evidence: Annotated[str, msgspec.Meta(max_length=20, description="Id of the evidence, such as e4.2")]
    quote: Annotated[str, msgspec.Meta(max_length=1_000, description="Its words, exactly, one line or a few")]
    place: Annotated[
        str,
        msgspec.Meta(max_length=500, description="Of lines of a file: path:line of the quote's first line"),
    ] = ""


class Step(msgspec.Struct, frozen=True):
    """One event of the chain that led to the failure."""

    who: Literal["own code", "setting", "provider", "human", "outside"]
    text: Sentence
    citations: Annotated[tuple[Citation, ...], msgspec.Meta(max_length=6)] = ()


class Rejected(msgspec.Struct, frozen=True):
    """Another cause that was considered."""

    cause: Sentence
    why_not: Sentence


class Fix(msgspec.Struct, frozen=True):
    """What would mend it."""

    kind: Literal["patch", "setting", "step", "provider", "none"]
    text: Annotated[str, msgspec.Meta(max_length=2_000, description="What to do; of `none` the reason")]
    patch: Annotated[str, msgspec.Meta(max_length=MOST_PATCH, description="Of `patch`: a unified diff")] = ""


class Claim(msgspec.Struct, frozen=True):
    """What a model takes for the cause."""

    cause: Annotated[str, msgspec.Meta(max_length=1_500, description="In at most three sentences")]
    chain: Annotated[tuple[Step, ...], msgspec.Meta(min_length=1, max_length=12)]
    fix: Fix
    rejected: Annotated[tuple[Rejected, ...], msgspec.Meta(max_length=6)] = ()
    reproduction: Text = ""
    reach: Annotated[str, msgspec.Meta(max_length=2_000, description="Who and what else is affected")] = ""
    would_decide: Annotated[str, msgspec.Meta(max_length=2_000, description="If unsure: what would tell")] = (
        ""
    )
    not_looked_at: Text = ""


class FirstAnswer(msgspec.Struct, frozen=True):
    """Either of the two; with both the claim counts."""

    report: Claim | None = None
    further: Annotated[tuple[FurtherItem, ...], msgspec.Meta(max_length=MOST_ITEMS)] = ()


class OpinionAnswer(msgspec.Struct, frozen=True):
    """What a second model says of a claim."""

    verdict: Literal["confirms", "refutes", "unsure"]
    why: Text
    citations: Annotated[tuple[Citation, ...], msgspec.Meta(max_length=6)] = ()
