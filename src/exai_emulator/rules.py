"""Where the emulated services refuse: one row per rule, each with its evidence, each switchable."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from exai_emulator.calls import ChatCall, Check, KeyVerdict, Refusal

__all__ = ["MARKS", "AnyRule", "Behaviour", "EndpointRule", "KeyRule", "Rule", "RuleBook"]

MARKS: Mapping[str, str] = {
    "W": "a published recording of the real service",
    "D": "the vendor's documentation",
    "L": "a third party's report of a live test",
    "S": "the source of a client or SDK",
    "I": "user reports",
    "?": "an inference",
}
"""What each evidence mark stands for."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A refusal: its id, what is known of it, and the test."""

    id: str
    marks: str
    summary: str
    check: Check
    field: str | None = None
    """The test only runs on bodies that have this field."""
    default: bool = True


@dataclass(frozen=True, slots=True)
class KeyRule:
    """A refusal of the key, before anything else is looked at."""

    id: str
    marks: str
    summary: str
    verdict: KeyVerdict
    refusal: Refusal
    default: bool = True


@dataclass(frozen=True, slots=True)
class EndpointRule:
    """A refusal at another endpoint than chat; `check` gets what that endpoint reads."""

    id: str
    marks: str
    summary: str
    check: Callable[[Any], Refusal | None]
    default: bool = True


@dataclass(frozen=True, slots=True)
class Behaviour:
    """Something the emulator does that is not a refusal, with its evidence."""

    id: str
    marks: str
    summary: str
    switchable: bool = False
    default: bool = True


AnyRule = Rule | KeyRule | EndpointRule | Behaviour


class RuleBook:
    """The rules of all providers, and which are on."""

    def __init__(
        self, rules: Mapping[str, Iterable[AnyRule]], *, strictness: str, switched: Mapping[str, bool]
    ) -> None:
        self.by_provider = {provider: tuple(rows) for provider, rows in rules.items()}
        self.by_id = {
            rule.id: rule
            for rows in self.by_provider.values()
            for rule in rows
            if not isinstance(rule, Behaviour) or rule.switchable
        }
        self._initial = (strictness, dict(switched))
        self.reset()

    def reset(self) -> None:
        """As at the start."""
        strictness, switched = self._initial
        self.select(strictness)
        for rule_id, on in switched.items():
            self.set(rule_id, on=on)

    def select(self, strictness: str) -> None:
        """Switch all rules: `default`, `recorded` (only mark W) or `all`."""
        choices: dict[str, Callable[[AnyRule], bool]] = {
            "default": lambda rule: rule.default,
            "recorded": lambda rule: "W" in rule.marks,
            "all": lambda _: True,
        }
        if strictness not in choices:
            raise ValueError(f"There is no strictness {strictness!r}; there are {', '.join(choices)}.")
        self._on = {rule.id for rule in self.by_id.values() if choices[strictness](rule)}
        self._rebuild()

    def set(self, rule_id: str, *, on: bool) -> None:
        """Switch one rule. Raises ValueError when no rule has this id."""
        if rule_id not in self.by_id:
            raise ValueError(f"There is no rule {rule_id!r}.")
        (self._on.add if on else self._on.discard)(rule_id)
        self._rebuild()

    def is_on(self, rule_id: str) -> bool:
        """Whether a rule is in force."""
        return rule_id in self._on

    def key_refusal(self, provider: str, verdict: KeyVerdict) -> Refusal | None:
        """The refusal of a key that was judged so."""
        return self._key_refusals.get((provider, verdict))

    def first_refusal(self, provider: str, call: ChatCall) -> Refusal | None:
        """The refusal of the first rule that the request breaks."""
        body = call.body
        for field, check in self._active[provider]:
            if (field is None or field in body) and (refusal := check(call)) is not None:
                return refusal
        return None

    def first_of(self, rules: Iterable[EndpointRule], request: Any) -> Refusal | None:
        """The refusal of the first of an endpoint's rules that its request breaks."""
        for rule in rules:
            if rule.id in self._on and (refusal := rule.check(request)) is not None:
                return refusal
        return None

    def listed(self) -> list[dict[str, object]]:
        """Every rule with its state."""
        return [
            {"id": rule.id, "on": rule.id in self._on, "marks": rule.marks, "summary": rule.summary}
            for rule in self.by_id.values()
        ]

    def _rebuild(self) -> None:
        self._active = {
            provider: tuple(
                (rule.field, rule.check) for rule in rows if isinstance(rule, Rule) and rule.id in self._on
            )
            for provider, rows in self.by_provider.items()
        }
        self._key_refusals = {
            (provider, rule.verdict): rule.refusal
            for provider, rows in self.by_provider.items()
            for rule in rows
            if isinstance(rule, KeyRule) and rule.id in self._on
        }
