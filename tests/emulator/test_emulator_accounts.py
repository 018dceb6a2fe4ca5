"""Accounts have the limits of their tier or plan, by a clock that the control port moves."""

import asyncio
import base64
import hashlib
import hmac
import json
import re
import time
from typing import Any

import pytest

from exai_emulator import AccountState, Emulator, Fault, Persona
from exai_emulator.kimi.limits import TIERS

RETRY_HEADERS = ("Retry-After", "X-Retry-After", "Msh-Cooldown-Seconds")


@pytest.fixture
def control(emulator: Emulator, http: Any) -> Any:
    async def call(method: str, path: str, body: Any = None) -> tuple[int, Any]:
        async with http.request(method, f"{emulator.addresses.control}/_ctl/{path}", json=body) as response:
            return response.status, await response.json()

    return call


def error_of(reply: Any) -> tuple[str, str]:
    error = reply.json["error"]
    return error["type"], error["message"]


async def test_tier_0_of_kimi_takes_three_calls_a_minute(emulator: Emulator, ask: Any, control: Any) -> None:
    await control("POST", "clock", {"runs": False})
    await control("PUT", "account", {"provider": "kimi", "account": {"tier": 0}})
    replies = [await ask("kimi", max_completion_tokens=1000) for _ in range(4)]
    assert [reply.status for reply in replies] == [200, 200, 200, 429]
    kind, message = error_of(replies[3])
    assert kind == "rate_limit_reached_error"
    assert re.search(r"^Your account org-\w+<ak-\w+> request reached organization max RPM: 3, ", message)
    assert message.endswith("please try again after 1 seconds")
    assert {name: replies[3].headers.get(name) for name in RETRY_HEADERS} == dict.fromkeys(RETRY_HEADERS, "1")

    # The header is too optimistic, as recorded: a second later the answer is the same.
    await control("POST", "clock", {"advance_s": 1})
    assert (await ask("kimi", max_completion_tokens=1000)).status == 429
    await control("POST", "clock", {"advance_s": 59})
    assert (await ask("kimi", max_completion_tokens=1000)).status == 200
    assert emulator.accounts["kimi"].usage.as_json(emulator.clock.now())["minute_calls"] == 1


async def test_calls_that_are_refused_count_against_no_limit(emulator: Emulator, ask: Any) -> None:
    emulator.accounts["kimi"].state = AccountState(rpm=1)
    assert (await ask("kimi", temperature=0)).status == 400
    assert (await ask("kimi")).status == 200


async def test_kimis_token_limits_count_prompt_and_requested_cap(emulator: Emulator, ask: Any) -> None:
    emulator.clock.stop()
    emulator.accounts["kimi"].state = AccountState(tier=0, rpm=100)
    statuses = [(await ask("kimi", max_completion_tokens=200_000)).status for _ in range(3)]
    assert statuses == [200, 200, 429]
    refused = await ask("kimi", max_completion_tokens=200_000)
    kind, message = error_of(refused)
    assert kind == "rate_limit_reached_error"
    current = re.search(r"TPM rate limit, current: (\d+), limit: 500000$", message)
    assert current is not None
    assert 600_000 < int(current[1]) < 600_600
    assert refused.headers["Retry-After"] == "1"

    assert (await ask("kimi", max_completion_tokens=1_000)).status == 200
    emulator.clock.advance(60)
    assert (await ask("kimi", max_completion_tokens=200_000)).status == 200


async def test_kimis_day_ends_at_midnight(emulator: Emulator, ask: Any) -> None:
    emulator.clock.stop()
    emulator.clock.set(1_790_000_000)  # 2026-09-21, 22:13:20 in UTC+8
    emulator.accounts["kimi"].state = AccountState(tier=0, rpm=100, tpm=10_000_000)
    statuses = [(await ask("kimi", max_completion_tokens=700_000)).status for _ in range(3)]
    assert statuses == [200, 200, 429]
    refused = await ask("kimi", max_completion_tokens=700_000)
    kind, message = error_of(refused)
    assert kind == "rate_limit_reached_error"
    assert re.search(r"TPD rate limit, current: 21\d{5}, limit: 1500000$", message)
    assert refused.headers["Retry-After"] == str(6400)  # 1 h 46 min 40 s

    emulator.clock.advance(6399)
    assert (await ask("kimi", max_completion_tokens=700_000)).status == 429
    emulator.clock.advance(1)
    assert (await ask("kimi", max_completion_tokens=700_000)).status == 200


async def test_tier_0_of_kimi_answers_one_call_at_a_time(emulator: Emulator, ask: Any) -> None:
    emulator.accounts["kimi"].state = AccountState(tier=0)
    emulator.persona = Persona("echo", first_byte_delay_ms=60_000)
    async with asyncio.TaskGroup() as tasks:
        first = tasks.create_task(ask("kimi", max_completion_tokens=10))
        await emulator.log.wait_for(lambda record: record.body is not None)
        refused = await ask("kimi", model="kimi-k2.6", max_completion_tokens=10)
        first.cancel()
    assert refused.status == 429
    assert "max concurrency: 1," in error_of(refused)[1]
    assert refused.headers["Retry-After"] == "1"


@pytest.mark.parametrize("tier", TIERS)
async def test_each_tier_refuses_what_exceeds_its_minute(emulator: Emulator, ask: Any, tier: int) -> None:
    emulator.clock.stop()
    account = emulator.accounts["kimi"]
    account.state = AccountState(tier=tier)
    most = TIERS[tier]
    assert most.rpm is not None
    for _ in range(most.rpm - 1):
        account.usage.count(emulator.clock.now(), 1, on_plan=False)
    assert (await ask("kimi", max_completion_tokens=10)).status == 200
    refused = await ask("kimi", max_completion_tokens=10)
    assert f"max RPM: {most.rpm}," in error_of(refused)[1]

    emulator.clock.advance(60)
    account.usage.count(emulator.clock.now(), most.tpm or 0, on_plan=False)
    assert f"limit: {most.tpm}" in error_of(await ask("kimi", max_completion_tokens=10))[1]


@pytest.mark.parametrize("state", [{"suspended": True}, {"balance": 0.0}])
async def test_a_suspended_or_empty_account_is_refused(control: Any, ask: Any, state: Any) -> None:
    for provider in ("glm", "kimi", "custom"):
        assert (await control("PUT", "account", {"provider": provider, "account": state}))[0] == 200
    assert error_of(await ask("kimi"))[0] == "exceeded_current_quota_error"
    glm = await ask("glm")
    assert (glm.status, glm.json["error"]["code"]) == (
        (401, "1112") if "suspended" in state else (429, "1113")
    )
    assert not any(name in glm.headers for name in RETRY_HEADERS)
    assert error_of(await ask("custom"))[0] == "insufficient_quota"


async def test_a_glm_plan_names_its_reset_time(emulator: Emulator, ask: Any, control: Any) -> None:
    await control("POST", "clock", {"now": 1_790_000_000, "runs": False})
    plan = {"plan_only": True, "plan_window_calls": 2, "plan_week_calls": 3}
    await control("PUT", "account", {"provider": "glm", "account": plan})
    assert (await ask("glm")).json["error"]["code"] == "1113"
    assert [(await ask("glm_coding")).status for _ in range(2)] == [200, 200]
    refused = await ask("glm_coding")
    assert refused.status == 429
    assert refused.json["error"] == {
        "code": "1308",
        "message": "Usage limit reached for 5 hour. Your limit will reset at 2026-09-22 03:13:20",
    }
    assert not any(name in refused.headers for name in RETRY_HEADERS)

    emulator.clock.advance(5 * 3600)
    assert (await ask("glm_coding")).status == 200
    assert (await ask("glm_coding")).json["error"] == {
        "code": "1310",
        "message": "Weekly/Monthly limit exhausted. Your limit will reset at 2026-09-28 22:13:20",
    }
    emulator.clock.advance(7 * 86_400)
    assert (await ask("glm_coding")).status == 200


async def test_a_glm_plan_expires_and_a_day_has_its_limit(emulator: Emulator, ask: Any) -> None:
    emulator.clock.stop()
    emulator.accounts["glm"].state = AccountState(plan_ends_at=emulator.clock.now() + 1, daily_calls=2)
    assert (await ask("glm_coding")).status == 200
    emulator.clock.advance(1)
    assert (await ask("glm_coding")).json["error"]["code"] == "1309"
    assert (await ask("glm")).status == 200
    assert (await ask("glm")).json["error"]["code"] == "1304"
    emulator.clock.advance(86_400)
    assert (await ask("glm")).status == 200


async def test_a_plan_error_that_is_ordered_announces_a_time_to_come(emulator: Emulator, ask: Any) -> None:
    emulator.clock.stop()
    emulator.clock.set(1_790_000_000)
    emulator.faults.add("glm", Fault(error="1308"))
    message = (await ask("glm")).json["error"]["message"]
    assert message == "Usage limit reached for 5 hour. Your limit will reset at 2026-09-22 00:13:20"


async def test_the_custom_service_counts_calls_per_minute(emulator: Emulator, ask: Any) -> None:
    emulator.clock.stop()
    emulator.accounts["custom"].state = AccountState(rpm=1)
    assert [(await ask("custom")).status for _ in range(2)] == [200, 429]
    emulator.clock.advance(60)
    assert (await ask("custom")).status == 200


async def test_a_further_key_has_an_account_of_its_own(emulator: Emulator, ask: Any, control: Any) -> None:
    assert (await ask("kimi", key="sk-second")).status == 401
    order = {"provider": "kimi", "key": "sk-second", "account": {"balance": 0}}
    await control("PUT", "account", order)
    assert (await ask("kimi", key="sk-second")).status == 429
    assert (await ask("kimi")).status == 200
    _, listed = await control("GET", "account")
    (second,) = listed["kimi"]["further_keys"]
    assert second["key"].startswith("sha256:")
    assert second["account"]["balance"] == 0
    assert listed["kimi"]["usage"]["minute_calls"] == 1
    await control("POST", "reset")
    assert (await ask("kimi", key="sk-second")).status == 401


def signed(key: str, expires_at: float) -> str:
    key_id, _, secret = key.partition(".")

    def part(content: Any) -> str:
        return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()

    head = part({"alg": "HS256", "sign_type": "SIGN"})
    body = part({"api_key": key_id, "exp": int(expires_at * 1000), "timestamp": int(time.time() * 1000)})
    digest = hmac.new(secret.encode(), f"{head}.{body}".encode(), hashlib.sha256).digest()
    return f"{head}.{body}." + base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


async def test_a_signed_token_expires_by_the_emulators_clock_only_when_configured(
    emulator: Emulator, ask: Any
) -> None:
    token = signed(emulator.addresses.glm_key, time.time() + 210)
    emulator.clock.advance(3600)
    assert (await ask("glm", key=token)).status == 200
    emulator.rules.set("glm.auth.emulated_clock", on=True)
    expired = await ask("glm", key=token)
    assert (expired.status, expired.json["error"]["code"]) == (401, "1003")
    emulator.clock.advance(-3600)
    assert (await ask("glm", key=token)).status == 200


async def test_the_clock_is_seen_moved_and_stopped_at_the_control_port(control: Any) -> None:
    assert await control("POST", "clock", {"now": 1_790_000_000, "runs": False}) == (200, {"ok": True})
    shown = {"now": 1_790_000_000.0, "utc_plus_8": "2026-09-21 22:13:20", "runs": False}
    assert await control("GET", "clock") == (200, shown)
    await control("POST", "clock", {"advance_s": 0.5})
    assert (await control("GET", "clock"))[1]["now"] == 1_790_000_000.5
    await control("POST", "clock", {"runs": True})
    assert 0 < (await control("GET", "clock"))[1]["now"] - 1_790_000_000.5 < 60
    status, told = await control("POST", "clock", {"now": -1})
    assert status == 400
    assert "Unix seconds" in told["error"]
    await control("POST", "reset")
    assert abs((await control("GET", "clock"))[1]["now"] - time.time()) < 60


@pytest.mark.parametrize(
    ("order", "told"),
    [
        ({"account": {"tier": 6}}, "tier"),
        ({"account": {"rpm": -1}}, "rpm"),
        ({"account": {}, "key": "two words"}, "printable ASCII"),
    ],
)
async def test_an_impossible_account_is_refused(control: Any, order: Any, told: str) -> None:
    status, answer = await control("PUT", "account", {"provider": "kimi", **order})
    assert status == 400
    assert told in answer["error"]


async def test_money_runs_out_on_the_way(emulator: Emulator, ask: Any, http: Any) -> None:
    emulator.accounts["kimi"].state = AccountState(balance=0.0002, price=1)
    first = await ask("kimi")
    used = first.json["usage"]["total_tokens"]
    headers = {"Authorization": f"Bearer {emulator.addresses.kimi_key}"}
    async with http.get(f"{emulator.addresses.kimi}/users/me/balance", headers=headers) as response:
        left = (await response.json())["data"]["available_balance"]
    assert left == pytest.approx(0.0002 - used / 1e6)
    emulator.faults.add("kimi", Fault(error="overloaded"))
    assert (await ask("kimi")).status == 429
    assert emulator.accounts["kimi"].state.balance == left
    assert (await ask("kimi")).status == 200
    assert error_of(await ask("kimi"))[0] == "exceeded_current_quota_error"
