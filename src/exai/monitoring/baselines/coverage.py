"""How much of a period EXAI was alive, by the heartbeats of its runs."""

from collections.abc import Iterable
from datetime import datetime, timedelta

import msgspec

from exai.storage.fleet.replicas import ReplicaRow

__all__ = ["BEAT", "Coverage", "Gap", "coverage_of"]

BEAT = timedelta(seconds=10)
"""Between two heartbeats; how long a run that did not end in order may have lived after its last one."""


class Gap(msgspec.Struct, frozen=True):
    """A stretch in which no run was alive."""

    began: datetime
    ended: datetime


class Coverage(msgspec.Struct, frozen=True):
    """The share of a period in which a run was alive, and when none was."""

    share: float
    gaps: tuple[Gap, ...]
    runs: int
    releases: tuple[str, ...]
    """As they followed one another; more than one is a change within the period."""
    settings_digests: tuple[str, ...]


def coverage_of(
    runs: Iterable[ReplicaRow], began: datetime, ended: datetime, beat: timedelta = BEAT
) -> Coverage:
    """Compute what of a period is covered by runs, which may overlap."""
    alive = sorted(
        (
            max(began, run.began_at),
            min(ended, run.ended_at or run.beat_at + beat),
            run.release,
            run.settings_digest,
        )
        for run in runs
    )
    alive = [each for each in alive if each[0] < each[1]]
    gaps, covered_to, missing = [], began, timedelta()
    for start, end, _, _ in alive:
        if start > covered_to:
            gaps.append(Gap(covered_to, start))
            missing += start - covered_to
        covered_to = max(covered_to, end)
    if covered_to < ended:
        gaps.append(Gap(covered_to, ended))
        missing += ended - covered_to
    whole = ended - began
    share = 1 - missing / whole if whole else 0.0
    return Coverage(
        share,
        tuple(gaps),
        len(alive),
        tuple(dict.fromkeys(release for _, _, release, _ in alive)),
        tuple(dict.fromkeys(digest for _, _, _, digest in alive)),
    )
