"""Tasks at the doors, before an engine whose call lasts as long as a test wants, on both databases."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from exai.app.monitoring import count_events
from exai.auth.scopes import MODELS, STATUS
from exai.config import Settings
from exai.errors import StoreFailed
from exai.events.bus import EventBus
from exai.monitoring.metrics import Metrics
from exai.runtime.clock import ManualClock
from exai.storage.calls.tasks import TaskRow, TaskTable
from exai.storage.database import Database
from exai.transports.tasks.extension import TaskExtension
from exai.transports.tasks.live import LiveTask
from support.mcp_websocket import mcp_socket
from support.open_doors import Doors, open_doors
from support.scripted_authenticator import ScriptedAuthenticator
from support.task_client import TASKS, TaskClient, over_http, over_websocket
from support.waiting import wait_until

MOST = 2
WORKING = {
    "taskId",
    "status",
    "statusMessage",
    "createdAt",
    "lastUpdatedAt",
    "ttlMs",
    "pollIntervalMs",
    "resultType",
    "_meta",
}


@dataclass
class Served:
    """The doors before an engine, with tasks from the beginning of a call on."""

    doors: Doors
    table: TaskTable
    clock: ManualClock
    authenticator: ScriptedAuthenticator
    metrics: Metrics

    def counts(self) -> list[str]:
        """The samples of the metrics of tasks, but for when they began."""
        lines = self.metrics.exposition().decode().splitlines()
        return [line for line in lines if line.startswith("exai_mcp_tasks") and "_created" not in line]

    @asynccontextmanager
    async def client(
        self, subject: str, scope: str = MODELS, *, http: bool = False
    ) -> AsyncIterator[TaskClient]:
        headers = self.authenticator.issue(f"{subject} {scope}", subject, scope)
        door = over_http(self.doors.http, headers) if http else over_websocket(self.doors.ws, headers=headers)
        async with door as client:
            yield client

    async def is_kept(self, owner: str, task_id: str) -> bool:
        """Whether the end of a task is in its row, which has no arguments then."""
        row = await self.table.find(owner, task_id)
        return row is not None and row.status == "completed" and row.arguments is None


@pytest.fixture
async def served(database: Database) -> AsyncIterator[Served]:
    settings = Settings.model_validate({"workflows": {"task_after_s": 0.01, "tasks_per_caller": MOST}})
    clock, authenticator = ManualClock(), ScriptedAuthenticator()
    table = TaskTable(database, clock)
    bus, metrics = EventBus(), Metrics(version="1")
    count_events(bus, metrics)
    extension = TaskExtension(table, settings, clock, bus)
    async with open_doors(judge=authenticator, extend=[extension.add_to]) as doors:
        yield Served(doors, table, clock, authenticator, metrics)


def left(clock: ManualClock) -> TaskRow:
    """A task whose process has gone."""
    return TaskRow(
        task_id="task_left",
        owner="anna",
        process="gone",
        tool="echo",
        idempotency_key="its key",
        status="working",
        created_at=clock.utc(),
        updated_at=clock.utc(),
        expires_at=clock.utc().replace(year=2100),
        arguments='{"a": 1}',
    )


@pytest.mark.parametrize("http", [False, True], ids=["websocket", "http"])
async def test_a_long_call_becomes_a_task_and_its_result_is_in_it(served: Served, http: bool) -> None:
    async with served.client("anna", http=http) as client:
        task = await client.call("wait", {})
        assert set(task) == WORKING
        assert (task["resultType"], task["status"], task["ttlMs"]) == ("task", "working", 86_400_000)
        assert task["createdAt"].endswith("Z")
        shown = await client.get(task["taskId"])
        assert (shown["resultType"], shown["status"], shown["taskId"]) == (
            "complete",
            "working",
            task["taskId"],
        )
        served.doors.engine.released.set()
        ended = await client.ended(task["taskId"])
        assert ended["status"] == "completed"
        assert ended["result"]["content"] == [{"type": "text", "text": "released"}]
        assert ended["result"]["isError"] is False
        assert (await client.get(task["taskId"]))["result"] == ended["result"], "also from its row"
        assert await client.result("tasks/cancel", taskId=task["taskId"]) is not None
        assert (await client.get(task["taskId"]))["status"] == "completed"


async def test_a_short_call_is_answered_by_its_result(served: Served) -> None:
    served.doors.engine.released.set()
    async with served.client("anna") as client:
        assert (await client.call("echo", {"a": 1}))["resultType"] == "complete"


async def test_nobody_else_gets_one(served: Served) -> None:
    async with served.client("anna") as client:
        client.declares = False
        asking = asyncio.get_running_loop().create_task(client.call("wait", {}))
        await served.doors.engine.started.wait()
        served.doors.engine.released.set()
        assert (await asking)["resultType"] == "complete"
        for method in ("tasks/get", "tasks/update", "tasks/cancel"):
            error = (await client.request(method, taskId="task_0", inputResponses={}))["error"]
            assert error["code"] == -32021, method
            assert error["data"] == {"requiredCapabilities": {"extensions": {TASKS: {}}}}
        listening = await client.request("subscriptions/listen", notifications={"taskIds": ["task_0"]})
        assert listening["error"]["code"] == -32021
    headers = served.authenticator.issue("older", "anna", MODELS)
    async with mcp_socket(served.doors.ws, headers=headers) as older:
        assert (await older.request("tasks/get", {"taskId": "task_0"}))["error"]["code"] == -32601


async def test_foreign_unknown_and_expired_ones_are_one_error(served: Served) -> None:
    async with served.client("anna") as anna, served.client("ben") as ben:
        task_id = (await anna.call("wait", {}))["taskId"]
        errors = []
        for client, named in ((ben, task_id), (anna, "task_0"), (anna, "x" * 10_000), (anna, "\0")):
            for method in ("tasks/get", "tasks/update", "tasks/cancel"):
                answer = await client.request(method, taskId=named, inputResponses={})
                errors.append((answer["error"]["code"], answer["error"]["message"]))
        assert not served.doors.engine.cancelled.is_set()
        served.doors.engine.released.set()
        await anna.ended(task_id)
        await wait_until(lambda: served.is_kept("anna", task_id), what="the end is kept")
        served.clock.advance(86_401)

        async def expired() -> Any:
            return (await anna.request("tasks/get", taskId=task_id)).get("error")

        error = await wait_until(expired, what="it is gone")
        errors.append((error["code"], error["message"]))
        assert {code for code, _ in errors} == {-32602}
        assert len({message for _, message in errors}) == 1
        assert await served.table.prune() == 1
        assert await served.table.prune() == 0


async def test_cancelling_it_ends_the_work(served: Served) -> None:
    async with served.client("anna") as client:
        task_id = (await client.call("wait", {}))["taskId"]
        acknowledged = await client.result("tasks/cancel", taskId=task_id)
        assert set(acknowledged) == {"resultType", "_meta"}
        await asyncio.wait_for(served.doors.engine.cancelled.wait(), 30)
        assert (await client.ended(task_id))["status"] == "cancelled"
    assert served.counts() == [
        "exai_mcp_tasks_running 0.0",
        'exai_mcp_tasks_begun_total{how="new",tool="wait"} 1.0',
        'exai_mcp_tasks_ended_total{status="cancelled",tool="wait"} 1.0',
    ]


async def test_it_outlives_its_clients_connection(served: Served) -> None:
    async with served.client("anna") as client:
        task_id = (await client.call("wait", {}))["taskId"]
    served.doors.engine.released.set()
    async with served.client("anna", http=True) as client:
        assert (await client.ended(task_id))["status"] == "completed"


async def test_leaving_before_it_is_one_cancels_the_call(served: Served) -> None:
    async with served.client("anna") as client:
        for _ in range(MOST):
            await client.call("wait", {})
        served.doors.engine.started.clear()
        asking = asyncio.get_running_loop().create_task(client.call("wait", {}))
        await served.doors.engine.started.wait()
        assert not served.doors.engine.cancelled.is_set()
    asking.cancel()
    await asyncio.wait_for(served.doors.engine.cancelled.wait(), 30)


async def test_beyond_a_callers_most_tasks_the_answer_is_waited_for(served: Served) -> None:
    async with served.client("anna") as client:
        tasks = [await client.call("wait", {}) for _ in range(MOST)]
        assert [task["resultType"] for task in tasks] == ["task"] * MOST
        asking = asyncio.get_running_loop().create_task(client.call("wait", {}))
        async with served.client("ben") as ben:
            assert (await ben.call("wait", {}))["resultType"] == "task", "another caller has his own"
        assert not asking.done()
        served.doors.engine.released.set()
        assert (await asking)["resultType"] == "complete"


async def test_without_a_database_the_answer_is_waited_for(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = asyncio.Event()

    async def failing(_: TaskRow) -> None:
        asked.set()
        raise StoreFailed("away", retry_after_s=1.0)

    monkeypatch.setattr(served.table, "create", failing)
    async with served.client("anna") as client:
        asking = asyncio.get_running_loop().create_task(client.call("wait", {}))
        await asyncio.wait_for(asked.wait(), 30)
        served.doors.engine.released.set()
        assert (await asking)["resultType"] == "complete"


async def test_an_end_that_the_database_did_not_take_is_kept_later(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exai.transports.tasks.tasks.STORE_AGAIN_S", 0.01)
    end, failures = served.table.end, iter([True] * 3)

    async def failing(*given: Any) -> Any:
        if next(failures, False):
            raise StoreFailed("away", retry_after_s=1.0)
        return await end(*given)

    monkeypatch.setattr(served.table, "end", failing)
    async with served.client("anna") as client:
        task_id = (await client.call("wait", {}))["taskId"]
        served.doors.engine.released.set()
        assert (await client.ended(task_id))["status"] == "completed"
        await wait_until(lambda: served.is_kept("anna", task_id), what="the end is kept")


async def test_an_error_of_the_protocol_is_a_failure_and_one_of_a_tool_is_a_result(served: Served) -> None:
    async with served.client("anna", STATUS) as client:
        answer = await client.request("tools/call", name="wait", arguments={})
        assert answer["error"]["code"] == -32007, "refused at once: there is no task"
        answer = await client.request("tools/call", name="nothing", arguments={})
        assert answer["error"]["code"] == -32602


async def test_a_task_that_nobody_works_at_goes_on_when_it_is_asked_for(served: Served) -> None:
    await served.table.create(left(served.clock))
    engine = served.doors.engine
    async with served.client("anna") as client, served.client("ben") as ben:
        assert "error" in await ben.request("tasks/get", taskId="task_left")
        assert engine.keys == []
        views = await asyncio.gather(*(client.get("task_left") for _ in range(3)))
        assert {view["status"] for view in views} <= {"working", "completed"}
        ended = await client.ended("task_left")
        assert ended["result"]["structuredContent"] == {"arguments": {"a": 1}}
        assert engine.keys == ["its key"], "once, under its key"
    assert 'exai_mcp_tasks_begun_total{how="resumed",tool="echo"} 1.0' in served.counts()


async def test_one_that_nobody_works_at_is_cancelled_without_being_begun(served: Served) -> None:
    await served.table.create(left(served.clock))
    async with served.client("anna") as client:
        await client.result("tasks/cancel", taskId="task_left")
        assert (await client.get("task_left"))["status"] == "cancelled"
    assert served.doors.engine.keys == []


async def test_whoever_may_not_make_the_call_may_not_have_its_task(served: Served) -> None:
    await served.table.create(left(served.clock))
    async with served.client("anna") as client, served.client("anna", STATUS) as narrow:
        live = (await client.call("wait", {}))["taskId"]
        for task_id in (live, "task_left"):
            for method in ("tasks/get", "tasks/cancel"):
                error = (await narrow.request(method, taskId=task_id))["error"]
                assert (error["code"], error["data"]["scope"]) == (-32007, MODELS)
        assert (await client.ended("task_left"))["status"] == "completed", "and it was not spoiled for others"


async def test_a_request_that_was_routed_by_another_id_is_refused(served: Served) -> None:
    async with served.client("anna", http=True) as client:
        task_id = (await client.call("wait", {}))["taskId"]
        for routed_by in ("another", "=?base64?broken?="):
            answer = await client.request("tasks/get", taskId=task_id, name=routed_by)
            assert answer["error"]["code"] == -32020
        assert (await client.get(task_id))["status"] == "working"


async def test_a_listener_gets_whole_tasks_of_its_own_alone(served: Served) -> None:
    async with served.client("anna") as client, served.client("ben") as ben:
        foreign = (await ben.call("wait", {}))["taskId"]
        task_id = (await client.call("wait", {}))["taskId"]
        heard = client.notifications
        listening = asyncio.get_running_loop().create_task(
            client.request("subscriptions/listen", notifications={"taskIds": [task_id, foreign, "task_0"]})
        )
        await wait_until(lambda: len(heard) > 1, what="the acknowledgement and the task come")
        assert heard[0]["method"] == "notifications/subscriptions/acknowledged"
        assert heard[0]["params"]["notifications"] == {"taskIds": [task_id]}
        assert heard[1]["params"]["status"] == "working"
        served.doors.engine.released.set()
        await wait_until(lambda: heard[-1]["params"].get("status") == "completed", what="the end comes")
        assert {each["method"] for each in heard[1:]} == {"notifications/tasks"}
        last = heard[-1]["params"]
        assert last["taskId"] == task_id
        assert last["result"]["content"] == [{"type": "text", "text": "released"}]
        assert "io.modelcontextprotocol/subscriptionId" in last["_meta"]
        assert not listening.done()
        listening.cancel()
        for wrong in ("task_0", [1], ["x"] * 101):
            answer = await client.request("subscriptions/listen", notifications={"taskIds": wrong})
            assert answer["error"]["code"] == -32602


async def test_an_answer_in_the_turn_in_which_the_wait_for_it_ends_is_dropped() -> None:
    live = LiveTask(ManualClock(), None)
    asking = asyncio.ensure_future(live.ask(form={}))
    await asyncio.sleep(0)
    (key,) = live.asked
    asking.cancel()
    live.answer({key: {"action": "accept"}})
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert not live.asked
