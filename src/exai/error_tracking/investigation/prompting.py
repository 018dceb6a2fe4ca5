"""Puts a prompt together: what is asked, evidence between boundaries that nobody can guess, the form of the answer."""

import json
import secrets
from collections.abc import Iterator, Sequence

import msgspec

from exai.error_tracking.investigation.answers import Claim, FirstAnswer, OpinionAnswer
from exai.error_tracking.investigation.bundle import MENU, MOST_ITEMS, EvidenceBundle, EvidencePiece
from exai.error_tracking.investigation.prompts import instructions
from exai.files.documents.numbering import framed_name, numbered
from exai.protocol.schemas import answer_schema

__all__ = ["opinion_prompt", "report_prompt"]


def report_prompt(bundle: EvidenceBundle, *, may_ask: bool, problems: Sequence[str] = ()) -> str:
    """Ask for the cause.

    Args:
        may_ask: whether further items may be asked for instead.
        problems: what was wrong with an earlier answer, as sentences.
    """
    boundary = _boundary(bundle)
    parts = [instructions("investigate").format(boundary=boundary), *_evidence(bundle, boundary)]
    if problems:
        listed = "\n".join(f"- {framed_name(problem)}" for problem in problems)
        parts.append(instructions("repair").format(problems=listed))
    if may_ask:
        menu = "\n".join(f"- {kind}: {place}" for kind, place in MENU.items())
        parts.append(instructions("further").format(most=MOST_ITEMS, menu=menu))
    else:
        parts.append(instructions("no_further"))
    parts.append(_form(FirstAnswer))
    return "\n\n".join(parts)


def opinion_prompt(bundle: EvidenceBundle, claim: Claim) -> str:
    """Ask for a second opinion; the claim is shown without what its author says for it."""
    boundary = _boundary(bundle)
    told = {
        "cause": claim.cause,
        "steps": [f"{step.who}: {step.text}" for step in claim.chain],
        "fix": f"{claim.fix.kind}: {claim.fix.text}",
    }
    spelled = json.dumps(told, ensure_ascii=False, indent=1)
    return "\n\n".join(
        [
            instructions("refute").format(boundary=boundary),
            *_evidence(bundle, boundary),
            f"<<<{boundary} claim>>>\n{spelled.replace(boundary, '')}\n<<<{boundary} end>>>",
            _form(OpinionAnswer),
        ]
    )


def _boundary(bundle: EvidenceBundle) -> str:
    while True:
        made = secrets.token_hex(8)
        if not any(made in piece.text or made in piece.place for piece in bundle.pieces):
            return made


def _evidence(bundle: EvidenceBundle, boundary: str) -> Iterator[str]:
    for piece in bundle.pieces:
        name = framed_name(f"{piece.evidence_id} {piece.kind}")
        yield (
            f"<<<{boundary} {name} | {framed_name(piece.place)} | {piece.provenance}>>>\n"
            f"{_shown(piece)}\n<<<{boundary} end {piece.evidence_id}>>>"
        )
    if bundle.left_out:
        listed = "\n".join(
            f"- {framed_name(f'{each.kind} {each.place}: {each.reason}')}" for each in bundle.left_out
        )
        yield f"Not shown:\n{listed}"


def _shown(piece: EvidencePiece) -> str:
    if not piece.path:
        return piece.text
    return numbered(piece.first, piece.text.removesuffix("\n").split("\n")).text.removesuffix("\n")


def _form(kind: type[msgspec.Struct]) -> str:
    schema = json.dumps(answer_schema(kind), separators=(",", ":"), ensure_ascii=False)
    return instructions("answer").format(schema=schema)
