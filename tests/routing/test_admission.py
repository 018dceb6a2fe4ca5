"""Permits: fair, bounded, never leaked."""

import asyncio
import random
from contextlib import AsyncExitStack

import pytest

from exai import config
from exai.callers import Caller, Door
from exai.errors import Overloaded
from exai.routing.admission import Admission, CallPermits, Permit
from support.virtual_time import LoopClock, now

pytestmark = pytest.mark.virtual_time


def caller(subject: str) -> Caller:
    return Caller(subject=subject, door=Door.WEBSOCKET)


def admission(**limits: float) -> Admission:
    return Admission(config.Admission.model_validate(limits), LoopClock())


async def turn_of_the_loop(times: int = 5) -> None:
    for _ in range(times):
        await asyncio.sleep(0)


async def test_a_free_permit_is_taken_without_waiting() -> None:
    made = admission(global_limit=1)
    async with made.total_permit(caller("a")) as permit:
        assert made.total.in_use == 1
        assert permit.waited_s == 0
    assert made.total.in_use == 0


async def test_no_more_than_the_limit_run_at_once() -> None:
    made = admission(global_limit=3)
    together = 0
    most = 0

    async def call(number: int) -> None:
        nonlocal together, most
        async with made.total_permit(caller(str(number % 7))):
            together += 1
            most = max(most, together)
            await asyncio.sleep(0)
            together -= 1

    await asyncio.gather(*(call(number) for number in range(200)))
    assert most == 3
    assert made.total.most_in_use == 3
    assert (made.total.in_use, made.waiting) == (0, 0)


async def test_the_queue_serves_callers_in_turns() -> None:
    made = admission(global_limit=1)
    order: list[str] = []

    async def call(name: str) -> None:
        async with made.total_permit(caller(name)):
            order.append(name)

    async with asyncio.TaskGroup() as tasks, made.total_permit(caller("first")):
        for name in ["greedy"] * 5 + ["modest"]:
            tasks.create_task(call(name))
        await turn_of_the_loop()
        assert made.waiting == 6
    assert order == ["greedy", "modest", "greedy", "greedy", "greedy", "greedy"]


async def test_a_full_queue_is_answered_at_once_with_a_hint() -> None:
    made = admission(global_limit=1, max_queue=1, max_wait_s=60)
    async with made.total_permit(caller("a")), asyncio.TaskGroup() as tasks:
        waiter = tasks.create_task(made.wait(made.total, "b", made.patience()))
        await turn_of_the_loop()
        async with asyncio.timeout(30):
            with pytest.raises(Overloaded, match="queue is full") as caught:
                async with made.total_permit(caller("c")):
                    pytest.fail("admitted")
        assert caught.value.retry_after_s is not None
        assert caught.value.retry_after_s >= 1
        assert caught.value.retryable
        waiter.cancel()
    assert (made.total.in_use, made.waiting) == (0, 0)


async def test_waiting_has_an_end() -> None:
    made = admission(global_limit=1, max_wait_s=20)
    async with made.total_permit(caller("a")):
        with pytest.raises(Overloaded, match="no permit became free"):
            async with made.total_permit(caller("b")):
                pytest.fail("admitted")
        assert now() == 20
    assert (made.total.in_use, made.waiting) == (0, 0)


async def test_the_waits_of_a_call_at_all_gates_are_one_wait() -> None:
    made = admission(caller_limit=1, global_limit=1, model_limit=1, max_wait_s=30)
    who, other = caller("a"), caller("b")

    async def hold_for(seconds: float, *scopes: Permit) -> None:
        async with AsyncExitStack() as held:
            for scope in scopes:
                await held.enter_async_context(scope)
            await asyncio.sleep(seconds)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(hold_for(10, made.caller_permit(who)))
        tasks.create_task(hold_for(22, made.total_permit(other)))
        tasks.create_task(hold_for(99, made.model_permit(other, "glm", "glm-5.3")))
        await turn_of_the_loop()
        patience = made.patience()
        async with made.caller_permit(who, patience) as own, made.total_permit(who, patience) as total:
            assert (own.waited_s, total.waited_s, patience.left_s) == (10, 12, 8)
            permits = CallPermits(made, own, total)
            with permits, pytest.raises(Overloaded, match="within 30 s"):
                async with made.model_permit(who, "glm", "glm-5.3", call=permits):
                    pytest.fail("admitted")
        assert now() == 30


async def test_waits_of_a_call_side_by_side_count_once() -> None:
    made = admission(max_wait_s=30)
    patience = made.patience()

    async def wait(begin_s: float, seconds: float) -> None:
        await asyncio.sleep(begin_s)
        async with patience.waiting():
            await asyncio.sleep(seconds)

    await asyncio.gather(wait(0, 10), wait(5, 10), wait(18, 4))
    assert patience.left_s == 30 - 15 - 4
    patience.renew()
    assert patience.left_s == 30


async def test_a_permit_granted_to_a_waiter_that_is_cancelled_in_the_same_turn_goes_on() -> None:
    made = admission(global_limit=1)
    gate = made.total
    assert gate.try_take()
    waiter = asyncio.get_running_loop().create_task(gate.take("a"))
    await turn_of_the_loop()
    gate.give_back()
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    assert (gate.in_use, gate.waiting) == (0, 0)


async def test_a_gate_of_a_caller_lives_only_while_it_is_used() -> None:
    made = admission()
    async with made.caller_permit(caller("a")), made.caller_permit(caller("a")):
        assert made.callers == 1
    assert made.callers == 0


async def test_one_model_at_its_limit_leaves_the_others_free() -> None:
    made = admission(model_limit=1, max_wait_s=20)
    async with made.model_permit(caller("a"), "glm", "glm-5.3"):
        async with made.model_permit(caller("a"), "kimi", "kimi-k3"):
            pass
        with pytest.raises(Overloaded):
            async with made.model_permit(caller("b"), "glm", "glm-5.3"):
                pytest.fail("admitted")


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_whatever_happens_to_holders_and_waiters_every_permit_comes_back(seed: int) -> None:
    dice = random.Random(seed)
    made = admission(global_limit=5, caller_limit=3, model_limit=2, max_queue=60, max_wait_s=10)

    async def call(subject: str, model: str, fate: float) -> None:
        who = caller(subject)
        async with made.caller_permit(who), made.total_permit(who), made.model_permit(who, "glm", model):
            assert made.total.in_use <= 5
            assert made.by_model["glm", model].in_use <= 2
            await asyncio.sleep(2 * fate)
            if fate < 0.2:
                raise ValueError("the call failed")

    async def fate_of(number: int) -> None:
        task = asyncio.get_running_loop().create_task(call(str(number % 9), f"m{number % 3}", dice.random()))
        if dice.random() < 0.4:
            asyncio.get_running_loop().call_later(10 * dice.random(), task.cancel)
        await asyncio.wait([task])
        if not task.cancelled():
            assert isinstance(task.exception(), ValueError | Overloaded | None)

    for _ in range(10):
        await asyncio.gather(*(fate_of(number) for number in range(100)))
    assert (made.total.in_use, made.waiting, made.callers) == (0, 0, 0)
    assert all(gate.in_use == 0 for gate in made.by_model.values())
    assert made.total.most_in_use <= 5


async def test_a_call_that_waits_for_a_model_sets_its_other_permits_aside() -> None:
    made = admission(global_limit=2, caller_limit=2, model_limit=1)
    one = caller("a")
    async with made.model_permit(one, "glm", "glm-5.3"):
        entered = asyncio.Event()

        async def call(model: str) -> None:
            async with made.caller_permit(one) as own, made.total_permit(one) as all_calls:
                permits = CallPermits(made, own, all_calls)
                with permits:
                    async with made.model_permit(one, "glm", model, call=permits) as permit:
                        assert permit.waited_s == (7 if model == "glm-5.3" else 0)
                        assert (own.held, all_calls.held) == (True, True)
                        entered.set()

        waiting = [asyncio.get_running_loop().create_task(call("glm-5.3")) for _ in range(10)]
        await turn_of_the_loop()
        assert made.total.in_use == 0
        await call("glm-4.7")
        entered.clear()
        await asyncio.sleep(7)
    await asyncio.gather(*waiting)
    assert entered.is_set()
    assert (made.total.in_use, made.waiting, made.callers) == (0, 0, 0)


async def test_the_models_of_a_provider_share_its_limit() -> None:
    made = admission(model_limit=2, provider_limit=3, max_queue=0)
    async with (
        made.model_permit(caller("a"), "glm", "one"),
        made.model_permit(caller("a"), "glm", "one"),
        made.model_permit(caller("a"), "glm", "two"),
    ):
        with pytest.raises(Overloaded):
            async with made.model_permit(caller("a"), "glm", "two"):
                pass
        async with made.model_permit(caller("a"), "kimi", "two"):
            pass
    assert [gate.in_use for gate in (*made.by_provider.values(), *made.by_model.values())] == [0] * 5


async def test_permits_set_aside_leak_by_no_end() -> None:
    dice = random.Random(20261125)
    made = admission(
        global_limit=5, caller_limit=4, model_limit=2, provider_limit=3, max_queue=40, max_wait_s=50
    )
    ends: dict[str, int] = {}

    async def call(number: int) -> None:
        who = caller(str(number % 4))
        async with made.caller_permit(who) as own, made.total_permit(who) as all_calls:
            permits = CallPermits(made, own, all_calls)
            with permits:
                async with made.model_permit(who, "glm", str(number % 3), call=permits):
                    await asyncio.sleep(3 * dice.random())
                    if dice.random() < 0.2:
                        raise RuntimeError
                with permits.waiting():
                    await asyncio.sleep(3 * dice.random())
                await permits.hold()

    loop = asyncio.get_running_loop()
    for _ in range(20):
        tasks = [loop.create_task(call(number)) for number in range(60)]
        for task in tasks:
            if dice.random() < 0.3:
                loop.call_later(20 * dice.random(), task.cancel)
        for end in await asyncio.gather(*tasks, return_exceptions=True):
            name = type(end).__name__
            ends[name] = ends.get(name, 0) + 1
    assert ends.keys() == {"NoneType", "RuntimeError", "CancelledError", "Overloaded"}
    gates = [made.total, *made.by_provider.values(), *made.by_model.values()]
    assert [(gate.in_use, gate.waiting) for gate in gates] == [(0, 0)] * len(gates)
    assert made.callers == 0
    assert made.total.most_in_use <= 5
    assert made.by_provider["glm"].most_in_use <= 3
