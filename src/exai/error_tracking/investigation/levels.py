"""How sure a report is: computed of what was checked, never said by a model.

=========  ==========================================================================================================
level      needs
=========  ==========================================================================================================
likely     every citation of every step holds, each step has one, there are two, one of them of where it went wrong,
           and the second opinion confirms with a citation of its own that holds
possible   a citation that holds, and no refutation that does
disputed   a second opinion that refutes, with a citation that holds
unknown    else
=========  ==========================================================================================================
"""

from collections.abc import Sequence
from typing import Literal

from exai.error_tracking.investigation.citations import CheckedCitation, CheckedStep

__all__ = ["Level", "level_of"]

Level = Literal["likely", "possible", "disputed", "unknown"]

LEAST_VERIFIED = 2


def level_of(
    chain: Sequence[CheckedStep], verdict: str | None, counter: Sequence[CheckedCitation] = ()
) -> Level:
    """Compute the level of a claim.

    Args:
        chain: its steps.
        verdict: of the second opinion; `None`: there is none.
        counter: the citations of the second opinion.
    """
    verified = [each for step in chain for each in step.citations if each.is_verified]
    holds = any(each.is_verified for each in counter)
    if verdict == "refutes" and holds:
        return "disputed"
    if not verified:
        return "unknown"
    is_sure = (
        all(step.is_verified for step in chain)
        and len({(each.citation.evidence, each.citation.quote) for each in verified}) >= LEAST_VERIFIED
        and any(each.at_failing_place for each in verified)
    )
    return "likely" if is_sure and verdict == "confirms" and holds else "possible"
