"""Findings and verdicts, on both databases: their owner's alone, the latest one counts."""

from datetime import timedelta

import msgspec
import pytest

from exai.errors import BadArguments
from exai.runtime.clock import ManualClock
from exai.storage.database import Database
from exai.storage.workflows.findings import FindingTables, ShownFinding, VerdictsOfModels
from exai.workflows.review.verdicts import Verdicts

CLOCK = ManualClock()
SHOWN = ShownFinding(
    finding_id="f_1",
    owner="anna",
    repository="/repo",
    fingerprint="a" * 32,
    category="logic",
    severity="high",
    path="a.py",
    symbol="f",
    quote="x = 1\x00",
    models="glm-5.3, kimi-k3",
    kind="full",
    month="2026-11",
    shown_at=CLOCK.utc(),
)


@pytest.fixture
def tables(database: Database) -> FindingTables:
    return FindingTables(database)


async def test_a_finding_is_its_owners_and_is_replaced_when_it_is_shown_again(tables: FindingTables) -> None:
    await tables.show([SHOWN])
    later = msgspec.structs.replace(SHOWN, severity="low", shown_at=CLOCK.utc() + timedelta(days=1))
    await tables.show([later, msgspec.structs.replace(SHOWN, owner="ben")])
    found = await tables.find("anna", "f_1")
    assert found is not None
    assert (found.severity, found.shown_at) == ("low", later.shown_at)
    assert await tables.find("eve", "f_1") is None
    assert [each.verdict for each in await tables.of_repository("anna", "/repo")] == [None]
    assert await tables.of_repository("anna", "/other") == []


async def test_the_latest_verdict_counts_and_is_its_owners(tables: FindingTables) -> None:
    await tables.show([SHOWN, msgspec.structs.replace(SHOWN, fingerprint="b" * 32, finding_id="f_2")])
    verdicts = Verdicts(tables, CLOCK)
    await verdicts.judge("anna", "f_1", "accepted", "")
    assert await verdicts.judge("anna", " f_1 ", "dismissed", " meant so ") == (
        "f_1 (a.py, logic) is dismissed: meant so"
    )
    judged = await tables.of_repository("anna", "/repo")
    assert {each.finding.finding_id: (each.verdict, each.reason) for each in judged} == {
        "f_1": ("dismissed", "meant so"),
        "f_2": (None, ""),
    }
    counts = {(each.verdict, each.findings) for each in await verdicts.counts("anna")}
    assert counts == {("dismissed", 1), ("none", 1)}
    assert await verdicts.counts("ben") == ()
    with pytest.raises(BadArguments, match="you have no finding 'f_1'"):
        await verdicts.judge("ben", "f_1", "wrong", "")
    with pytest.raises(BadArguments, match="Argument 'verdict'"):
        await verdicts.judge("anna", "f_1", None, "")


async def test_what_was_judged_is_counted_by_models_and_is_the_owners_of_that_kind(
    tables: FindingTables,
) -> None:
    shown = [
        msgspec.structs.replace(
            SHOWN, finding_id=f"f_{number}", fingerprint=str(number), models=models, kind=kind
        )
        for number, (models, kind) in enumerate(
            [("kimi-k3", "full"), ("kimi-k3", "full"), ("glm-5.3, kimi-k3", "full"), ("kimi-k3", "security")]
        )
    ]
    await tables.show(shown)
    verdicts = Verdicts(tables, CLOCK)
    assert await tables.judged("anna", "full") == []
    await verdicts.judge("anna", "f_0", "wrong", "")
    await verdicts.judge("anna", "f_1", "dismissed", "")
    await verdicts.judge("anna", "f_2", "fixed", "")
    await verdicts.judge("anna", "f_3", "wrong", "")
    assert await tables.judged("anna", "full") == [
        VerdictsOfModels("glm-5.3, kimi-k3", 1, 0),
        VerdictsOfModels("kimi-k3", 2, 1),
    ]
    assert await tables.judged("ben", "full") == []
