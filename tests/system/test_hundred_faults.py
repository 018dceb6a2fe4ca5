"""A hundred distinct faults of every source are a hundred groups within five seconds, each counted once (E1)."""

import asyncio
import itertools
import json
import secrets
import threading
from collections.abc import Callable, Iterator

import aiohttp
import pytest

from exai.error_tracking.faults import FaultSource
from exai.error_tracking.ingestion.intake import sha256_of
from exai.events.events import BreakerProbed, Event, RequestRecovered
from exai.events.incidents import record_incident
from exai.runtime import tasks
from exai.storage.error_tracking.groups import GroupTables
from exai.storage.error_tracking.projects import ProjectTables
from support.daemon_in_process import DaemonInProcess, StartInProcess
from support.mcp_websocket import mcp_socket

pytestmark = pytest.mark.virtual_time

EACH = 12
WORDS = (
    "amber",
    "birch",
    "coral",
    "delta",
    "ember",
    "flint",
    "grove",
    "heath",
    "ivory",
    "jade",
    "kelp",
    "larch",
)


def errors(source: str) -> Iterator[Exception]:
    """Errors of types that nobody else raises."""
    for number in itertools.count():
        kind = type(f"{source.title()}{WORDS[number % EACH].title()}", (RuntimeError,), {})
        try:
            raise kind(f"{source} failed")
        except RuntimeError as error:
            yield error


class Probe(BreakerProbed, frozen=True):
    """An event that its watcher cannot bear."""


def everywhere(daemon: DaemonInProcess) -> dict[str, Callable[[Exception], object]]:
    """By source: what makes an error of that source out of an exception."""
    services = daemon.services
    bus, loop = services.monitoring.bus, asyncio.get_running_loop()

    async def fail(error: Exception) -> None:
        raise error

    def in_thread(error: Exception) -> None:
        def work() -> None:
            raise error

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()

    def in_watcher(error: Exception) -> None:
        def watch(_: Event) -> None:
            raise error

        kind: type[Event] = type("OneProbe", (Probe,), {}, frozen=True)
        bus.watch(watch, kind)
        bus.publish(kind("glm", "glm-5.3"))

    return {
        "call": lambda error: services.faults.notices.notice(error, FaultSource.CALL),
        "recovery": lambda error: bus.publish(RequestRecovered("glm", "glm-5.3", error)),
        "door": lambda error: record_incident(error, where="port", publish=bus.publish),
        "duty": lambda error: record_incident(error, where="duty x", publish=bus.publish),
        "task": lambda error: tasks.spawn(fail(error), name="x"),
        "watcher": in_watcher,
        "loop": lambda error: loop.call_exception_handler({"message": "x", "exception": error}),
        "thread": in_thread,
    }


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_a_hundred_distinct_faults_are_a_hundred_groups(start_in_process: StartInProcess) -> None:
    async with start_in_process() as daemon:
        services = daemon.services
        groups = GroupTables(services.storage.database, services.clock)
        projects = ProjectTables(services.storage.database, services.clock)
        key = secrets.token_hex(16)
        project = await projects.create("shop", "private", sha256_of(key))
        assert project is not None
        before = services.faults.tracker.seen

        for source, make in everywhere(daemon).items():
            for error in itertools.islice(errors(source), EACH):
                make(error)
        async with mcp_socket(daemon.mcp_ws) as socket:
            for tool in ("chat", "think"):
                await socket.tool(tool, {"prompt": "Hello.", "model": "no-such-model"})
        reports = [{"exceptions": [{"type": f"Outside{word}", "message": "x"}]} for word in WORDS[:2]]
        headers = {"Authorization": f"Bearer {project.project_id}:{key}"}
        async with aiohttp.ClientSession(headers=headers) as http:
            for report in reports:
                async with http.post(f"{daemon.errors}/v1/errors", data=json.dumps([report])) as answer:
                    assert answer.status == 200
        await asyncio.sleep(5)

        found = await groups.listed(state=None, most=1_000)
        tracker = services.faults.tracker
        assert (tracker.seen - before, tracker.lost) == (100, 0)
        assert sum(group.seen for group in found) == 100, "none is counted twice, and none is missing"
        assert len(found) >= 99
