"""The same question over and over, as agents that are stuck put it: answered by its first answer.

Only questions count whose answer depends on nothing but their words (`Tool.answers_alike`): no conversation, no files,
nothing of a workspace. Any other call of the same client in between begins anew, and so do ten minutes.
"""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import msgspec

from exai.callers import Caller
from exai.tools.base import ToolAnswer
from exai.tools.envelope import with_note
from exai.tools.registry import Invocation

__all__ = ["REPEATED_KEY", "Repeats"]

REPEATED_KEY = "exai/repeated"
"""In the `_meta` of an answer that was given before: how often the question has been asked."""

WITHIN_S = 600.0
MOST_CLIENTS = 200
"""Of whom the latest question is remembered."""


class _Asked(msgspec.Struct):
    """The latest question of a client, and its first answer."""

    name: str
    given: Mapping[str, Any]
    answer: ToolAnswer
    answered_at: float
    times: int = 1

    def is_same(self, invocation: Invocation, now: float) -> bool:
        """Return whether a question is this one, a short time later."""
        in_time = now - self.answered_at <= WITHIN_S
        return in_time and self.name == invocation.name and self.given == invocation.given


class Repeats:
    """Remembers the latest question of each client."""

    def __init__(self, most: int) -> None:
        """`most` times in a row a question is asked of models; 0: each time."""
        self._most = most
        self.asked: OrderedDict[tuple[str, str], _Asked] = OrderedDict()
        """The latest question of each client, by subject and name."""

    def answer_again(self, invocation: Invocation, caller: Caller, now: float) -> ToolAnswer | None:
        """Return the first answer of a question that was asked too often; `None` for one that is to be asked.

        `now` is of the monotonic clock, in seconds.
        """
        asked = self.asked.get((caller.subject, caller.client))
        if asked is None or asked.times < self._most or not asked.is_same(invocation, now):
            return None
        asked.times += 1
        return _given_again(asked)

    def note(self, invocation: Invocation, caller: Caller, answer: ToolAnswer, now: float) -> None:
        """Remember a question that was answered."""
        key, given = (caller.subject, caller.client), invocation.given
        asked = self.asked.get(key)
        if not given or not self._most or not invocation.tool.answers_alike.issuperset(given):
            self.asked.pop(key, None)
        elif asked is not None and asked.given == given and asked.is_same(invocation, now):
            asked.times += 1
        else:
            self.asked[key] = _Asked(invocation.name, given, answer, now)
            if len(self.asked) > MOST_CLIENTS:
                self.asked.popitem(last=False)


def _given_again(asked: _Asked) -> ToolAnswer:
    sentence = (
        f"This is the answer that the same question got before; you have asked it {asked.times} times in a row, and no "
        "model was asked again. Change the question, or go on with what there is."
    )
    meta = {**(asked.answer.meta or {}), REPEATED_KEY: {"times": asked.times}}
    return with_note(msgspec.structs.replace(asked.answer, meta=meta), sentence)
