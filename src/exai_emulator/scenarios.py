"""What comes next, told in advance: steps for the next requests, and replies to what a user says.

The order of the reply engine: the next step of a scenario, else the first reply whose
pattern is in the last user text, else the persona in force and the queue of faults.
"""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated

import msgspec

from exai_emulator.faults import Fault
from exai_emulator.personas import Persona

__all__ = ["Asked", "ReplyRule", "Scenario", "Script", "Step"]

_LONGEST_PATTERN = 500


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What happens to one request, or to `times` of them. A step that says nothing lets them pass."""

    persona: Persona | None = None
    """Answers instead of the one in force."""
    fault: Fault | None = None
    """Strikes; its own `times`, `probability`, `lasts_s` and selection do not count. Queued ones wait."""
    advance_s: float = 0
    """The emulator's clock is moved so far, so that the next request is judged by it."""
    times: Annotated[int, msgspec.Meta(ge=1)] = 1


class Scenario(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Steps for the next requests that fit, in order. A request that is refused anyway takes none."""

    provider: str
    steps: tuple[Step, ...]
    path: str | None = "/chat/completions"
    """Only requests whose path ends so; None for every path."""
    model: str | None = None
    """Only requests for this model."""
    key: str | None = None
    """Only requests with this key."""


class ReplyRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How a request is answered whose last user text holds a pattern."""

    matches: str
    """A regular expression."""
    persona: Persona | None = None
    fault: Fault | None = None
    """See `Step.fault`."""
    provider: str | None = None
    model: str | None = None
    times: Annotated[int, msgspec.Meta(ge=1)] | None = None
    """Of the requests with one and the same text, as retries have it, how many are answered so; None for all."""

    def __post_init__(self) -> None:
        if len(self.matches) > _LONGEST_PATTERN:
            raise ValueError(f"A reply's pattern has at most {_LONGEST_PATTERN} characters.")
        try:
            re.compile(self.matches)
        except re.error as error:
            raise ValueError(f"A reply's pattern is no regular expression: {error}.") from error
        if self.persona is None and self.fault is None:
            raise ValueError("A reply needs a persona or a fault.")


@dataclass(frozen=True, slots=True)
class Asked:
    """What a script sees of a request."""

    provider: str
    path: str
    key: str
    model: str | None
    text: str | None
    """The last user text; None for a request that is no chat."""


@dataclass(slots=True)
class _Running:
    scenario: Scenario
    place: int = 0
    """Of the next step."""
    used: int = 0
    """How often that step was taken."""

    @property
    def left(self) -> int:
        return len(self.scenario.steps) - self.place

    def fits(self, asked: Asked) -> bool:
        told = self.scenario
        return (
            told.provider == asked.provider
            and (told.path is None or asked.path.endswith(told.path))
            and told.model in (None, asked.model)
            and told.key in (None, asked.key)
        )

    def take(self) -> Step:
        step = self.scenario.steps[self.place]
        self.used += 1
        if self.used == step.times:
            self.place, self.used = self.place + 1, 0
        return step


@dataclass(slots=True)
class _Reply:
    pattern: re.Pattern[str]
    rule: ReplyRule
    given: Counter[str] = field(default_factory=Counter)
    """How often, by the text of the requests, where that is bounded."""

    def fits(self, asked: Asked, text: str) -> bool:
        rule = self.rule
        return (
            rule.provider in (None, asked.provider)
            and rule.model in (None, asked.model)
            and self.pattern.search(text) is not None
            and (rule.times is None or self.given[text] < rule.times)
        )


class Script:
    """The scenarios that run, and the replies in force."""

    def __init__(self, check: Callable[[str, Fault], None]) -> None:
        """`check` raises ValueError for a fault that a provider cannot have."""
        self._check = check
        self._running: list[_Running] = []
        self._replies: list[_Reply] = []

    @property
    def is_empty(self) -> bool:
        """Whether nothing is told in advance."""
        return not self._running and not self._replies

    def clear(self) -> None:
        """Nothing is told in advance."""
        self._running.clear()
        self._replies.clear()

    def run(self, scenario: Scenario) -> None:
        """Append a scenario. Raises ValueError when its provider or a fault's error does not exist."""
        if not scenario.steps:
            raise ValueError("A scenario has at least one step.")
        for step in scenario.steps:
            self._check_told(scenario.provider, step.fault)
        self._running.append(_Running(scenario))

    def reply(self, rule: ReplyRule) -> None:
        """Append a reply. Raises ValueError when its provider or its fault's error does not exist."""
        if rule.fault is not None and rule.fault.error is not None and rule.provider is None:
            raise ValueError("A reply with an error of a table names the provider whose table it is.")
        self._check_told(rule.provider, rule.fault)
        self._replies.append(_Reply(re.compile(rule.matches), rule))

    def _check_told(self, provider: str | None, fault: Fault | None) -> None:
        if provider is not None:
            self._check(provider, fault or Fault())
        if fault is not None and fault.at == "while_receiving":
            raise ValueError("A fault at while_receiving waits in the queue of faults, not in a script.")

    def take(self, asked: Asked) -> Step | None:
        """What was told about this request."""
        for place, running in enumerate(self._running):
            if running.fits(asked):
                step = running.take()
                if not running.left:
                    del self._running[place]
                return step
        if asked.text is None:
            return None
        for reply in self._replies:
            if reply.fits(asked, asked.text):
                reply.given[asked.text] += reply.rule.times is not None
                return Step(reply.rule.persona, reply.rule.fault)
        return None

    def listed(self) -> dict[str, list[dict[str, object]]]:
        """What waits, as the control port shows it."""
        return {
            "scenarios": [
                {"scenario": msgspec.to_builtins(running.scenario), "steps_left": running.left}
                for running in self._running
            ],
            "replies": [msgspec.to_builtins(reply.rule) for reply in self._replies],
        }
