"""By what faults are grouped: rule 1.

The first line that applies decides; a fingerprint is SHA-256 over the JSON of `[rule, project, line, parts…]`.

=========  ===========================================  ===============================================================
line       applies when                                 parts
=========  ===========================================  ===============================================================
`given`    the reporter says by what                    its texts; `{{ default }}` is what the other lines give
`code`     it is an error of ours with a code, but no   the code, and the facts that `FACTS_BY_CODE` names for it; the
           incident with a cause                        message's template where one of them is not known
`stack`    a frame of the project's own code is there   per exception, cause before effect: type, typed detail, the
                                                        functions of its own frames without line numbers, recursion
                                                        folded; of bare types the message's template too
`message`  else                                         type or logger, the template, the first frames of libraries
=========  ===========================================  ===============================================================

Similarity never decides. The rule is frozen by examples with their hashes; a change of what any of them gives is a rule
with another number.
"""

import hashlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec

from exai import errors
from exai.error_tracking.faults import OWN_PROJECT, Fault, FaultFrame, RaisedException
from exai.error_tracking.templates import template_of
from exai.errors import ExaiError, ProviderFault

__all__ = ["RULE", "Fingerprint", "fingerprint", "message_template"]

RULE = 1

DEFAULT = "{{default}}"
"""Its blanks do not count."""
OWN_FRAMES = 20
FOREIGN_FRAMES = 5
FOREIGN_READ = 100
"""Of these the first five are left once recursion is folded."""
LONGEST_CYCLE = 4
"""Functions that call each other in a circle, as far as that is folded."""

BARE_TYPES = frozenset(
    {"BaseException", "Error", "Exception", "ExceptionGroup", "RuntimeError", "builtins.Error"}
)
"""Types that say nothing, so that the message has to."""


def _provider_codes() -> frozenset[str]:
    classes = (getattr(errors, name) for name in errors.__all__)
    return frozenset(each.code for each in classes if issubclass(each, ProviderFault))


FACTS_BY_CODE: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(_provider_codes(), ("provider", "model")),
    "bad_arguments": ("tool", "field"),
    "overloaded": ("gate",),
    "deadline_exceeded": ("tool", "stage"),
    "store_failed": ("driver", "detail"),
    "cannot_start": ("setting",),
}
"""What tells faults of one code apart."""


class Fingerprint(msgspec.Struct, frozen=True):
    """What one fault is grouped by."""

    rule: int
    line: str
    """Which line of the rule decided."""
    hash: str
    """64 hexadecimal digits."""
    parts: tuple[Any, ...]
    """What was hashed, for people: texts, and lists of texts."""

    @property
    def why(self) -> str:
        """The parts as JSON, with the line that decided."""
        return msgspec.json.encode([self.line, *self.parts]).decode()


def fingerprint(fault: Fault) -> Fingerprint:
    """Compute what a fault is grouped by."""
    line, parts = _default(fault)
    if fault.reported_fingerprint:
        given: list[Any] = []
        for part in fault.reported_fingerprint:
            given += parts if part.replace(" ", "") == DEFAULT else [_storable(part)]
        line, parts = "given", given
    return Fingerprint(RULE, line, _hash(fault.project, line, parts), tuple(parts))


def _default(fault: Fault) -> tuple[str, list[Any]]:
    """Return the first line of the rule that applies whoever reports, with its parts."""
    if (parts := _by_code(fault)) is not None:
        return "code", parts
    if (parts := _by_stack(fault)) is not None:
        return "stack", parts
    return "message", _by_message(fault)


def message_template(fault: Fault) -> str:
    """Return the fixed part of what a fault says."""
    if fault.chain:
        return _template(fault.chain[-1])
    return _storable(template_of(fault.message) if fault.template is None else fault.template)


def _hash(project: int, line: str, parts: Sequence[Any]) -> str:
    return hashlib.sha256(msgspec.json.encode([RULE, project, line, *parts])).hexdigest()


def _by_code(fault: Fault) -> list[Any] | None:
    code = fault.code
    if code is None or code == ExaiError.code:
        return None
    if code == errors.Incident.code and _without_incident(fault):
        return None
    facts = {
        "tool": fault.tool,
        "provider": fault.provider,
        "model": fault.model,
        "driver": fault.chain[0].type if len(fault.chain) > 1 else None,
        "detail": fault.chain[0].detail if len(fault.chain) > 1 else None,
        **fault.facts,
    }
    named = [facts.get(name) for name in FACTS_BY_CODE.get(code, ())]
    parts = [code, *(_storable(value or "") for value in named)]
    if not named or None in named:
        parts.append(message_template(fault))
    return parts


def _without_incident(fault: Fault) -> Sequence[RaisedException]:
    """The chain but for the error that only tells a caller that something unforeseen happened."""
    return [each for each in fault.chain if not each.type.endswith("errors.Incident")]


def _by_stack(fault: Fault) -> list[Any] | None:
    chain = _without_incident(fault)
    if not any(frame.own for each in chain for frame in each.frames):
        return None
    parts: list[Any] = []
    for each in chain:
        own = tuple(frame for frame in each.frames if frame.own)
        about = [_storable(each.type), _storable(each.detail), _functions(fault, own)[-OWN_FRAMES:]]
        if each.type in BARE_TYPES:
            about.append(_template(each))
        parts.append(about)
    return parts


def _by_message(fault: Fault) -> list[Any]:
    frames: Sequence[FaultFrame] = fault.chain[-1].frames if fault.chain else ()
    kind = fault.chain[-1].type if fault.chain else fault.logger
    foreign = _functions(fault, tuple(frames[:FOREIGN_READ]))
    return [_storable(kind), message_template(fault), foreign[:FOREIGN_FRAMES]]


def _functions(fault: Fault, frames: tuple[FaultFrame, ...]) -> list[str]:
    """Name the functions of frames; those of EXAI itself are remembered, as the same places fail over and over."""
    return list(_known_functions(frames)) if fault.project == OWN_PROJECT else _names_of(frames)


@lru_cache(maxsize=256)
def _known_functions(frames: tuple[FaultFrame, ...]) -> tuple[str, ...]:
    return tuple(_names_of(frames))


def _names_of(frames: Sequence[FaultFrame]) -> list[str]:
    return _folded([_storable(f"{frame.module}:{frame.function}") for frame in frames])


def _template(raised: RaisedException) -> str:
    return _storable(template_of(raised.message) if raised.template is None else raised.template)


def _folded(functions: list[str]) -> list[str]:
    """Leave one round of each circle of functions that call each other."""
    kept: list[str] = []
    for function in functions:
        kept.append(function)
        for length in range(1, LONGEST_CYCLE + 1):
            if len(kept) < 2 * length or kept[-1] != kept[-1 - length]:
                continue
            if length == 1 or kept[-length:] == kept[-2 * length : -length]:
                del kept[-length:]
                break
    return kept


def _storable(text: str) -> str:
    """Replace what has no UTF-8."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
