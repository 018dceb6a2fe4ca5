"""Says of each tool whether the list could do without it, by rules over how it was used, with the numbers behind."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Literal

import msgspec

from exai.storage.calls.tool_use import ToolUse

__all__ = ["Consolidation", "JudgedTool", "ToolVerdict", "consolidation_of", "judge_tools"]

LEAST_DAYS = 30
LEAST_COVERAGE = 0.95
LEAST_CALLERS = 3
LEAST_FOLLOWED = 20
"""Calls from which on it says something what came next."""
RARE = 0.01
COSTLY = 0.05
OVERLAPS = 0.6
ALIAS_DAYS = 90
HIDDEN_DAYS = 30

ToolVerdict = Literal["used", "unused", "rare", "costly to list", "overlaps", "not enough use"]


class JudgedTool(msgspec.Struct, frozen=True):
    """A tool with its use and the verdict on it."""

    tool: str
    calls: int
    failures: int
    callers: int
    clients: int
    outcomes: Mapping[str, int]
    p50_ms: float | None
    cost_usd: float
    last_day: str | None
    older_names: Mapping[str, int]
    list_tokens: int | None
    """Of its entry in the list; `None`: it is not listed."""
    lists_sent: int
    """Which had its entry: usually one for each session."""
    followed_by: Mapping[str, int]
    """Which tools the same caller asked within two minutes."""
    verdict: ToolVerdict
    why: str

    @property
    def tokens_read(self) -> int:
        """What models have read of its entry, at least: the fuller profiles say more of it."""
        return self.lists_sent * (self.list_tokens or 0)


class Consolidation(msgspec.Struct, frozen=True):
    """When a tool could go, step by step."""

    tool: str
    hide_on: date
    """From then on no list has it, and it answers as ever (`tools.hidden`)."""
    alias_from: date
    """From then on its name is an older name, whose answers point to another tool."""
    remove_on: date
    tokens_saved: int


class _Whole(msgspec.Struct, frozen=True):
    days: float
    coverage: float
    callers: int
    calls: int
    tokens: int


def judge_tools(
    used: Mapping[str, ToolUse],
    listed: Mapping[str, int],
    *,
    days: float,
    coverage: float,
    callers: int,
    p50_ms: Mapping[str, float | None],
    followed: Mapping[str, Mapping[str, int]],
    lists_sent: Mapping[str, int],
) -> list[JudgedTool]:
    """Judge every tool that is listed or was used, those that were used most first.

    Args:
        used: how tools were used.
        listed: tokens of the entries of the list.
        days: how far back was looked.
        coverage: the share of that time in which EXAI ran.
        callers: who called anything.
        p50_ms: by tool, of those that ask a model.
        followed: by tool, what was asked next.
        lists_sent: how many lists had its entry, by tool.
    """
    calls = sum(use.calls for use in used.values())
    whole = _Whole(days, coverage, callers, calls, sum(listed.values()))
    found = []
    for name in {*used, *listed}:
        use, tokens, then = used.get(name, ToolUse(name)), listed.get(name), followed.get(name, {})
        verdict, why = _judge(use, tokens, then, whole)
        found.append(
            JudgedTool(
                name,
                use.calls,
                use.failures,
                use.callers,
                use.clients,
                use.outcomes,
                p50_ms.get(name),
                use.cost_usd,
                use.last_day,
                use.older_names,
                tokens,
                lists_sent.get(name, 0),
                then,
                verdict,
                why,
            )
        )
    return sorted(found, key=lambda each: (-each.calls, each.tool))


def _judge(
    use: ToolUse, tokens: int | None, then: Mapping[str, int], whole: _Whole
) -> tuple[ToolVerdict, str]:
    missing = _lacking(whole)
    if use.calls == 0:
        if missing is not None:
            return "not enough use", f"0 calls, but {missing}."
        return "unused", f"0 calls in {whole.days:g} days, of {whole.callers} callers."
    others = [(count, name) for name, count in then.items() if name != use.tool]
    repeated, other = max(others, default=(0, ""))
    if use.calls >= LEAST_FOLLOWED and repeated / use.calls >= OVERLAPS:
        return "overlaps", f"{repeated} of {use.calls} calls were followed by {other} within two minutes."
    of_calls = f"{use.calls} of {whole.calls} calls"
    if missing is None and use.calls / whole.calls < RARE:
        if use.callers <= 1:
            return "rare", f"{of_calls}, all of one caller."
        if tokens is not None and tokens / whole.tokens > COSTLY:
            return "costly to list", f"{of_calls}, and {tokens} of {whole.tokens} tokens of the list."
    return "used", f"{of_calls}, of {use.callers} callers."


def _lacking(whole: _Whole) -> str | None:
    """Say what is missing to call a tool unused or rare; `None`: nothing."""
    if whole.days < LEAST_DAYS:
        return f"{whole.days:g} days are too few, {LEAST_DAYS} are needed"
    if whole.coverage < LEAST_COVERAGE:
        return f"EXAI ran for {whole.coverage:.0%} of the time, and {LEAST_COVERAGE:.0%} are needed"
    if whole.callers < LEAST_CALLERS:
        return f"{whole.callers} callers are too few, {LEAST_CALLERS} are needed"
    return None


def consolidation_of(tools: Sequence[JudgedTool], today: date) -> list[Consolidation]:
    """Plan when the tools that the list could do without may go: hide, then an alias, then remove."""
    alias_from = today + timedelta(days=HIDDEN_DAYS)
    return [
        Consolidation(each.tool, today, alias_from, alias_from + timedelta(days=ALIAS_DAYS), each.list_tokens)
        for each in tools
        if each.list_tokens is not None and each.verdict not in {"used", "not enough use"}
    ]
