"""Records an exchange. An answer that cannot be kept is given all the same: it was paid for."""

import asyncio

import msgspec

from exai.consulting.context import CallContext
from exai.consulting.material import ShownMaterial
from exai.conversations.conversations import Conversation, Conversations
from exai.errors import ConversationFull, StoreFailed, UnknownConversation
from exai.providers.base import Completion
from exai.routing.ledger import Stage
from exai.runtime.limits.deadlines import Deadline

__all__ = ["Recording", "record"]

LONGEST_S = 10.0
"""How long an answer waits for its commit, less where its call is at the end of its time."""
LEAST_S = 0.05


class Recording(msgspec.Struct, frozen=True):
    """What became of an exchange."""

    conversation_id: str | None
    """What goes on with it; `None`: there is no conversation to go on with."""
    exchanges: int
    """How many the conversation has."""
    not_kept: str | None = None
    """Why the exchange is not in it, or may not be, in a sentence for the caller."""


async def record(
    conversations: Conversations,
    conversation: Conversation,
    material: ShownMaterial,
    completion: Completion,
    context: CallContext,
    *,
    left_s: float,
) -> Recording:
    """Commit an exchange within `left_s`, or say why it is not kept."""
    patience_s = max(LEAST_S, min(LONGEST_S, left_s))
    try:
        with context.stage(Stage.STORE), Deadline(asyncio.get_running_loop().time() + patience_s):
            number = await conversations.record(
                conversation,
                caller=context.caller,
                question=material.as_recorded,
                answer=completion.text,
                reasoning=completion.reasoning,
                model=completion.model,
                call_id=context.call_id,
            )
    except (StoreFailed, TimeoutError):
        return _unconfirmed(conversation)
    except ConversationFull:
        why = (
            "This exchange was not kept: others used the conversation's last one meanwhile. "
            "Start a new conversation without continuation_id, and repeat what matters."
        )
        return Recording(None, conversation.exchanges, why)
    except UnknownConversation:
        why = (
            "This exchange was not kept: its conversation was deleted meanwhile. "
            "Start a new one without continuation_id."
        )
        return Recording(None, 0, why)
    return Recording(conversation.id, number)


def _unconfirmed(conversation: Conversation) -> Recording:
    if not conversation.exchanges:
        why = (
            "This exchange was not kept, as EXAI's database did not take it: there is no continuation_id to go on "
            "with. Ask the next question without one, and repeat what matters."
        )
        return Recording(None, 0, why)
    why = (
        "This exchange may not be kept, as EXAI's database did not confirm it. The continuation_id stays good; "
        "repeat in the next question what matters of this one."
    )
    return Recording(conversation.id, conversation.exchanges, why)
