"""Builds the auditor, and what its model may ask."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import Any

from exai import config
from exai.app.duties import auditor_duties
from exai.app.monitoring import Monitoring
from exai.app.storage import Storage
from exai.auth.scopes import MODELS
from exai.callers import Caller, Door
from exai.config import Settings
from exai.dispatch.dispatcher import Dispatcher
from exai.dispatch.purses import BudgetSpent, Purse
from exai.monitoring.auditor.auditor import Auditor
from exai.monitoring.auditor.explaining import PURSE, Ask, Explainer, Reply
from exai.monitoring.resident_memory import resident_mib
from exai.routing.request import Asking
from exai.runtime.clock import Clock
from exai.runtime.periodic import Scheduler
from exai.storage.calls.budgets import Limit

__all__ = ["AUDITOR", "auditor_purses", "build_auditor", "open_auditor"]

AUDITOR = Caller("exai:auditor", Door.INSIDE, client="exai", scopes=frozenset({MODELS}))

_HOUR_S, _DAY_S = 3_600.0, 86_400.0
_LIMITS: Mapping[str, tuple[Limit, ...]] = MappingProxyType(
    {
        "off": (Limit(_HOUR_S, requests=0),),
        "watch": (Limit(_HOUR_S, requests=0),),
        "controlled": (Limit(_HOUR_S, requests=30), Limit(_DAY_S, usd=0.25)),
        "sustained": (Limit(_HOUR_S, requests=60), Limit(_DAY_S, usd=1.0)),
    }
)
"""What the auditor may ask, by its mode."""


def build_auditor(storage: Storage, monitoring: Monitoring, clock: Clock) -> Auditor:
    """Build an auditor that watches nothing yet."""
    return Auditor(storage.observations, storage.windows, clock, monitoring.bus.publish)


def auditor_purses(settings: config.Auditor) -> dict[str, Purse]:
    """Return the purse of the auditor, by its subject."""
    purse = Purse(PURSE, "auditor.mode", settings.request_usd, _LIMITS[settings.mode])
    return {AUDITOR.subject: purse}


@asynccontextmanager
async def open_auditor(
    settings: Settings,
    storage: Storage,
    monitoring: Monitoring,
    asking: Asking,
    auditor: Auditor,
    dispatcher: Dispatcher,
    scheduler: Scheduler,
    *,
    wanted: bool,
) -> AsyncIterator[None]:
    """Watch within this scope, unless the settings say that nothing is watched."""
    mode = settings.auditor.mode
    if not wanted or mode == "off":
        yield
        return
    lag = monitoring.loop_lag.follow()

    def levels() -> dict[str, float]:
        total = asking.admission.total
        memory = resident_mib()
        return {
            "loop_lag_s": lag(),
            "permits_free": total.limit - total.in_use,
            "calls_waiting": asking.admission.waiting,
            "pending_writes": storage.database.pending_durable_writes,
            **({} if memory is None else {"rss_mib": memory}),
        }

    explainer = None
    if mode != "watch":
        explainer = Explainer(auditor.observations, _asks(dispatcher, settings.auditor.model), asking.clock)
        explainer.watch(monitoring.bus)
    auditor.read_levels(levels)
    monitoring.metrics.read_samples(auditor.samples)
    await auditor.recall()
    auditor.watch(monitoring.bus)
    async with scheduler.running(*auditor_duties(auditor, explainer)):
        yield
    auditor.write_soon()


def _asks(dispatcher: Dispatcher, model: str) -> Ask:
    """Return what asks a model as a call of the auditor, granted by its purse."""

    async def ask(prompt: str) -> Reply:
        answer = await dispatcher.call(
            "chat", {"prompt": prompt, "model": model, "effort": "low"}, caller=AUDITOR
        )
        if not answer.is_error and answer.structured is not None:
            return Reply(str(answer.structured.get("answer", "")))
        error: Mapping[str, Any] = (answer.meta or {}).get("exai/error", {})
        spent = error.get("code") == BudgetSpent.code
        return Reply(None, float(error.get("retry_after_s") or _DAY_S) if spent else 0.0)

    return ask
