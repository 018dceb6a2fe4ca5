"""How a client's user is asked for a budget, as each revision of MCP has it.

    2025-11-25 and 2025-06-18   `elicitation/create` (form) while the call is under way
    2026-07-28                  the call returns an `InputRequiredResult`; its client makes it again, with the answer
    a task of 2026-07-28        the task is `input_required`; `tasks/update` brings the answer

Only a client that declares forms in its capabilities is asked. `requestState` holds what the form asked for, and a
number that is used once: the call that is made again has its idempotency key by it, so that one yes is spent once,
however often it is brought. It is not sealed, as it proves nothing: a budget is an argument that any caller may give by
itself, and is checked as one.
"""

import asyncio
import hashlib
import secrets
from collections.abc import Awaitable, Callable, Mapping
from enum import Enum, auto
from typing import Any

import mcp_types as types
import msgspec
from mcp.server.context import ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import ValidationError

from exai.consulting.results import Confirmation
from exai.tools.base import JsonObject

__all__ = [
    "FORM",
    "Confirm",
    "Decision",
    "RequestState",
    "by_elicitation",
    "can_be_asked",
    "confirm_by",
    "decided",
    "decision_of",
    "elicitation_of",
    "input_required",
    "key_once_allowed",
    "with_allowed",
]

FORM = "allow_budget"
"""The key of the form among the requests of a result."""
ALLOW = "allow"
"""The form's field. A client that accepts a form without it has not said yes."""


class Decision(Enum):
    """What became of the question."""

    ALLOWED = auto()
    DECLINED = auto()
    """Or cancelled, or not answered in time."""
    UNASKED = auto()
    """The client cannot ask its user after all."""
    BY_RESULT = auto()
    """The call's result asks, and the client makes the call again."""


class RequestState(Confirmation, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What the client of a call that is made again brings back."""

    nonce: str


Elicit = Callable[[types.ElicitRequestFormParams], Awaitable[types.ElicitResult]]
"""Sends a form to the client."""
Confirm = Callable[[Confirmation, float], Awaitable[Decision]]
"""Asks the user, for so many seconds at most."""


def can_be_asked(capabilities: types.ClientCapabilities | None) -> bool:
    """Whether a client declares forms: `elicitation` without a mode means forms, too."""
    declared = None if capabilities is None else capabilities.elicitation
    return declared is not None and (declared.form is not None or declared.url is None)


def confirm_by(context: ServerRequestContext[Any, Any]) -> Confirm | None:
    """Return what asks the user of a request's client; `None` where that is not declared."""
    if not can_be_asked(context.session.client_capabilities):
        return None
    if context.protocol_version in MODERN_PROTOCOL_VERSIONS:
        return _by_result

    async def elicit(form: types.ElicitRequestFormParams) -> types.ElicitResult:
        return await context.session.elicit_form(
            form.message, form.requested_schema, related_request_id=context.request_id
        )

    return by_elicitation(elicit)


def by_elicitation(elicit: Elicit) -> Confirm:
    """Return what asks a client while its call is under way."""

    async def ask(confirmation: Confirmation, within_s: float) -> Decision:
        try:
            async with asyncio.timeout(within_s):
                return decision_of(await elicit(form_of(confirmation)))
        except TimeoutError:
            return Decision.DECLINED
        except (MCPError, ValidationError):
            return Decision.UNASKED

    return ask


def form_of(confirmation: Confirmation) -> types.ElicitRequestFormParams:
    """Make the form with yes and no."""
    message = (
        f"EXAI estimates this call at about ${confirmation.estimated_usd:.4f}, which is above the "
        f"${confirmation.above_usd:g} that may be spent unasked. Allow it up to ${confirmation.budget_usd:g}?"
    )
    allow = {"type": "boolean", "title": "Allow", "description": f"Spend up to ${confirmation.budget_usd:g}"}
    schema: JsonObject = {"type": "object", "properties": {ALLOW: allow}, "required": [ALLOW]}
    return types.ElicitRequestFormParams(message=message, requested_schema=schema)


def elicitation_of(confirmation: Confirmation) -> JsonObject:
    """Make the request that a result or a task has for its client."""
    request = types.ElicitRequest(params=form_of(confirmation))
    return request.model_dump(by_alias=True, mode="json", exclude_none=True)


def decision_of(answer: types.ElicitResult) -> Decision:
    """Read the answer to the form."""
    allows = answer.action == "accept" and (answer.content or {}).get(ALLOW) is True
    return Decision.ALLOWED if allows else Decision.DECLINED


def input_required(confirmation: Confirmation) -> JsonObject:
    """Make the result that has a client of 2026-07-28 ask its user and make the call again."""
    state = RequestState(**msgspec.structs.asdict(confirmation), nonce=secrets.token_hex(16))
    return {
        "resultType": "input_required",
        "inputRequests": {FORM: elicitation_of(confirmation)},
        "requestState": msgspec.json.encode(state).decode(),
    }


def decided(params: types.CallToolRequestParams) -> tuple[RequestState, Decision] | None:
    """Return what a call that is made again was asked for, and what its user says; `None` for any other call.

    Raises:
        MCPError: its `requestState` is none of EXAI's.
    """
    answer = (params.input_responses or {}).get(FORM)
    if not isinstance(answer, types.ElicitResult):
        return None
    try:
        state = msgspec.json.decode(params.request_state or "", type=RequestState)
    except (msgspec.DecodeError, UnicodeError):
        raise MCPError(
            INVALID_PARAMS,
            "This requestState is not the one that came with the form. Make the call without it and without "
            "inputResponses; EXAI then asks again.",
        ) from None
    return state, decision_of(answer)


def key_once_allowed(key: str) -> str:
    """Return the idempotency key of a call that was allowed: under its own the question is kept."""
    return f"{hashlib.sha256(key.encode()).hexdigest()}-allowed"


def with_allowed(arguments: Mapping[str, Any] | None, confirmation: Confirmation) -> JsonObject:
    """Return the arguments of a call with what allows it."""
    return {**(arguments or {}), **confirmation.allowed}


async def _by_result(_: Confirmation, __: float) -> Decision:
    return Decision.BY_RESULT
