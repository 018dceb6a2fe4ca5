"""Builds what asks models: providers, admission, breakers and retries."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from exai.app.monitoring import Monitoring
from exai.app.storage import Storage
from exai.config import Settings
from exai.config.demo import EMULATED_PROVIDERS
from exai.files.heavy_work import HeavyWork
from exai.routing.admission import Admission
from exai.routing.breaker import Breakers
from exai.routing.request import Asking
from exai.routing.retry import RetryPolicy
from exai.routing.router import ModelRouter
from exai.runtime.clock import Clock

__all__ = ["open_models"]


@asynccontextmanager
async def open_models(
    settings: Settings,
    storage: Storage,
    monitoring: Monitoring,
    clock: Clock,
    work: HeavyWork,
    *,
    demo: bool,
) -> AsyncIterator[Asking]:
    """Make every configured model askable; leaving closes the connections to providers.

    Raises:
        StartFault: a setting names a model or a provider that does not exist.
    """
    breakers = Breakers(settings.breaker, clock, monitoring.bus.publish)
    router = ModelRouter.from_settings(
        settings.providers,
        settings.models,
        settings.timeouts,
        clock,
        available=breakers.available,
        copies=storage.copies,
        files=settings.files,
        work=work,
    )
    try:
        admission = Admission(settings.admission, clock)
        monitoring.metrics.read_samples(admission.samples)
        retry = RetryPolicy(settings.retry, clock)
        emulated = EMULATED_PROVIDERS if demo else frozenset()
        yield Asking(admission, router, breakers, retry, monitoring.bus, clock, emulated)
    finally:
        await router.close()
