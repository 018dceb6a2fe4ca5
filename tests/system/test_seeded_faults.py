"""A share of the seeded faults in a real daemon: what the report says without a model, and that the evidence decides.

`scripts/bench investigate` has all twenty.
"""

from pathlib import Path

import pytest

from support.seeded_faults import SEEDED, judge

pytestmark = pytest.mark.virtual_time

SHARE = ("429", "quota", "limit", "old schema", "KeyError", "blocked loop", "regression", "Python program")


@pytest.mark.parametrize("name", SHARE)
async def test_a_seeded_fault_is_reported_and_its_evidence_decides(name: str, tmp_path: Path) -> None:
    (seeded,) = (each for each in SEEDED if each.name == name)
    judged = await judge(seeded, tmp_path)
    assert judged.is_right, judged.report
    assert judged.has_deciding, judged.bundle


def test_there_are_twenty_of_four_areas() -> None:
    areas = [each.area for each in SEEDED]
    assert {area: areas.count(area) for area in set(areas)} == {
        "provider": 7,
        "set-up": 6,
        "ours": 5,
        "outside": 2,
    }
