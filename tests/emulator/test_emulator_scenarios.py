"""What was told in advance about the next requests happens to them, in order."""

from typing import Any

import pytest

from exai_emulator import Emulator, Fault, Persona, ReplyRule, Scenario, Step


def said(reply: Any) -> str:
    return str(reply.json["choices"][0]["message"]["content"])


async def test_steps_are_taken_in_order_and_only_by_requests_that_fit(emulator: Emulator, ask: Any) -> None:
    emulator.clock.stop()
    began = emulator.clock.now()
    steps = (
        Step(fault=Fault(error="overloaded"), times=2),
        Step(persona=Persona("fixed", text="At last."), advance_s=60),
        Step(),
    )
    emulator.script.run(Scenario("kimi", steps, model="kimi-k3"))
    emulator.faults.add("kimi", Fault(error="server_error", model="kimi-k3"))
    assert (await ask("kimi", model="kimi-k2.6")).status == 200
    assert (await ask("glm")).status == 200
    assert (await ask("kimi", temperature=0)).status == 400
    assert [(await ask("kimi")).status for _ in range(2)] == [429, 429]
    assert emulator.clock.now() == began
    assert said(await ask("kimi")) == "[emulated kimi-k3] At last."
    assert emulator.clock.now() == began + 60
    assert said(await ask("kimi")) == "[emulated kimi-k3] Say hello."
    # The queue had to wait for the scenario's end.
    assert (await ask("kimi")).status == 500
    assert emulator.faults.struck_by == {
        ("kimi", "error=overloaded"): 2,
        ("kimi", "model=kimi-k3, error=server_error"): 1,
    }


async def test_a_scenario_of_one_key_leaves_other_keys_alone(emulator: Emulator, ask: Any) -> None:
    emulator.accounts.open("kimi", "sk-second")
    emulator.script.run(Scenario("kimi", (Step(fault=Fault(error="overloaded")),), key="sk-second"))
    assert (await ask("kimi")).status == 200
    assert (await ask("kimi", key="sk-second")).status == 429
    assert (await ask("kimi", key="sk-second")).status == 200


async def test_a_reply_answers_what_the_last_user_text_says(emulator: Emulator, ask: Any) -> None:
    emulator.script.reply(ReplyRule("(?i)weather", Persona("fixed", text="Rain."), provider="glm"))
    emulator.script.reply(ReplyRule("break", fault=Fault(status=503)))
    weather = [{"role": "user", "content": "Weather?"}]
    assert said(await ask("glm", messages=weather)) == "[emulated glm-5.3] Rain."
    assert said(await ask("kimi", messages=weather)) == "[emulated kimi-k3] Weather?"
    earlier = [*weather, {"role": "assistant", "content": "Rain."}, {"role": "user", "content": "And now?"}]
    assert said(await ask("glm", messages=earlier)) == "[emulated glm-5.3] And now?"
    for door in ("glm", "kimi", "custom"):
        assert (await ask(door, messages=[{"role": "user", "content": "Please break."}])).status == 503


async def test_a_reply_may_be_given_so_often_for_each_text(emulator: Emulator, ask: Any) -> None:
    emulator.script.reply(ReplyRule("hello", fault=Fault(status=503), times=1))
    for text in ("hello, one", "hello, two"):
        asked = [{"role": "user", "content": text}]
        assert [(await ask("glm", messages=asked)).status for _ in range(2)] == [503, 200]


async def test_a_scenario_comes_before_a_reply(emulator: Emulator, ask: Any) -> None:
    emulator.script.reply(ReplyRule("hello", Persona("fixed", text="reply")))
    emulator.script.run(Scenario("glm", (Step(persona=Persona("fixed", text="step")),)))
    assert [said(await ask("glm")) for _ in range(2)] == [
        "[emulated glm-5.3] step",
        "[emulated glm-5.3] reply",
    ]


async def test_scenarios_at_other_endpoints(emulator: Emulator, http: Any) -> None:
    emulator.script.run(Scenario("kimi", (Step(fault=Fault(status=502)),), path="/models"))
    headers = {"Authorization": f"Bearer {emulator.addresses.kimi_key}"}
    statuses = []
    for _ in range(2):
        async with http.get(f"{emulator.addresses.kimi}/models", headers=headers) as response:
            statuses.append(response.status)
    assert statuses == [502, 200]


async def test_the_control_port_runs_shows_and_clears_them(emulator: Emulator, http: Any, ask: Any) -> None:
    control = f"{emulator.addresses.control}/_ctl"
    scenario = {"provider": "glm", "steps": [{"fault": {"error": "1305"}, "times": 2}, {}]}
    async with http.post(f"{control}/scenario", json=scenario) as response:
        assert response.status == 200
    async with http.post(
        f"{control}/replies", json={"matches": "hello", "persona": {"kind": "fixed", "text": "Hi."}}
    ) as response:
        assert response.status == 200
    assert (await ask("glm")).status == 429
    async with http.get(f"{control}/scenario") as response:
        listed = await response.json()
    assert [entry["steps_left"] for entry in listed["scenarios"]] == [2]
    assert listed["replies"][0]["matches"] == "hello"
    assert said(await ask("kimi")) == "[emulated kimi-k3] Hi."
    async with http.delete(f"{control}/scenario") as response:
        assert response.status == 200
    assert said(await ask("glm")) == "[emulated glm-5.3] Say hello."


@pytest.mark.parametrize(
    ("path", "order", "told"),
    [
        ("scenario", {"provider": "openai", "steps": [{}]}, "no provider"),
        ("scenario", {"provider": "glm", "steps": []}, "at least one step"),
        ("scenario", {"provider": "glm", "steps": [{"fault": {"error": "overloaded"}}]}, "has no error"),
        ("scenario", {"provider": "glm", "steps": [{"times": 0}]}, "times"),
        ("replies", {"matches": "(", "persona": {}}, "regular expression"),
        ("replies", {"matches": "x"}, "persona or a fault"),
        ("replies", {"matches": "x", "fault": {"error": "1302"}}, "names the provider"),
    ],
)
async def test_a_malformed_order_is_refused_with_the_reason(
    emulator: Emulator, http: Any, path: str, order: Any, told: str
) -> None:
    async with http.post(f"{emulator.addresses.control}/_ctl/{path}", json=order) as response:
        assert response.status == 400
        assert told in (await response.json())["error"]
