"""Sends what is written down for webhooks: each delivery by a job of its own.

The order of truth: the row of a delivery is committed with the change that it tells, and the change never waits for
more. A look at what is new decides whether it is sent or held back; then its job begins. An attempt is taken in the
row before it is made, and the row says when the next one is due. A crash in between leaves what the next look, or the
job, goes on with; a receiver may get a message twice, under one `webhook-id`.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import structlog

from exai.config import Jobs as JobSettings
from exai.config import Settings
from exai.config.watching.notify import Webhook
from exai.error_tracking.tracker import ErrorGroupOpened, ErrorRegressed
from exai.events.bus import EventBus
from exai.events.events import BreakerOpened, Event, ObservationOpened
from exai.jobs.job import Jobs, State
from exai.jobs.kinds import Done, End, Kind, RunningJob, Snooze
from exai.monitoring.notification.messages import encoded
from exai.runtime.clock import Clock
from exai.runtime.samples import Sample
from exai.runtime.start.later import LaterModule
from exai.storage.notices.deliveries import Deliveries, Delivery
from exai.storage.notices.writing import target_of
from exai.web.hosts import EVERY_ADDRESS

if TYPE_CHECKING:
    from exai.monitoring.notification import webhook as posting
    from exai.runtime.network.checked_addresses import MakeResolver
else:
    posting = LaterModule("exai.monitoring.notification.webhook")

__all__ = ["DELIVER_NOTICE", "Notification", "operations_url"]

_log = structlog.get_logger(__name__)

DELIVER_NOTICE = "deliver_notice"
PRINCIPAL = "exai:notify"
DAY_S = 86_400.0


class Notification:
    """Begins the jobs of deliveries that are due, and runs these."""

    def __init__(
        self,
        settings: Settings,
        deliveries: Deliveries,
        clock: Clock,
        *,
        resolver: "MakeResolver | None" = None,
        timeout_s: float | None = None,
    ) -> None:
        """`resolver` makes what is asked for addresses instead of the system's."""
        notify = settings.notify
        self.webhooks: Mapping[str, Webhook] = {
            target_of(webhook.url.get_secret_value()): webhook for webhook in notify.webhooks
        }
        self._secret = None if notify.secret is None else notify.secret.get_secret_value()
        self._link = operations_url(settings)
        self._deliveries = deliveries
        self._clock = clock
        self._resolver = resolver
        self._timeout_s = timeout_s
        self._begun: set[str] = set()
        """Deliveries whose jobs this process began, until they are over."""
        self.sent = 0
        self.failed = 0
        self.wake = asyncio.Event()
        """Set where something may be new."""

    def watch(self, bus: EventBus) -> None:
        """Look soon where an event says that something may be new."""
        kinds: Sequence[type[Event]] = (ErrorGroupOpened, ErrorRegressed, ObservationOpened, BreakerOpened)
        for kind in kinds:
            bus.watch(lambda _event: self.wake.set(), kind)

    def samples(self) -> list[Sample]:
        """Return the metrics."""
        return [
            Sample("notices_sent", "Deliveries that webhooks accepted.", self.sent, is_total=True),
            Sample("notices_failed", "Deliveries that were given up.", self.failed, is_total=True),
        ]

    def kind(self, settings: JobSettings) -> Kind:
        """The kind of job that sends one delivery."""
        return Kind(
            DELIVER_NOTICE,
            self.run,
            keep_done_s=settings.keep_done_days * DAY_S,
            keep_dead_s=settings.keep_dead_days * DAY_S,
        )

    async def start_jobs(self, jobs: Jobs) -> None:
        """Decide what of the new is sent, and begin a job for whatever is due.

        A job that is known already is not begun again, so this completes what a crash left out.

        Raises:
            StoreFailed: a database did not keep it.
        """
        await self._deliveries.pass_new()
        due = await self._deliveries.due()
        self._begun &= set(due)
        for delivery_id in due:
            if delivery_id in self._begun:
                continue
            arguments = {"delivery_id": delivery_id}
            job_id = await jobs.start(DELIVER_NOTICE, arguments, key=delivery_id, principal=PRINCIPAL)
            self._begun.add(delivery_id)
            job = await jobs.find(job_id)
            if job is not None and job.state is State.DEAD:
                await self._give_up(delivery_id, "its job died")

    async def run(self, job: RunningJob) -> End:
        """Make the next attempt of a delivery, if it is due; the row says when the one after it is.

        Raises:
            StoreFailed: the database is away; the job is tried again.
        """
        delivery_id = str(job.arguments["delivery_id"])
        attempt = await self._deliveries.take(delivery_id)
        delivery = attempt.delivery
        if delivery is None:
            return Done() if attempt.wait_s is None else Snooze(attempt.wait_s)
        webhook = self.webhooks.get(delivery.target)
        if webhook is None:
            await self._deliveries.end(delivery_id, "dropped", "its webhook is not in the settings any more")
            return Done()
        try:
            await self._post(webhook, delivery)
        except posting.PostFailed as failure:
            return await self._failed(delivery, failure)
        await self._deliveries.end(delivery_id, "sent")
        self.sent += 1
        return Done()

    async def _post(self, webhook: Webhook, delivery: Delivery) -> None:
        told: dict[str, Any] = msgspec.json.decode(delivery.body)
        body = encoded(delivery.kind, delivery.at, told, self._link, webhook.format)
        await posting.post(
            webhook,
            body,
            delivery.delivery_id,
            secret=self._secret,
            clock=self._clock,
            resolver=None if self._resolver is None else self._resolver(),
            timeout_s=posting.TIMEOUT_S if self._timeout_s is None else self._timeout_s,
        )

    async def _failed(self, delivery: Delivery, failure: "posting.PostFailed") -> End:
        if failure.is_gone:
            await self._give_up(delivery.delivery_id, str(failure))
            return Done()
        following = await self._deliveries.note_failure(delivery.delivery_id, str(failure))
        if following.wait_s is not None:
            return Snooze(following.wait_s)
        self._warn(delivery.delivery_id, str(failure))
        return Done()

    async def _give_up(self, delivery_id: str, reason: str) -> None:
        await self._deliveries.end(delivery_id, "failed", reason)
        self._warn(delivery_id, reason)

    def _warn(self, delivery_id: str, reason: str) -> None:
        self.failed += 1
        _log.warning("a webhook was not told", delivery=delivery_id, reason=reason)


def operations_url(settings: Settings) -> str:
    """Return the address of the operations port, as receivers are told it."""
    if settings.notify.operations_url is not None:
        return str(settings.notify.operations_url)
    server = settings.server
    host = EVERY_ADDRESS.get(server.host, server.host)
    host = f"[{host}]" if ":" in host else host
    return f"http://{host}:{server.operations_port}"
