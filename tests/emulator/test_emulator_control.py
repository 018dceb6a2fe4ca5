"""The control port sees and changes what the library face does."""

from typing import Any

import pytest

from exai_emulator import Emulator


@pytest.fixture
def control(emulator: Emulator, http: Any) -> Any:
    async def call(method: str, path: str, body: Any = None) -> tuple[int, Any]:
        async with http.request(method, f"{emulator.addresses.control}/_ctl/{path}", json=body) as response:
            return response.status, await response.json()

    return call


async def test_persona(control: Any, ask: Any) -> None:
    order = {"persona": {"kind": "fixed", "text": "Hi."}, "provider": "kimi"}
    assert await control("POST", "persona", order) == (200, {"ok": True})
    assert (await ask("kimi")).json["choices"][0]["message"]["content"] == "[emulated kimi-k3] Hi."
    _, listed = await control("GET", "persona")
    assert [entry["provider"] for entry in listed["personas"]] == [None, "kimi"]


async def test_faults(control: Any, ask: Any) -> None:
    await control("POST", "faults", {"provider": "glm", "fault": {"error": "1302", "times": 2}})
    assert (await ask("glm")).status == 429
    _, listed = await control("GET", "faults")
    assert listed["queued"] == [{"provider": "glm", "left": 1, "fault": {"times": 2, "error": "1302"}}]
    assert "rate_limit_rpm" in listed["errors"]["kimi"]
    await control("DELETE", "faults")
    assert (await ask("glm")).status == 200


async def test_requests_and_stats(control: Any, ask: Any) -> None:
    await ask("glm")
    await ask("kimi", temperature=0)
    await control("POST", "faults", {"provider": "kimi", "fault": {"error": "overloaded"}})
    await ask("kimi")
    _, listed = await control("GET", "requests?provider=kimi&limit=1")
    assert listed["count"] == 2
    (record,) = listed["requests"]
    assert (record["status"], record["outcome"], record["body"]["model"]) == (429, "fault", "kimi-k3")
    assert record["fault"] == "error=overloaded"
    assert record["headers"]["authorization"].startswith("sha256:")
    _, stats = await control("GET", "stats")
    assert stats["providers"]["kimi"] == {
        "in_flight": 0,
        "high_water": 1,
        "outcomes": {"complete": 1, "fault": 1},
        "statuses": {"400": 1, "429": 1},
        "faults_struck": 1,
        "faults_by_kind": {"error=overloaded": 1},
        "faults_queued": 0,
    }
    await control("DELETE", "requests")
    assert (await control("GET", "requests"))[1] == {"count": 0, "requests": []}


async def test_account(control: Any, ask: Any) -> None:
    await control("PUT", "account", {"provider": "glm", "account": {"balance": 0, "plan_only": True}})
    assert ((await ask("glm")).status, (await ask("glm_coding")).status) == (429, 200)
    assert (await control("GET", "account"))[1]["glm"]["account"]["plan_only"] is True


async def test_rules(control: Any, ask: Any) -> None:
    await control("POST", "rules", {"rules": {"kimi.temperature.fixed": False}})
    assert (await ask("kimi", temperature=0.3)).status == 200
    await control("POST", "rules", {"select": "all"})
    assert (await ask("kimi", invented=1)).status == 400
    _, listed = await control("GET", "rules")
    assert all(rule["on"] for rule in listed["rules"])


async def test_reset(control: Any, ask: Any, emulator: Emulator) -> None:
    await control("POST", "faults", {"provider": "glm", "fault": {"error": "1302", "times": None}})
    await control("POST", "persona", {"persona": {"kind": "fixed", "text": "Hi."}})
    await control("PUT", "account", {"provider": "kimi", "account": {"balance": 0}})
    await control("POST", "rules", {"rules": {"kimi.temperature.fixed": False}})
    await ask("glm")
    await control("POST", "reset")
    assert emulator.log.requests == []
    assert (await ask("glm")).json["choices"][0]["message"]["content"] == "[emulated glm-5.3] Say hello."
    assert ((await ask("kimi")).status, (await ask("kimi", temperature=0)).status) == (200, 400)


@pytest.mark.parametrize(
    ("path", "body", "told"),
    [
        ("faults", {"provider": "glm", "fault": {"error": "nonsense"}}, "glm has no error"),
        ("faults", {"provider": "glm", "fault": {"eror": "1302"}}, "eror"),
        ("faults", {"provider": "glm", "fault": {"times": 0}}, "times"),
        ("persona", {"persona": {"kind": "clever"}}, "clever"),
        ("persona", {"persona": {}, "provider": "openai"}, "no provider"),
        ("rules", {"rules": {"glm.invented": True}}, "glm.invented"),
        ("rules", {"select": "none"}, "strictness"),
    ],
)
async def test_a_malformed_order_is_refused_with_the_reason(
    control: Any, path: str, body: Any, told: str
) -> None:
    status, answer = await control("POST", path, body)
    assert status == 400
    assert told in answer["error"]


async def test_an_account_of_no_provider_is_refused(control: Any) -> None:
    status, answer = await control("PUT", "account", {"provider": "openai", "account": {}})
    assert status == 400
    assert "no provider" in answer["error"]


async def test_a_limit_that_is_no_number_is_refused(control: Any) -> None:
    assert (await control("GET", "requests?limit=-1"))[0] == 400
