"""Asking the user of a call that may have become a task."""

import asyncio

import mcp_types as types
from pydantic import ValidationError

from exai.consulting.results import Confirmation
from exai.transports.confirmation.asking import FORM, Confirm, Decision, decision_of, elicitation_of
from exai.transports.tasks.live import LiveTask

__all__ = ["allowed_before", "confirm_in"]


def confirm_in(live: LiveTask, by_result: Confirm | None = None) -> Confirm:
    """Return what asks by the call's result while there is no task, and by the task from then on."""

    async def ask(confirmation: Confirmation, within_s: float) -> Decision:
        if live.settle() and by_result is not None:
            return await by_result(confirmation, within_s)
        try:
            async with asyncio.timeout(within_s):
                answers = await live.ask(**{FORM: elicitation_of(confirmation)})
            return decision_of(types.ElicitResult.model_validate(answers[FORM]))
        except (TimeoutError, ValidationError):
            return Decision.DECLINED

    return ask


async def allowed_before(_: Confirmation, __: float) -> Decision:
    """Say yes for a user who did, before the process ended."""
    return Decision.ALLOWED
