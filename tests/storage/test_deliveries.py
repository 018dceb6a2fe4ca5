"""Deliveries are rows that are written with the change that they tell, and are let through within bounds."""

import asyncio
from collections import Counter
from datetime import timedelta

import msgspec

from exai.config.watching.notify import NoticeKind, Notify
from exai.runtime.clock import ManualClock
from exai.storage.auditor.observations import Observations, Seen, Severity
from exai.storage.calls.budgets import BudgetGrants, Limit, Wanted
from exai.storage.database import Database
from exai.storage.notices.deliveries import MOST_ATTEMPTS, Deliveries, Delivery
from exai.storage.notices.writing import Notice, NoticeWriter, Targets, target_of

URL = "https://hooks.example.org/one"
TARGET = target_of(URL)


def targets(*kinds: NoticeKind) -> Targets:
    hook = {"url": URL, "kinds": kinds} if kinds else {"url": URL}
    return Targets.of(Notify.model_validate({"webhooks": [hook]}))


class Told:
    """What is written down and let through, on a clock by hand."""

    def __init__(self, database: Database) -> None:
        self.clock = ManualClock()
        self.deliveries = Deliveries(database, self.clock)
        self.database = database
        self.writer = NoticeWriter(database, targets())

    async def tell(self, about: str, kind: NoticeKind = "error.new", times: int = 1) -> None:
        for _ in range(times):
            self.writer.write_soon(Notice(kind, about, "A title", {"seen": 1}), self.clock.utc())
        await self.deliveries.end("msg_none", "sent")  # of the same queue: what is before it is written

    async def let_through(self) -> list[Delivery]:
        await self.deliveries.pass_new()
        return list(await self.deliveries.listing(state="due", most=1_000))


async def test_nothing_is_written_where_no_webhook_wants_the_kind(database: Database) -> None:
    clock = ManualClock()
    writer = NoticeWriter(database, targets("error.regressed"))
    writer.write_soon(Notice("error.new", "E-1", "A title", {}), clock.utc())
    writer.write_soon(Notice("error.regressed", "E-1", "A title", {}), clock.utc())
    deliveries = Deliveries(database, clock)
    await deliveries.end("msg_none", "sent")
    assert [each.kind for each in await deliveries.listing()] == ["error.regressed"]


async def test_an_hour_has_room_for_thirty_and_one_of_each_kind_and_group_the_rest_is_a_digest(
    database: Database,
) -> None:
    told = Told(database)
    await told.tell("E-1", times=3)
    await told.tell("E-1", "error.regressed")
    for number in range(2, 40):
        await told.tell(f"E-{number}")
    passed = await told.let_through()
    assert len(passed) == 29
    assert max(Counter((each.kind, each.about) for each in passed).values()) == 1
    held = await told.deliveries.listing(state="held", most=1_000)
    assert len(held) == 3 + 1 + 38 - 29
    told.clock.advance(3_599)
    assert len(await told.let_through()) == 29
    told.clock.advance(2)
    (digest,) = [each for each in await told.let_through() if each.kind == "digest"]
    assert sum(msgspec.json.decode(digest.body)["counts"].values()) == 13
    assert "E-1" in msgspec.json.decode(digest.body)["among"]
    assert await told.deliveries.listing(state="held") == []
    assert len(await told.deliveries.listing(state="digested", most=100)) == 13
    await told.tell("E-1")
    assert len(await told.let_through()) == 31, "the next hour has room again"


async def test_no_hour_has_more_than_thirty_whatever_comes(database: Database) -> None:
    told = Told(database)
    for minute in range(180):
        await told.tell(f"E-{minute}")
        await told.tell(f"E-{minute + 1_000}")
        await told.let_through()
        told.clock.advance(60)
    rows = await told.deliveries.listing(most=1_000)
    moments = sorted(each.next_at for each in rows if each.state == "due" and each.next_at is not None)
    hour = timedelta(hours=1)
    assert max(sum(begin <= at < begin + hour for at in moments) for begin in moments) == 30
    counted = sum(
        sum(msgspec.json.decode(each.body)["counts"].values()) for each in rows if each.kind == "digest"
    )
    single = sum(each.state == "due" and each.kind != "digest" for each in rows)
    waiting = sum(each.state == "held" for each in rows)
    assert single + counted + waiting == 360


async def test_an_attempt_is_taken_once_and_there_are_eight_within_a_day(database: Database) -> None:
    told = Told(database)
    await told.tell("E-1")
    (delivery,) = await told.let_through()
    began = told.clock.wall()
    attempts = 0
    while True:
        tries = await asyncio.gather(*(told.deliveries.take(delivery.delivery_id) for _ in range(2)))
        taken = [each for each in tries if each.delivery is not None]
        assert len(taken) == 1, "two that want it at once do not both have it"
        attempts += 1
        following = await told.deliveries.note_failure(delivery.delivery_id, "status 500")
        if following.wait_s is None:
            break
        told.clock.advance(following.wait_s)
    assert attempts == MOST_ATTEMPTS
    assert 12 * 3_600 < told.clock.wall() - began < 24 * 3_600
    (row,) = await told.deliveries.listing()
    assert (row.state, row.attempts, row.failure) == ("failed", 8, "status 500")
    assert (await told.deliveries.take(delivery.delivery_id)).delivery is None


async def test_attempts_whose_process_died_count(database: Database) -> None:
    told = Told(database)
    await told.tell("E-1")
    (delivery,) = await told.let_through()
    for _ in range(MOST_ATTEMPTS):
        assert (await told.deliveries.take(delivery.delivery_id)).delivery is not None
        following = await told.deliveries.take(delivery.delivery_id)
        assert following.wait_s is not None
        told.clock.advance(following.wait_s)
    assert (await told.deliveries.take(delivery.delivery_id)).wait_s is None
    assert [each.state for each in await told.deliveries.listing()] == ["failed"]


async def test_a_critical_observation_is_told_when_it_opens_or_gets_worse_and_no_exercise_is(
    database: Database,
) -> None:
    clock = ManualClock()
    observations = Observations(database, clock, targets())
    deliveries = Deliveries(database, clock)

    async def see(subject: str, severity: Severity) -> None:
        seen = Seen(f"obs_{subject}", "loop", subject, severity, "performance", {"lag ms": 1}, "Look.", 0.0)
        await observations.see(seen)

    await see("all", "warning")
    assert await deliveries.listing() == []
    for _ in range(3):
        await see("all", "critical")
    await see("exercise:x/all", "critical")
    await see("other", "warning")
    await observations.change("obs_other", severity="critical")
    rows = await deliveries.listing()
    assert {msgspec.json.decode(each.body)["id"] for each in rows} == {"obs_all", "obs_other"}
    assert len(rows) == 2
    assert all("other" not in msgspec.json.decode(each.body)["title"] for each in rows)


async def test_a_spent_budget_is_told_once_an_hour(database: Database) -> None:
    clock = ManualClock()
    grants, deliveries = BudgetGrants(database, clock, targets()), Deliveries(database, clock)
    one = Wanted("auditor", "call_1", 0.01, (Limit(7_200.0, requests=1),))
    nothing = Wanted("other", "call_1", 0.01, (Limit(3_600.0, requests=0),))
    assert await grants.grant(one) is None
    for _ in range(3):
        assert await grants.grant(one) is not None
        assert await grants.grant(nothing) is not None
    (row,) = await deliveries.listing()
    assert msgspec.json.decode(row.body) == {
        "id": "auditor",
        "title": "The budget of auditor is spent",
        "counts": {"hours": 2.0, "requests": 1},
    }
    clock.advance(3_601)
    await grants.grant(one)
    assert len(await deliveries.listing()) == 2
