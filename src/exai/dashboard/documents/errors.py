"""The documents `errors` and `auditor`: what went wrong, and what the auditor observed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from msgspec import json, to_builtins

from exai.dashboard.documents.moments import first, whole
from exai.error_tracking.console import Console
from exai.monitoring.auditor.auditor import Auditor
from exai.monitoring.auditor.detectors import DETECTORS
from exai.monitoring.auditor.windows import WINDOW_S
from exai.storage.auditor.observations import EXERCISE, Observation, Observations
from exai.storage.calls.budgets import BudgetGrants, Limit
from exai.storage.dashboard.sums import DashboardSums
from exai.storage.error_tracking.rows import Turn

__all__ = ["AuditorView", "Errors", "observation_row", "turn_row"]

MOST_GROUPS = 20
MOST_TURNS = 20
MOST_OBSERVATIONS = 50


@dataclass(frozen=True)
class Errors:
    """Makes the document `errors`."""

    console: Console
    sums: DashboardSums

    async def make(self, share: float) -> dict[str, Any]:
        """Make it, with this share of what its lists may hold."""
        lines = await self.console.listed(most=MOST_GROUPS)
        counts = await self.sums.groups_by_state()
        turns = await self.console.turns(MOST_TURNS)
        return {
            "open": counts.get("open", 0),
            "resolved": counts.get("resolved", 0),
            "archived": counts.get("archived", 0),
            "escalating": sum(line.escalates for line in lines),
            "groups": to_builtins(list(first(lines, MOST_GROUPS, share))),
            "turns": [turn_row(turn) for turn in first(turns, MOST_TURNS, share)],
        }


def turn_row(turn: Turn) -> dict[str, Any]:
    """Describe a turn of a group's history."""
    return {
        "at": whole(turn.at),
        "group": f"E-{turn.number}",
        "kind": turn.kind,
        "actor": turn.actor,
        "from": turn.from_state,
        "to": turn.to_state,
    }


@dataclass(frozen=True)
class AuditorView:
    """Makes the document `auditor`."""

    mode: str
    auditor: Auditor
    observations: Observations
    budgets: BudgetGrants
    purse: str
    limits: Sequence[Limit]

    async def lasting(self) -> list[Observation]:
        """List what is open or acknowledged, the latest seen first."""
        found = await self.observations.listing(beside=EXERCISE, most=MOST_OBSERVATIONS)
        return [each for each in found if each.state != "gone"]

    async def make(self, share: float) -> dict[str, Any]:
        """Make it, with this share of what its lists may hold."""
        counts, judged = self.auditor.counts_of(), await self.observations.judged()
        lasting = await self.lasting()
        return {
            "mode": self.mode,
            "watching": self.mode != "off",
            "windows": counts.windows,
            "folded": counts.folded,
            "dropped": self.auditor.dropped,
            "window_s": WINDOW_S,
            "budget": [await self._budget(limit) for limit in self.limits],
            "observations": [observation_row(each) for each in first(lasting, MOST_OBSERVATIONS, share)],
            "detectors": [
                {
                    "detector": detector.name,
                    "category": detector.category,
                    "sightings": counts.observations[detector.name],
                    "useful": judged[detector.name].useful if detector.name in judged else 0,
                    "noise": judged[detector.name].noise if detector.name in judged else 0,
                    "precision": judged[detector.name].precision if detector.name in judged else None,
                }
                for detector in DETECTORS
            ],
        }

    async def _budget(self, limit: Limit) -> dict[str, Any]:
        spent = await self.budgets.spent(self.purse, limit.window_s)
        requests = {"used": spent.requests, "limit": limit.requests}
        usd = {"used": round(spent.usd, 6), "limit": limit.usd}
        return {
            "window_s": limit.window_s,
            "requests": None if limit.requests is None else requests,
            "usd": None if limit.usd is None else usd,
        }


def observation_row(each: Observation) -> Mapping[str, Any]:
    """Describe an observation."""
    return {
        **to_builtins(each),
        "numbers": json.decode(each.numbers),
        "windows": json.decode(each.windows),
    }
