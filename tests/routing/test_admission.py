"""Permits: fair, bounded, never leaked."""

import asyncio
import random

import pytest

from exai import config
from exai.callers import Caller, Door
from exai.errors import Overloaded
from exai.routing.admission import Admission, CallPermits
from exai.runtime.clock import SystemClock


def caller(subject: str) -> Caller:
    return Caller(subject=subject, door=Door.WEBSOCKET)


def admission(**limits: float) -> Admission:
    return Admission(config.Admission.model_validate(limits), SystemClock())


async def turn_of_the_loop(times: int = 5) -> None:
    for _ in range(times):
        await asyncio.sleep(0)


async def test_a_free_permit_is_taken_without_waiting() -> None:
    house = admission(global_limit=1)
    async with house.total_permit(caller("a")) as permit:
        assert house.total.in_use == 1
        assert permit.waited_s == 0
    assert house.total.in_use == 0


async def test_no_more_than_the_limit_run_at_once() -> None:
    house = admission(global_limit=3)
    together = 0
    most = 0

    async def call(number: int) -> None:
        nonlocal together, most
        async with house.total_permit(caller(str(number % 7))):
            together += 1
            most = max(most, together)
            await asyncio.sleep(0)
            together -= 1

    await asyncio.gather(*(call(number) for number in range(200)))
    assert most == 3
    assert house.total.most_in_use == 3
    assert (house.total.in_use, house.waiting) == (0, 0)


async def test_the_queue_serves_callers_in_turns() -> None:
    house = admission(global_limit=1)
    order: list[str] = []

    async def call(name: str) -> None:
        async with house.total_permit(caller(name)):
            order.append(name)

    async with asyncio.TaskGroup() as tasks, house.total_permit(caller("first")):
        for name in ["greedy"] * 5 + ["modest"]:
            tasks.create_task(call(name))
        await turn_of_the_loop()
        assert house.waiting == 6
    assert order == ["greedy", "modest", "greedy", "greedy", "greedy", "greedy"]


async def test_a_full_queue_is_answered_at_once_with_a_hint() -> None:
    house = admission(global_limit=1, max_queue=1, max_wait_s=60)
    async with house.total_permit(caller("a")), asyncio.TaskGroup() as tasks:
        waiter = tasks.create_task(house.wait(house.total, "b"))
        await turn_of_the_loop()
        async with asyncio.timeout(5):
            with pytest.raises(Overloaded, match="queue is full") as caught:
                async with house.total_permit(caller("c")):
                    pytest.fail("admitted")
        assert caught.value.retry_after_s is not None
        assert caught.value.retry_after_s >= 1
        assert caught.value.retryable
        waiter.cancel()
    assert (house.total.in_use, house.waiting) == (0, 0)


async def test_waiting_has_an_end() -> None:
    house = admission(global_limit=1, max_wait_s=0.02)
    async with house.total_permit(caller("a")):
        with pytest.raises(Overloaded, match="no permit became free"):
            async with house.total_permit(caller("b")):
                pytest.fail("admitted")
    assert (house.total.in_use, house.waiting) == (0, 0)


async def test_a_permit_granted_to_a_waiter_that_is_cancelled_in_the_same_turn_goes_on() -> None:
    house = admission(global_limit=1)
    gate = house.total
    assert gate.try_take()
    waiter = asyncio.get_running_loop().create_task(gate.take("a"))
    await turn_of_the_loop()
    gate.give_back()
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    assert (gate.in_use, gate.waiting) == (0, 0)


async def test_a_gate_of_a_caller_lives_only_while_it_is_used() -> None:
    house = admission()
    async with house.caller_permit(caller("a")), house.caller_permit(caller("a")):
        assert house.callers == 1
    assert house.callers == 0


async def test_one_model_at_its_limit_leaves_the_others_free() -> None:
    house = admission(model_limit=1, max_wait_s=0.02)
    async with house.model_permit(caller("a"), "glm", "glm-5.3"):
        async with house.model_permit(caller("a"), "kimi", "kimi-k3"):
            pass
        with pytest.raises(Overloaded):
            async with house.model_permit(caller("b"), "glm", "glm-5.3"):
                pytest.fail("admitted")


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_whatever_happens_to_holders_and_waiters_every_permit_comes_back(seed: int) -> None:
    dice = random.Random(seed)
    house = admission(global_limit=5, caller_limit=3, model_limit=2, max_queue=60, max_wait_s=0.01)

    async def call(subject: str, model: str, fate: float) -> None:
        who = caller(subject)
        async with house.caller_permit(who), house.total_permit(who), house.model_permit(who, "glm", model):
            assert house.total.in_use <= 5
            assert house.by_model["glm", model].in_use <= 2
            await asyncio.sleep(fate * 0.002)
            if fate < 0.2:
                raise ValueError("the call failed")

    async def fate_of(number: int) -> None:
        task = asyncio.get_running_loop().create_task(call(str(number % 9), f"m{number % 3}", dice.random()))
        if dice.random() < 0.4:
            asyncio.get_running_loop().call_later(dice.random() * 0.01, task.cancel)
        await asyncio.wait([task])
        if not task.cancelled():
            assert isinstance(task.exception(), ValueError | Overloaded | None)

    for _ in range(10):
        await asyncio.gather(*(fate_of(number) for number in range(100)))
    assert (house.total.in_use, house.waiting, house.callers) == (0, 0, 0)
    assert all(gate.in_use == 0 for gate in house.by_model.values())
    assert house.total.most_in_use <= 5


async def test_a_call_that_waits_for_a_model_sets_its_other_permits_aside() -> None:
    house = admission(global_limit=2, caller_limit=2, model_limit=1)
    one = caller("a")
    async with house.model_permit(one, "glm", "glm-5.3"):
        entered = asyncio.Event()

        async def call(model: str) -> None:
            async with house.caller_permit(one) as own, house.total_permit(one) as all_calls:
                permits = CallPermits(house, own, all_calls)
                with permits.request():
                    async with house.model_permit(one, "glm", model, call=permits) as permit:
                        assert permit.waited_s > 0 or model != "glm-5.3"
                        assert (own.held, all_calls.held) == (True, True)
                        entered.set()

        waiting = [asyncio.get_running_loop().create_task(call("glm-5.3")) for _ in range(10)]
        await turn_of_the_loop()
        assert house.total.in_use == 0
        async with asyncio.timeout(5):
            await call("glm-4.7")
        entered.clear()
    await asyncio.gather(*waiting)
    assert entered.is_set()
    assert (house.total.in_use, house.waiting, house.callers) == (0, 0, 0)


async def test_the_models_of_a_provider_share_its_limit() -> None:
    house = admission(model_limit=2, provider_limit=3, max_queue=0)
    async with (
        house.model_permit(caller("a"), "glm", "one"),
        house.model_permit(caller("a"), "glm", "one"),
        house.model_permit(caller("a"), "glm", "two"),
    ):
        with pytest.raises(Overloaded):
            async with house.model_permit(caller("a"), "glm", "two"):
                pass
        async with house.model_permit(caller("a"), "kimi", "two"):
            pass
    assert [gate.in_use for gate in (*house.by_provider.values(), *house.by_model.values())] == [0] * 5


async def test_permits_set_aside_leak_by_no_end() -> None:
    dice = random.Random(20261125)
    house = admission(
        global_limit=5, caller_limit=4, model_limit=2, provider_limit=3, max_queue=40, max_wait_s=0.05
    )
    ends: dict[str, int] = {}

    async def call(number: int) -> None:
        who = caller(str(number % 4))
        async with house.caller_permit(who) as own, house.total_permit(who) as all_calls:
            permits = CallPermits(house, own, all_calls)
            with permits.request():
                async with house.model_permit(who, "glm", str(number % 3), call=permits):
                    await asyncio.sleep(dice.random() * 0.003)
                    if dice.random() < 0.2:
                        raise RuntimeError
                with permits.waiting():
                    await asyncio.sleep(dice.random() * 0.003)
                await permits.hold()

    loop = asyncio.get_running_loop()
    for _ in range(20):
        tasks = [loop.create_task(call(number)) for number in range(60)]
        for task in tasks:
            if dice.random() < 0.3:
                loop.call_later(dice.random() * 0.02, task.cancel)
        for end in await asyncio.gather(*tasks, return_exceptions=True):
            name = type(end).__name__
            ends[name] = ends.get(name, 0) + 1
    assert ends.keys() == {"NoneType", "RuntimeError", "CancelledError", "Overloaded"}
    gates = [house.total, *house.by_provider.values(), *house.by_model.values()]
    assert [(gate.in_use, gate.waiting) for gate in gates] == [(0, 0)] * len(gates)
    assert house.callers == 0
    assert house.total.most_in_use <= 5
    assert house.by_provider["glm"].most_in_use <= 3
