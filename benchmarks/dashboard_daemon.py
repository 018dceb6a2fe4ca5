"""A daemon for `scripts/bench dashboard`: what it publishes beside its calls is asked for line by line on its stdin."""

import asyncio
import itertools
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from exai.app.daemon import run_daemon
from exai.app.services import Services
from exai.callers import Caller, Door
from exai.config.sources import load
from exai.events.events import CallEnded, CallStarted, ProviderCallEnded
from exai.events.requests import Purpose, RequestRecord
from exai.monitoring import logs
from exai.transports.listener import Addresses

STEP_S = 0.02
CALLERS = [Caller(f"caller-{number}", Door.WEBSOCKET, "bench") for number in range(20)]
EVENTS_OF_A_CALL = 3


def _call(number: int) -> tuple[CallStarted, ProviderCallEnded, CallEnded]:
    call_id, caller = f"call_bench{number}", CALLERS[number % len(CALLERS)]
    milliseconds = 200.0 + number % 97 * 40
    timings = {
        "first_token_ms": milliseconds / 3,
        "generation_ms": milliseconds / 2,
        "latency_ms": milliseconds,
    }
    record = RequestRecord(
        number=1,
        purpose=Purpose.CHAT,
        provider="glm",
        model="glm-5.3",
        attempts=1,
        outcome="ok",
        usage=None,
        unreported=0,
        services={},
        cost_usd=0.001,
        without_price=False,
        timings={},
        began_at=0.0,
        ended_at=1.0,
        emulated=False,
    )
    return (
        CallStarted(call_id, "chat", caller),
        ProviderCallEnded("glm", "glm-5.3", "ok", milliseconds / 1000),
        CallEnded(call_id, "chat", caller, "ok", None, "glm", "glm-5.3", timings, (record,)),
    )


async def _publish(services: Services, rate: list[float]) -> None:
    publish = services.monitoring.bus.publish
    numbers, owed = itertools.count(), 0.0
    while True:
        owed += rate[0] * STEP_S / EVENTS_OF_A_CALL
        while owed >= 1:
            owed -= 1
            for event in _call(next(numbers)):
                publish(event)
        await asyncio.sleep(STEP_S)


async def _serve(data_dir: Path) -> None:
    environ = {**os.environ, "EXAI_DATA_DIR": str(data_dir), "EXAI_JOBS__RUN": "false"}
    settings = load(environ=environ, config_file=None, overrides=(), cwd=data_dir).settings
    logs.configure(settings.logging)
    rate = [0.0]
    publishing: list[asyncio.Task[Any]] = []

    def ready(addresses: Addresses, services: Services) -> None:
        publishing.append(asyncio.ensure_future(_publish(services, rate)))
        loop = asyncio.get_running_loop()
        loop.add_reader(sys.stdin, lambda: rate.__setitem__(0, float(sys.stdin.readline() or 0)))
        sys.stdout.write(json.dumps(asdict(addresses)) + "\n")
        sys.stdout.flush()

    await run_daemon(settings, demo=False, on_ready=ready)


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1])))
