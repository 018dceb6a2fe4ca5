"""What an answer says of the older name that its call used: to programs always, to an agent once per conversation.

Whether an agent was told is read off its call where that is possible: one that goes on with a conversation was told
when that began. Of tools without conversations the callers that were told are kept, for as long as the process lives.
Results without notes, such as those of `status`, say it to programs alone.
"""

from collections import OrderedDict

from exai.callers import Caller
from exai.tools.base import Requested, ToolAnswer
from exai.tools.envelope import under_alias, with_note
from exai.tools.registry import Invocation

__all__ = ["OlderNames"]

MOST_TOLD = 10_000
"""Callers and names that are kept; beyond, the longest unused are told once more."""


class OlderNames:
    """Names what answers under an older name."""

    def __init__(self) -> None:
        self._told: OrderedDict[tuple[str, str, str], None] = OrderedDict()

    def named(
        self, answer: ToolAnswer, invocation: Invocation, caller: Caller, requested: Requested
    ) -> ToolAnswer:
        """Return the answer of a call, which says so where the call used an older name."""
        alias, tool = invocation.alias, invocation.tool
        if alias is None:
            return answer
        if self._is_due(invocation, caller, requested):
            answer = with_note(answer, f"`{alias.name}` is an older name here: `{tool.name}` answered it.")
        return under_alias(answer, alias.name, tool.name)

    def _is_due(self, invocation: Invocation, caller: Caller, requested: Requested) -> bool:
        if "notes" not in invocation.tool.result.__struct_fields__:
            return False
        if "continuation_id" in invocation.tool.argument_schema["properties"]:
            return requested.conversation_id is None
        told = (caller.subject, caller.client, invocation.name)
        was_told = told in self._told
        self._told[told] = None
        self._told.move_to_end(told)
        if len(self._told) > MOST_TOLD:
            self._told.popitem(last=False)
        return not was_told
