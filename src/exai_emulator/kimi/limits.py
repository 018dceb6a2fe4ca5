"""What a Kimi organisation may use: its balance, and the limits of its tier."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from exai_emulator.accounts import AccountState
from exai_emulator.calls import ChatCall, Refusal
from exai_emulator.clock import china_midnight_after
from exai_emulator.kimi.errors import ACCOUNT
from exai_emulator.rules import Behaviour, Rule

__all__ = ["LIMIT_BEHAVIOURS", "LIMIT_RULES", "TIERS", "Limits", "limits_of"]


@dataclass(frozen=True, slots=True)
class Limits:
    """Calls at once, calls and tokens per minute, tokens per day; None for no limit."""

    concurrency: int | None = None
    rpm: int | None = None
    tpm: int | None = None
    tpd: int | None = None


TIERS: Mapping[int, Limits] = {
    0: Limits(1, 3, 500_000, 1_500_000),
    1: Limits(50, 200, 2_000_000),
    2: Limits(100, 500, 3_000_000),
    3: Limits(200, 5_000, 3_000_000),
    4: Limits(400, 5_000, 4_000_000),
    5: Limits(1_000, 10_000, 5_000_000),
}
"""By cumulative top-up: $1, $10, $20, $100, $1,000, $3,000."""

_NONE = Limits()


def limits_of(state: AccountState) -> Limits:
    """The tier's limits, each replaced by the account's own where it has one."""
    tier = _NONE if state.tier is None else TIERS[state.tier]
    return Limits(
        concurrency=tier.concurrency if state.concurrency is None else state.concurrency,
        rpm=tier.rpm if state.rpm is None else state.rpm,
        tpm=tier.tpm if state.tpm is None else state.tpm,
        tpd=tier.tpd if state.tpd is None else state.tpd,
    )


def _suspended(call: ChatCall) -> Refusal | None:
    return Refusal("quota") if call.account.state.suspended else None


def _balance(call: ChatCall) -> Refusal | None:
    return Refusal("quota") if call.account.state.balance <= 0 else None


def _concurrency(call: ChatCall) -> Refusal | None:
    most = limits_of(call.account.state).concurrency
    if most is None or sum(call.account.in_flight.values()) < most:
        return None
    return Refusal(
        "rate_limit_concurrency",
        f"Your account {ACCOUNT} request reached organization max concurrency: {most},"
        " please try again after 1 seconds",
    )


def _rpm(call: ChatCall) -> Refusal | None:
    account = call.account
    most = limits_of(account.state).rpm
    if most is None or account.usage.minute_calls.used(account.clock.now()) < most:
        return None
    return Refusal(
        "rate_limit_rpm",
        f"Your account {ACCOUNT} request reached organization max RPM: {most},"
        " please try again after 1 seconds",
    )


def _tpm(call: ChatCall) -> Refusal | None:
    account = call.account
    most = limits_of(account.state).tpm
    current = account.usage.minute_tokens.used(account.clock.now()) + call.charged_tokens
    return None if most is None or current <= most else _tokens("rate_limit_tpm", "TPM", current, most)


def _tpd(call: ChatCall) -> Refusal | None:
    account = call.account
    most = limits_of(account.state).tpd
    now = account.clock.now()
    current = account.usage.day_tokens.used(now) + call.charged_tokens
    if most is None or current <= most:
        return None
    return _tokens("rate_limit_tpd", "TPD", current, most, math.ceil(china_midnight_after(now) - now))


def _tokens(error: str, which: str, current: int, most: int, wait_s: int = 1) -> Refusal:
    wait = str(wait_s)
    return Refusal(
        error,
        f"Your account {ACCOUNT} request reached {which} rate limit, current: {current}, limit: {most}",
        headers={"Retry-After": wait, "X-Retry-After": wait, "Msh-Cooldown-Seconds": wait},
    )


LIMIT_RULES: tuple[Rule, ...] = (
    Rule(
        "kimi.account.suspended",
        "D",
        "a suspended account: 429 or 403 `exceeded_current_quota_error`",
        _suspended,
    ),
    Rule("kimi.account.balance", "D", "no balance: 429 or 403 `exceeded_current_quota_error`", _balance),
    Rule(
        "kimi.account.concurrency",
        "D",
        "more calls in flight than allowed: 429 with Retry-After",
        _concurrency,
    ),
    Rule(
        "kimi.account.rpm",
        "DW",
        "more calls within 60 seconds than allowed: 429 with the three headers",
        _rpm,
    ),
    Rule("kimi.account.tpm", "D", "more tokens within 60 seconds than allowed: 429", _tpm),
    Rule("kimi.account.tpd", "DI", "more tokens since midnight than allowed: 429 naming TPD", _tpd),
)

LIMIT_BEHAVIOURS: tuple[Behaviour, ...] = (
    Behaviour("kimi.limits.tiers", "D", "tiers 0 to 5 have the documented limits, shared by all models"),
    Behaviour("kimi.limits.charge", "D", "the limits of tokens count the prompt and the whole requested cap"),
    Behaviour(
        "kimi.limits.default_cap", "?", "a call that requests no cap counts with its model's default cap"
    ),
    Behaviour(
        "kimi.limits.wait_is_short", "W", "an RPM refusal asks for 1 second, however long the window is"
    ),
    Behaviour(
        "kimi.limits.midnight", "?", "the day ends at midnight of UTC+8, and its refusal asks to wait for it"
    ),
    Behaviour("kimi.limits.refused", "D", "a call that is refused counts against no limit"),
)
