"""What a GLM account may use: its balance, its calls in flight, and its plan's windows."""

from exai_emulator.calls import ChatCall, Refusal
from exai_emulator.clock import china_time
from exai_emulator.rules import Behaviour, Rule

__all__ = ["LIMIT_BEHAVIOURS", "LIMIT_RULES"]


def _suspended(call: ChatCall) -> Refusal | None:
    return Refusal("1112") if call.account.state.suspended else None


def _plan_only(call: ChatCall) -> Refusal | None:
    return Refusal("1113") if call.account.state.plan_only and not call.on_plan else None


def _balance(call: ChatCall) -> Refusal | None:
    state = call.account.state
    return Refusal("1113") if state.balance <= 0 and not state.plan_only else None


def _plan_expired(call: ChatCall) -> Refusal | None:
    ends_at = call.account.state.plan_ends_at
    expired = ends_at is not None and call.account.clock.now() >= ends_at
    return Refusal("1309") if expired and call.on_plan else None


def _plan_window(call: ChatCall) -> Refusal | None:
    most, window = call.account.state.plan_window_calls, call.account.usage.plan_window
    if most is None or not call.on_plan or window.used(call.account.clock.now()) < most:
        return None
    resets_at = china_time(window.resets_at(call.account.clock.now()))
    return Refusal("1308", f"Usage limit reached for 5 hour. Your limit will reset at {resets_at}")


def _plan_week(call: ChatCall) -> Refusal | None:
    most, week = call.account.state.plan_week_calls, call.account.usage.plan_week
    if most is None or not call.on_plan or week.used(call.account.clock.now()) < most:
        return None
    resets_at = china_time(week.resets_at(call.account.clock.now()))
    return Refusal("1310", f"Weekly/Monthly limit exhausted. Your limit will reset at {resets_at}")


def _daily(call: ChatCall) -> Refusal | None:
    most = call.account.state.daily_calls
    used = call.account.usage.day_calls.used(call.account.clock.now())
    return Refusal("1304") if most is not None and used >= most else None


def _concurrency(call: ChatCall) -> Refusal | None:
    most = call.account.state.concurrency
    busy = most is not None and call.account.in_flight.get(call.model_id, 0) >= most
    return Refusal("1302") if busy else None


LIMIT_RULES: tuple[Rule, ...] = (
    Rule("glm.account.suspended", "D", "a locked account: 401/1112", _suspended),
    Rule("glm.account.plan_only", "LI", "a plan without balance on the general root: 429/1113", _plan_only),
    Rule("glm.account.balance", "D", "no balance: 429/1113", _balance),
    Rule("glm.account.plan_expired", "D", "the coding root after the plan's end: 429/1309", _plan_expired),
    Rule(
        "glm.account.plan_window",
        "DL",
        "the plan's calls of five hours used up: 429/1308 with the reset in UTC+8",
        _plan_window,
    ),
    Rule(
        "glm.account.plan_week",
        "DL",
        "the plan's calls of a week used up: 429/1310 with the reset in UTC+8",
        _plan_week,
    ),
    Rule("glm.account.daily", "D", "more calls since midnight than allowed: 429/1304", _daily),
    Rule(
        "glm.account.concurrency", "D", "more calls in flight on a model than allowed: 429/1302", _concurrency
    ),
)

LIMIT_BEHAVIOURS: tuple[Behaviour, ...] = (
    Behaviour(
        "glm.limits.windows", "?", "a plan's window opens with the first call after the last one closed"
    ),
    Behaviour("glm.limits.midnight", "?", "the day ends at midnight of UTC+8"),
)
