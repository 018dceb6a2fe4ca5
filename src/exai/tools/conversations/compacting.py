"""Summaries of the oldest exchanges of a conversation, which stand for them in prompts."""

import msgspec

from exai.consulting.consultant import Consultant
from exai.consulting.consultation import Consultation
from exai.consulting.context import CallContext
from exai.consulting.inquiry import Inquiry
from exai.conversations.conversations import Conversation, Conversations
from exai.errors import BadArguments
from exai.storage.conversations.archive import ConversationArchive, ExportedExchange
from exai.tools.prompts import prompt

__all__ = ["KEPT", "Compacted", "Compacting"]

KEPT = 4
"""Exchanges at the end that stay as they are."""

MOST_CHARACTERS = 400_000
"""Of exchanges that are summed up at a time; the next time goes on behind them."""


class Compacted(msgspec.Struct, frozen=True):
    """A summary that is kept."""

    up_to: int
    consultation: Consultation


class Compacting:
    """Has a model sum up."""

    def __init__(
        self, consultant: Consultant, conversations: Conversations, archive: ConversationArchive
    ) -> None:
        self._consultant = consultant
        self._conversations = conversations
        self._archive = archive

    async def compact(
        self, conversation: Conversation, context: CallContext, *, keep: int, model: str | None
    ) -> Compacted:
        """Have a model sum up all but the newest `keep` exchanges, and keep the summary.

        Raises:
            BadArguments: there is nothing to sum up, or another summary came first.
            ToolFault: the model did not answer.
        """
        said = await self._archive.exchanges(conversation.id)
        first, last = conversation.summary_to, conversation.exchanges - keep
        chosen = _fitting([each for each in said if first < each.number <= last])
        if not chosen:
            raise BadArguments(
                f"There is nothing to sum up: of {conversation.exchanges} exchanges the first "
                f"{first} are summed up already, and the last {keep} stay as they are. Give a smaller `keep`."
            )
        consultation = await self._consultant.consult(
            Inquiry(
                instructions=prompt("compact"),
                question=_material(conversation, chosen),
                model=model,
                records=False,
            ),
            context,
        )
        up_to, text = chosen[-1].number, consultation.completion.text
        if not await self._conversations.summarize(context.caller, conversation.id, up_to, text):
            raise BadArguments("Another summary was kept meanwhile, or the conversation was deleted.")
        return Compacted(up_to, consultation)


def _fitting(said: list[ExportedExchange]) -> list[ExportedExchange]:
    """Return the first exchanges that are not too long together, and at least one."""
    size = 0
    chosen: list[ExportedExchange] = []
    for each in said:
        size += len(each.question) + len(each.answer)
        if chosen and size > MOST_CHARACTERS:
            break
        chosen.append(each)
    return chosen


def _material(conversation: Conversation, chosen: list[ExportedExchange]) -> str:
    """Return what is to be summed up: the summary so far, then the exchanges."""
    parts = [f"Sum up exchanges 1 to {chosen[-1].number}."]
    if conversation.summary_to:
        parts.append(
            f"What a summary says of exchanges 1 to {conversation.summary_to}:\n{conversation.summary}"
        )
    parts += [
        f"Exchange {each.number}, question:\n{each.question}\n\nExchange {each.number}, answer:\n{each.answer}"
        for each in chosen
    ]
    return "\n\n".join(parts)
