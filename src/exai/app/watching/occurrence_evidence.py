"""Evidence of the occurrence alone."""

import hashlib
from collections.abc import Sequence

from exai.conversations.estimates import estimate_tokens
from exai.error_tracking.faults import OWN_PROJECT
from exai.error_tracking.investigation.bundle import (
    LARGEST_PIECE,
    EvidenceBundle,
    EvidencePiece,
    FurtherItem,
    LeftOut,
    Subject,
)

__all__ = ["OccurrenceEvidence"]


class OccurrenceEvidence:
    """See `EvidenceGatherer`."""

    async def gather(self, subject: Subject) -> EvidenceBundle:
        """See `EvidenceGatherer.gather`."""
        occurrence = subject.occurrence
        text = occurrence.body.encode()[:LARGEST_PIECE].decode(errors="ignore")
        piece = EvidencePiece(
            evidence_id="e1",
            kind="occurrence",
            place=f"occurrence {occurrence.occurrence_id}",
            sha256=hashlib.sha256(text.encode()).hexdigest(),
            provenance="own" if subject.group.project_id == OWN_PROJECT else "outside",
            text=text,
            is_failing_place=True,
        )
        return EvidenceBundle(pieces=(piece,), left_out=(), tokens=estimate_tokens(text))

    async def gather_more(
        self,
        subject: Subject,  # noqa: ARG002 - see `EvidenceGatherer`
        bundle: EvidenceBundle,
        items: Sequence[FurtherItem],
    ) -> EvidenceBundle:
        """See `EvidenceGatherer.gather_more`."""
        left_out = tuple(LeftOut(item.kind, item.place, "it is not gathered", 0) for item in items)
        return EvidenceBundle(pieces=bundle.pieces, left_out=bundle.left_out + left_out, tokens=bundle.tokens)
