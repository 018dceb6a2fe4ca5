"""Findings that several passes name are one, with their votes added."""

from collections.abc import Iterable, Sequence

import msgspec

from exai.workflows.review.categories import rank
from exai.workflows.review.findings import Candidate
from exai.workflows.review.fingerprints import identifiers

__all__ = ["merge"]

NEAR_LINES = 5
"""How far two findings of one category may be from each other; those of two share a line."""
LEAST_SHARED = 2
"""Names that two findings near each other share where they are one."""
_BEST = ("verified", "moved", "wrong_file", "near")


def merge(candidates: Iterable[Candidate]) -> tuple[list[Candidate], list[Candidate]]:
    """Return the findings that are left, in their order, and those that went into another one.

    Of several the one with the best citation is left, with the worst severity and the votes of all passes.
    """
    groups: list[list[Candidate]] = []
    for candidate in candidates:
        group = next((each for each in groups if any(_are_one(candidate, other) for other in each)), None)
        if group is None:
            groups.append([candidate])
        else:
            group.append(candidate)
    left, gone = [], []
    for group in groups:
        best = min(group, key=_standing)
        left.append(_joined(best, group))
        gone += [each for each in group if each is not best]
    return left, gone


def _are_one(one: Candidate, other: Candidate) -> bool:
    if one.fingerprint == other.fingerprint:
        return True
    here, there = one.reported, other.reported
    apart = max(here.first, there.first) - min(here.last, there.last)
    if here.path != there.path or apart > (NEAR_LINES if here.category == there.category else 0):
        return False
    shared = identifiers(here.quote, here.message) & identifiers(there.quote, there.message)
    return len(shared) >= LEAST_SHARED


def _standing(candidate: Candidate) -> tuple[int, int]:
    state = candidate.citation
    return (
        _BEST.index(state) if state in _BEST else len(_BEST),
        rank(candidate.reported.severity),
    )


def _joined(best: Candidate, group: Sequence[Candidate]) -> Candidate:
    if len(group) == 1:
        return best
    worst = min((each.reported.severity for each in group), key=rank)
    passes = tuple(dict.fromkeys(name for each in group for name in each.passes))
    remarks = tuple(dict.fromkeys(remark for each in group for remark in each.remarks))
    reported = msgspec.structs.replace(best.reported, severity=worst)
    return msgspec.structs.replace(best, reported=reported, passes=passes, remarks=remarks)
