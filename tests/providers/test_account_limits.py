"""What the limits of an account mean to a caller: which pass by waiting, which do not, and for how long."""

from typing import Any

import pytest

from exai.errors import ProviderThrottled, ProviderUnauthorized, QuotaExhausted
from exai_emulator import AccountState


async def test_kimis_calls_per_minute_are_a_throttle(desk: Any) -> None:
    desk.emulator.accounts["kimi"].state = AccountState(tier=0)
    for _ in range(3):
        await desk.ask("kimi-k2.6", max_output_tokens=100)
    with pytest.raises(ProviderThrottled) as raised:
        await desk.ask("kimi-k2.6", max_output_tokens=100)
    assert raised.value.retry_after_s == 1.0
    desk.emulator.clock.advance(60)
    assert (await desk.ask("kimi-k2.6", max_output_tokens=100)).text


async def test_a_large_cap_alone_uses_up_kimis_tokens_per_minute(desk: Any) -> None:
    desk.emulator.accounts["kimi"].state = AccountState(tier=0, tpm=20_000)
    with pytest.raises(ProviderThrottled, match="its cap counts"):
        await desk.ask("kimi-k2.6", max_output_tokens=30_000)
    assert (await desk.ask("kimi-k2.6", max_output_tokens=1_000)).text


async def test_kimis_tokens_per_day_are_gone_until_midnight(desk: Any) -> None:
    clock = desk.emulator.clock
    clock.stop()
    clock.set(1_790_000_000)  # 1 h 46 min 40 s before midnight in UTC+8
    desk.emulator.accounts["kimi"].state = AccountState(tpd=2_000)
    await desk.ask("kimi-k2.6", max_output_tokens=1_500)
    with pytest.raises(QuotaExhausted) as raised:
        await desk.ask("kimi-k2.6", max_output_tokens=1_500)
    assert raised.value.retry_after_s == 6_400
    clock.advance(6_400)
    assert (await desk.ask("kimi-k2.6", max_output_tokens=1_500)).text


@pytest.mark.parametrize(("limit", "hours"), [("plan_window_calls", 5), ("plan_week_calls", 7 * 24)])
async def test_a_glm_plan_says_when_it_can_be_asked_again(open_desk: Any, limit: str, hours: int) -> None:
    desk = await open_desk(on_plan=True)
    used: dict[str, Any] = {limit: 1}
    desk.emulator.accounts["glm"].state = AccountState(plan_only=True, **used)
    await desk.ask("glm-5.2")
    with pytest.raises(QuotaExhausted) as raised:
        await desk.ask("glm-5.2")
    assert raised.value.retry_after_s == pytest.approx(hours * 3600, abs=60)
    desk.emulator.clock.advance(hours * 3600)
    assert (await desk.ask("glm-5.2")).text


async def test_a_suspended_account_is_no_matter_of_waiting(desk: Any) -> None:
    for provider in ("glm", "kimi", "custom"):
        desk.emulator.accounts[provider].state = AccountState(suspended=True)
    for model, fault in (
        ("glm-5.2", ProviderUnauthorized),
        ("kimi-k2.6", QuotaExhausted),
        ("local/tiny", QuotaExhausted),
    ):
        with pytest.raises(fault) as raised:
            await desk.ask(model)
        assert raised.value.retry_after_s is None
