"""Has a model explain what was observed. It reads numbers and names of models, and no text of anybody.

It decides nothing: it may write a few sentences to an observation, and raise its severity by one step. What it names
that it was not asked about is left out.
"""

import json
from collections.abc import Awaitable, Callable, Iterable
from itertools import pairwise

import msgspec
import structlog

from exai.events.bus import EventBus
from exai.events.events import ObservationOpened
from exai.runtime.clock import Clock
from exai.storage.auditor.observations import SEVERITIES, Observations, Severity

__all__ = ["PURSE", "Ask", "Explainer", "Reply"]

PURSE = "auditor"
"""Grants each request."""

MOST_PENDING = 20
"""Observations in one request; of more, the oldest go without an explanation."""
MOST_CHARACTERS = 600
"""Of an explanation."""

_INTRODUCTION = (
    "These are observations of a server that answers calls by asking language models. Each was made by a fixed rule "
    "over numbers. Say of each, in at most three plain sentences, what most likely causes it and what would tell "
    "causes apart; where several have one cause, say so. Set `raise` only if it is worse than its severity says. "
    "Answer with one JSON object and nothing else: "
    '{"explanations": [{"observation": "obs_...", "text": "...", "raise": false}]}'
)

_log = structlog.get_logger(__name__)


class Reply(msgspec.Struct, frozen=True):
    """What became of a request."""

    text: str | None
    """`None`: nobody answered."""
    retry_after_s: float = 0.0
    """How long none is granted any more."""


Ask = Callable[[str], Awaitable[Reply]]


class _Explanation(msgspec.Struct):
    observation: str
    text: str
    worse: bool = msgspec.field(default=False, name="raise")


class _Explanations(msgspec.Struct):
    explanations: list[_Explanation]


class Explainer:
    """Collects what opened or got worse; `explain` is a duty, which asks at most one request a run."""

    def __init__(self, observations: Observations, ask: Ask, clock: Clock) -> None:
        self._observations = observations
        self._ask = ask
        self._clock = clock
        self._pending: dict[str, ObservationOpened] = {}
        self._not_before = 0.0

    def watch(self, bus: EventBus) -> None:
        """Collect observations from now on."""
        bus.watch(self._note, ObservationOpened)

    def _note(self, event: ObservationOpened) -> None:
        self._pending.pop(event.observation_id, None)
        self._pending[event.observation_id] = event
        if len(self._pending) > MOST_PENDING:
            del self._pending[next(iter(self._pending))]

    async def explain(self) -> None:
        """Ask about what is pending, unless the budget is spent.

        Raises:
            StoreFailed: an explanation was not kept.
        """
        if not self._pending or self._clock.monotonic() < self._not_before:
            return
        asked = dict(self._pending)
        reply = await self._ask(_prompt(asked.values()))
        if reply.retry_after_s:
            self._not_before = self._clock.monotonic() + reply.retry_after_s
            return
        for observation_id, event in asked.items():
            if self._pending.get(observation_id) is event:
                del self._pending[observation_id]
        for explanation in _read(reply.text):
            if (event_of := asked.get(explanation.observation)) is not None:
                await self._keep(explanation, event_of)

    async def _keep(self, explanation: _Explanation, event: ObservationOpened) -> None:
        worse = _one_step_above(event.severity) if explanation.worse else None
        text = " ".join(explanation.text.split())[:MOST_CHARACTERS]
        await self._observations.change(event.observation_id, explanation=text, severity=worse)


def _one_step_above(severity: str) -> Severity:
    steps: dict[str, Severity] = dict(pairwise((*SEVERITIES, SEVERITIES[-1])))
    return steps.get(severity, SEVERITIES[0])


def _prompt(events: Iterable[ObservationOpened]) -> str:
    lines = [
        f"- {event.observation_id}: rule {event.detector}, subject {event.subject!r}, {event.severity}: {event.numbers}"
        for event in events
    ]
    return "\n".join([_INTRODUCTION, "", *lines])


def _read(text: str | None) -> list[_Explanation]:
    """Return what an answer says; nothing where it is no such object."""
    begin = -1 if text is None else text.find("{")
    if text is None or begin < 0:
        return []
    try:
        found, _ = json.JSONDecoder().raw_decode(text, begin)
        return msgspec.convert(found, _Explanations).explanations
    except (ValueError, msgspec.ValidationError):
        _log.info("the explanation of observations is not readable")
        return []
