"""The kept results of calls with an idempotency key: what a row says to whoever asks again."""

import json
from collections.abc import Callable

import msgspec

from exai.errors import CallInDoubt, IdempotencyKeyReused, ResultLost, RunningElsewhere
from exai.events.events import CallRecalled, Event
from exai.storage.calls.idempotent_calls import IdempotentCallId, IdempotentCallTable, KeptCall
from exai.tools.base import ToolAnswer

__all__ = ["META_KEY", "KeptResults", "recalled"]

META_KEY = "exai/idempotent-call"
"""In the `_meta` of an answer that was not made for this request: how it was recalled, and which call made it."""

ELSEWHERE_RETRY_AFTER_S = 2.0


class KeptResults:
    """Reads and writes rows as answers and errors."""

    def __init__(
        self, table: IdempotentCallTable, max_result_bytes: int, publish: Callable[[Event], None]
    ) -> None:
        self._table = table
        self._max_result_bytes = max_result_bytes
        self._publish = publish

    async def find(
        self, call: IdempotentCallId, digest: str, *, resumes: bool
    ) -> ToolAnswer | KeptCall | None:
        """Return the kept answer; `None` when there is no row; with `resumes`, the row of a call whose process died.

        Raises:
            IdempotencyKeyReused, RunningElsewhere, CallInDoubt, ResultLost: the row has no answer for this call.
            StoreFailed: the database is out of reach.
        """
        kept = await self._table.find(call)
        if kept is None:
            return None
        if kept.digest != digest:
            raise self.reused(None)
        if kept.ended:
            return self._unpacked(kept)
        if not await self._table.is_abandoned(kept.run_id):
            raise self.elsewhere()
        kept = await self._table.find(call)  # a process writes its last ends before it goes
        if kept is None or kept.ended:
            return None if kept is None else self._unpacked(kept)
        if resumes:
            self._publish(CallRecalled("resumed"))
            return kept
        raise await self._interrupted(call, kept)

    async def begin(self, call: IdempotentCallId, *, digest: str, tool: str, call_id: str) -> bool:
        """Commit the row, unless there is one; return whether it was written.

        Raises:
            StoreFailed: it was not kept, or nobody knows.
        """
        return await self._table.begin(call, digest=digest, tool=tool, call_id=call_id)

    async def keep(self, call: IdempotentCallId, call_id: str, answer: ToolAnswer) -> None:
        """Commit an answer, or that it was too large.

        Raises:
            StoreFailed: it was not kept.
        """
        result = _packed(answer)
        fits = len(result.encode("utf-8", "replace")) <= self._max_result_bytes
        await self._table.end(call, call_id=call_id, result=result if fits else None)

    async def free(self, call: IdempotentCallId, *, digest: str, tool: str, call_id: str) -> None:
        """Delete the row, if this call wrote it.

        Raises:
            StoreFailed: it is still there.
        """
        await self._table.free(call, digest=digest, tool=tool, call_id=call_id)

    def reused(self, tool: str | None) -> IdempotencyKeyReused:
        """Make the error for a key that another call used; `tool` is that call's, where it is known."""
        self._publish(CallRecalled("reused"))
        of = "another call" if tool is None else f"another call of {tool}"
        return IdempotencyKeyReused(
            f"This idempotency key was used for {of}, with other arguments. Give every new call a key of its own."
        )

    def elsewhere(self) -> RunningElsewhere:
        """Make the error for a call that another process runs."""
        self._publish(CallRecalled("elsewhere"))
        return RunningElsewhere(
            "This call runs in another EXAI process on the same database. Ask again under the same key in a few "
            "seconds: then its result is there.",
            retry_after_s=ELSEWHERE_RETRY_AFTER_S,
        )

    async def _interrupted(self, call: IdempotentCallId, kept: KeptCall) -> CallInDoubt | ResultLost:
        """Make the error for a call whose process died."""
        conversation = await self._table.conversation_of(call, kept.call_id)
        if conversation is None:
            self._publish(CallRecalled("in_doubt"))
            return CallInDoubt(
                f"EXAI stopped while this call ran ({kept.call_id} in its journal). Whether it was carried out is "
                "unknown, and it was not repeated. Ask again under a new key if doing it twice does no harm."
            )
        self._publish(CallRecalled("lost"))
        return ResultLost(
            f"This call has been carried out ({kept.call_id} in the journal): its question and answer are the "
            f"last of the conversation {conversation}, but EXAI stopped before its result was kept. Go on with "
            "that continuation_id, or ask again under a new key."
        )

    def _unpacked(self, kept: KeptCall) -> ToolAnswer:
        """Return the result of a row that has ended.

        Raises:
            ResultLost: it was too large to be kept, or was deleted.
        """
        if kept.result is None:
            self._publish(CallRecalled("lost"))
            raise ResultLost(
                f"This call has been carried out ({kept.call_id} in the journal), but its result is not kept: it was "
                "larger than idempotency.max_result_bytes, or its conversation was deleted. Go on with the "
                "conversation if it is there, or ask again under a new key."
            )
        self._publish(CallRecalled("stored"))
        return recalled(ToolAnswer(**json.loads(kept.result)), "stored", kept.call_id)


def recalled(answer: ToolAnswer, how: str, call_id: str | None) -> ToolAnswer:
    """Mark an answer as recalled, unless it is marked already."""
    if META_KEY in (answer.meta or ()):
        return answer
    return msgspec.structs.replace(
        answer, meta={**(answer.meta or {}), META_KEY: {"recalled": how, "call_id": call_id}}
    )


def _packed(answer: ToolAnswer) -> str:
    facts = {
        "text": answer.text,
        "structured": answer.structured,
        "meta": answer.meta,
        "is_error": answer.is_error,
        "links": answer.links,
    }
    return json.dumps(facts, ensure_ascii=False, separators=(",", ":"))
