"""What is written down for webhooks is sent afterwards, by jobs, whatever becomes of the webhook."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from exai.app.watching.notification import DELIVER_NOTICE, Notification
from exai.config import Settings
from exai.error_tracking.states import resolve
from exai.jobs.job import State
from exai.jobs.testing import JobsByHand
from exai.monitoring.notification.signing import new_secret
from exai.runtime.clock import ManualClock
from exai.storage.database import Database
from exai.storage.error_tracking.investigations import Finished, InvestigationTables
from exai.storage.notices.deliveries import Deliveries
from exai.storage.notices.writing import Targets
from support.tracked_faults import Tracked, tracked
from support.waiting import wait_until
from support.webhook_targets import WebhookTarget, webhook_target

pytestmark = pytest.mark.sqlite

SECRET = new_secret()


class Telling:
    """A process that counts faults, and tells a webhook of them."""

    def __init__(self, database: Database, target: WebhookTarget, **changed: object) -> None:
        hook = {"url": target.url, "private": True, **changed}
        self.settings = Settings.model_validate({"notify": {"webhooks": [hook], "secret": SECRET}})
        self.database, self.clock = database, ManualClock()
        self.deliveries = Deliveries(database, self.clock)
        self.notification = Notification(self.settings, self.deliveries, self.clock, timeout_s=0.5)
        self.jobs = JobsByHand([self.notification.kind(self.settings.jobs)], self.clock)

    async def process(self) -> Tracked:
        return await tracked(self.database, self.clock, targets=Targets.of(self.settings.notify))

    async def send(self) -> None:
        await self.notification.start_jobs(self.jobs)
        await self.jobs.drain()

    async def states(self) -> list[str]:
        return [each.state for each in await self.deliveries.listing()]


@pytest.fixture
async def target() -> AsyncIterator[WebhookTarget]:
    async with webhook_target() as target:
        yield target


async def test_a_new_group_a_regressed_and_an_escalating_one_are_told_without_a_word_of_the_error(
    database: Database, target: WebhookTarget
) -> None:
    telling = Telling(database, target)
    process = await telling.process()
    process.fail("the password of alice@example.org is wrong", KeyError)
    await process.counted()
    await telling.send()
    (new,) = target.received
    told = new.told
    assert told["type"] == "error.new"
    assert told["data"]["id"] == "E-1"
    assert told["data"]["title"] == "KeyError"
    assert told["data"]["counts"] == {"seen": 1, "now": 1}
    assert b"alice" not in new.body

    await process.groups.decide(
        1, lambda row: resolve(row, at=telling.clock.utc()), version=None, actor="bob"
    )
    telling.clock.advance(61)
    process.fail("the password of alice@example.org is wrong", KeyError)
    await process.counted()
    await telling.send()
    for _ in range(20):
        process.fail("the password of alice@example.org is wrong", KeyError)
    await process.counted()
    process.fail("the password of alice@example.org is wrong", KeyError)
    await process.counted()
    await telling.send()
    assert [each.told["type"] for each in target.received] == [
        "error.new",
        "error.regressed",
        "error.escalating",
    ]


async def test_the_end_of_an_investigation_is_told_without_what_it_found(
    database: Database, target: WebhookTarget
) -> None:
    telling = Telling(database, target, kinds=["investigation.ended"])
    process = await telling.process()
    process.fail("x", KeyError)
    (group,) = await process.counted()
    tables = InvestigationTables(database, telling.clock, Targets.of(telling.settings.notify))
    asked = await tables.ask(group.group_id, "asked", "alice")
    assert asked is not None
    await tables.begin(asked.investigation_id)
    finished = Finished(investigation_id=asked.investigation_id, state="done", level="likely", report="{}")
    assert await tables.finish(finished)
    await telling.send()
    (received,) = target.received
    assert received.told["data"]["title"] == "KeyError: done, likely"
    assert received.told["data"]["id"] == "E-1"


async def test_what_was_put_right_is_no_news_until_it_fails_somebody(
    database: Database, target: WebhookTarget
) -> None:
    telling = Telling(database, target)
    process = await telling.process()
    process.fail("x", handled=True)
    await process.counted()
    await telling.send()
    assert target.received == []
    process.fail("x")
    await process.counted()
    await telling.send()
    assert [each.told["type"] for each in target.received] == ["error.new"]


async def test_a_change_does_not_wait_for_a_webhook_that_is_slow(
    database: Database, target: WebhookTarget
) -> None:
    telling = Telling(database, target)
    process = await telling.process()
    process.fail("x", KeyError)
    await process.counted()
    target.open.clear()
    sending = asyncio.create_task(telling.send())
    await wait_until(lambda: len(target.received) == 1, what="the message is under way")
    process.fail("y", ValueError)
    assert len(await process.counted()) == 2
    assert not sending.done()
    target.open.set()
    await sending
    assert sorted(await telling.states()) == ["new", "sent"]


async def test_a_webhook_that_never_accepts_is_tried_eight_times_within_a_day(
    database: Database, target: WebhookTarget
) -> None:
    telling = Telling(database, target)
    process = await telling.process()
    process.fail("x")
    await process.counted()
    target.statuses = [500] * 100
    began = telling.clock.wall()
    await telling.notification.start_jobs(telling.jobs)
    (job,) = await telling.jobs.drain(waiting=True)
    assert (job.kind, job.state) == (DELIVER_NOTICE, State.DONE)
    assert telling.clock.wall() - began < 86_400
    assert len(target.received) == 8
    assert len({each.message_id for each in target.received}) == 1
    assert len({each.headers["webhook-timestamp"] for each in target.received}) == 8
    assert await telling.states() == ["failed"]
    assert telling.notification.failed == 1
    await telling.notification.start_jobs(telling.jobs)
    assert telling.jobs.enqueued() == []


async def test_one_that_accepts_later_gets_the_message_then_and_one_that_is_gone_none_again(
    database: Database, target: WebhookTarget
) -> None:
    telling = Telling(database, target)
    process = await telling.process()
    process.fail("x", KeyError)
    process.fail("x", ValueError)
    await process.counted()
    target.statuses = [503, 410]
    await telling.notification.start_jobs(telling.jobs)
    await telling.jobs.drain(waiting=True)
    assert sorted(await telling.states()) == ["failed", "sent"]
    assert len(target.received) == 3


async def test_a_process_that_died_between_the_change_and_the_sending_leaves_it_to_the_next(
    database: Database, target: WebhookTarget
) -> None:
    telling = Telling(database, target)
    process = await telling.process()
    process.fail("x")
    await process.counted()
    following = Telling(database, target)
    following.clock.advance(10)
    await following.send()
    await telling.send()
    assert len(target.received) == 1
    assert await telling.states() == ["sent"]


async def test_a_webhook_that_left_the_settings_is_told_nothing(
    database: Database, target: WebhookTarget
) -> None:
    telling = Telling(database, target)
    process = await telling.process()
    process.fail("x")
    await process.counted()
    other = Telling(database, target)
    other.notification.webhooks = {}
    await other.send()
    assert (target.received, await other.states()) == ([], ["dropped"])


async def test_nothing_is_told_of_a_change_that_was_not_kept(
    database: Database, target: WebhookTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    telling = Telling(database, target)
    process = await telling.process()

    def broken(*_: object) -> None:
        raise RuntimeError

    with monkeypatch.context() as patch:
        patch.setattr("exai.storage.error_tracking.counting._add_counts", broken)
        process.fail("x")
        with pytest.raises(RuntimeError):
            await process.tracker.flush()
    assert await telling.deliveries.listing() == []
