"""The errors of the house, one small tree.

    ExaiError
    ├── StartFault             the daemon cannot start; one sentence on stderr, exit 2
    ├── RequestFault           answered as a JSON-RPC error
    │   ├── MalformedMessage, UnknownTool
    │   ├── Unauthenticated        no token, or one that is not believed
    │   ├── TooManyAttempts        refused too often within a minute
    │   ├── KeysUnavailable        nobody can tell whether another issuer's token is good
    │   ├── ScopeMissing           a good token that does not allow this
    │   └── TokenRefused           a token that cannot be made (InvalidGrant, UnknownToken)
    └── ToolFault              answered as a tool result with `isError`, so that a model can react
        ├── BadArguments, FileRefused, UnknownModel, AbilityMissing
        ├── UnknownConversation, ConversationFull
        ├── Overloaded, DeadlineExceeded, Stopping, StoreFailed, ToolLoopExceeded
        ├── IdempotencyKeyReused, CallInDoubt, RunningElsewhere, ResultLost
        ├── Incident           something unforeseen; the caller learns an id, the log has the rest
        └── ProviderFault      the provider's doing
            ├── ProviderUnconfigured, ProviderUnauthorized, ProviderDenied
            ├── ProviderThrottled, ProviderOverloaded, QuotaExhausted
            ├── ProviderRefused, ContextOverflow, ContentFiltered
            ├── ProviderUnreachable, ProviderFailed, ProviderTimeout (ProviderSilent)
            ├── CircuitOpen    it failed too often and is not asked for a while
            └── AnswerBroken, AnswerEmpty

A class exists where somebody would act differently. Facts of the class say how it
is answered, so that no door needs a chain of `isinstance`.
"""

from typing import ClassVar

from exai.costs import Usage

__all__ = [
    "AbilityMissing",
    "AnswerBroken",
    "AnswerEmpty",
    "BadArguments",
    "CallInDoubt",
    "CircuitOpen",
    "ContentFiltered",
    "ContextOverflow",
    "ConversationFull",
    "DeadlineExceeded",
    "ExaiError",
    "FileRefused",
    "IdempotencyKeyReused",
    "Incident",
    "InvalidGrant",
    "KeysUnavailable",
    "MalformedMessage",
    "Overloaded",
    "ProviderDenied",
    "ProviderFailed",
    "ProviderFault",
    "ProviderOverloaded",
    "ProviderRefused",
    "ProviderSilent",
    "ProviderThrottled",
    "ProviderTimeout",
    "ProviderUnauthorized",
    "ProviderUnconfigured",
    "ProviderUnreachable",
    "QuotaExhausted",
    "RequestFault",
    "ResultLost",
    "RunningElsewhere",
    "ScopeMissing",
    "StartFault",
    "Stopping",
    "StoreFailed",
    "TokenRefused",
    "TooManyAttempts",
    "ToolFault",
    "ToolLoopExceeded",
    "Unauthenticated",
    "UnknownConversation",
    "UnknownModel",
    "UnknownToken",
    "UnknownTool",
]


class ExaiError(Exception):
    """Base of everything that EXAI itself raises.

    `str(error)` is a sentence for the caller: what is wrong and what to do. It
    never holds a secret, a path outside what the caller named, or a body.
    """

    code: ClassVar[str] = "error"
    """Stable, machine-readable; clients may match on it."""

    http_status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False
    """Whether the same request may succeed later without a change."""

    fixable_by: ClassVar[str] = "operator"
    """Who can do something about it: `caller`, `operator`, `provider` or `developer`."""


class StartFault(ExaiError):
    """The daemon cannot start as configured."""

    code = "cannot_start"


class RequestFault(ExaiError):
    """A fault of the protocol: answered as a JSON-RPC error."""

    code = "invalid_request"
    http_status = 400
    fixable_by = "caller"
    rpc_code: ClassVar[int] = -32600


class MalformedMessage(RequestFault):
    """The bytes are not one JSON-RPC 2.0 message within the limits."""

    code = "malformed_message"


class UnknownTool(RequestFault):
    """MCP 2025-11-25 and 2026-07-28, tools, error handling: an unknown tool is -32602."""

    code = "unknown_tool"
    http_status = 404
    rpc_code = -32602


class Unauthenticated(RequestFault):
    """No token came, or one that is not believed; which of its parts is wrong is told to nobody but the log."""

    code = "unauthenticated"
    http_status = 401
    rpc_code = -32006

    def __init__(self, message: str, *, presented: bool) -> None:
        super().__init__(message)
        self.presented = presented
        """Whether a token came at all (RFC 6750, 3.1: `invalid_token` is said only then)."""


class TooManyAttempts(RequestFault):
    """Refused once more from an address that was so too often; what is good passes all the same."""

    code = "too_many_attempts"
    http_status = 429
    retryable = True
    rpc_code = -32006

    def __init__(self, message: str, *, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class KeysUnavailable(RequestFault):
    """The keys of another issuer cannot be fetched, so that its tokens are neither believed nor refused."""

    code = "keys_unavailable"
    http_status = 503
    retryable = True
    fixable_by = "operator"
    rpc_code = -32006

    def __init__(self, message: str, *, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class ScopeMissing(RequestFault):
    """The token is good and does not allow this (RFC 6750, 3.1: `insufficient_scope`)."""

    code = "insufficient_scope"
    http_status = 403
    rpc_code = -32007

    def __init__(self, message: str, *, scope: str) -> None:
        super().__init__(message)
        self.scope = scope
        """What would allow it."""


class TokenRefused(RequestFault):
    """No token can be made as it was asked for."""

    code = "token_refused"


class InvalidGrant(TokenRefused):
    """A refresh token that gets nothing (RFC 6749, 5.2)."""

    code = "invalid_grant"

    def __init__(self, message: str, *, genuine: bool) -> None:
        super().__init__(message)
        self.genuine = genuine
        """Whether it was one once, and so no guess."""


class UnknownToken(TokenRefused):
    """No token of that id that is not over."""

    code = "unknown_token"
    http_status = 404


class ToolFault(ExaiError):
    """A failed call: answered as a result with `isError`."""

    code = "tool_failed"

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        """When a retry makes sense, in seconds from now; `None` where nobody knows."""


class BadArguments(ToolFault):
    code = "bad_arguments"
    http_status = 400
    fixable_by = "caller"


class FileRefused(ToolFault):
    """A file that may not or cannot be read for this call."""

    code = "file_refused"
    http_status = 400
    fixable_by = "caller"


class UnknownModel(ToolFault):
    code = "unknown_model"
    http_status = 400
    fixable_by = "caller"


class AbilityMissing(ToolFault):
    """The model named cannot do what the call asks for."""

    code = "ability_missing"
    http_status = 400
    fixable_by = "caller"


class UnknownConversation(ToolFault):
    """No such conversation for this caller; another owner's answers just the same."""

    code = "unknown_conversation"
    http_status = 404
    fixable_by = "caller"


class ConversationFull(ToolFault):
    code = "conversation_full"
    http_status = 409
    fixable_by = "caller"


class Overloaded(ToolFault):
    """Every permit is taken and the queue is full, or its deadline passed."""

    code = "overloaded"
    http_status = 503
    retryable = True


class DeadlineExceeded(ToolFault):
    """The call's own time is over; `partial` holds the text that had arrived."""

    code = "deadline_exceeded"
    http_status = 504
    retryable = True

    def __init__(self, message: str, *, partial: str = "", unanswered_s: float = 0.0) -> None:
        super().__init__(message)
        self.partial = partial
        self.unanswered_s = unanswered_s
        """How long a provider had been asked without a byte of an answer when the time ran out, in seconds."""


class Stopping(ToolFault):
    """The daemon is shutting down."""

    code = "stopping"
    http_status = 503
    retryable = True


class StoreFailed(ToolFault):
    """The database did not take what had to be kept."""

    code = "store_failed"
    http_status = 503
    retryable = True


class IdempotencyKeyReused(ToolFault):
    """The idempotency key belongs to another call."""

    code = "idempotency_key_reused"
    http_status = 409
    fixable_by = "caller"


class CallInDoubt(ToolFault):
    """The process died while the operation ran: unknown, not repeated."""

    code = "in_doubt"
    http_status = 409
    fixable_by = "caller"


class RunningElsewhere(ToolFault):
    """Another process on the same database runs the operation."""

    code = "running_elsewhere"
    http_status = 409
    retryable = True


class ResultLost(ToolFault):
    """The operation was carried out; its result was too large to be kept, or the process died before it was."""

    code = "result_lost"
    http_status = 410
    fixable_by = "caller"


class ToolLoopExceeded(ToolFault):
    """A model went on calling tools after it was told to answer."""

    code = "tool_loop_exceeded"
    http_status = 502
    fixable_by = "caller"


class Incident(ToolFault):
    """Something unforeseen; the log holds the rest under the incident's id."""

    code = "internal_error"
    fixable_by = "developer"


class ProviderFault(ToolFault):
    """The provider did not answer as asked."""

    code = "provider_failed"
    http_status = 502
    fixable_by = "provider"

    usage: Usage | None = None
    """What the provider reported that it used all the same: a failure may be billed."""


class ProviderUnconfigured(ProviderFault):
    """No key is set for the provider of the model."""

    code = "provider_unconfigured"
    http_status = 503
    fixable_by = "operator"


class ProviderUnauthorized(ProviderFault):
    """The provider does not accept our key."""

    code = "provider_unauthorized"
    fixable_by = "operator"


class ProviderDenied(ProviderFault):
    """The key is good, but not for this model or API."""

    code = "provider_denied"
    fixable_by = "operator"


class ProviderThrottled(ProviderFault):
    """Too many requests for the account's limits; a little later it works."""

    code = "provider_throttled"
    http_status = 429
    retryable = True


class ProviderOverloaded(ProviderFault):
    """The provider has no capacity now, whatever our own rate."""

    code = "provider_overloaded"
    http_status = 503
    retryable = True


class QuotaExhausted(ProviderFault):
    """Money or plan window used up; a retry only helps after a top-up or the reset."""

    code = "quota_exhausted"
    http_status = 429
    fixable_by = "operator"


class ProviderRefused(ProviderFault):
    """The provider calls the request invalid."""

    code = "provider_refused"
    fixable_by = "caller"


class ContextOverflow(ProviderFault):
    """The prompt and the asked-for answer do not fit into the model's window."""

    code = "context_overflow"
    http_status = 413
    fixable_by = "caller"


class ContentFiltered(ProviderFault):
    code = "content_filtered"
    http_status = 422
    fixable_by = "caller"


class ProviderUnreachable(ProviderFault):
    """No connection, or it broke before the first byte of an answer."""

    code = "provider_unreachable"
    http_status = 503
    retryable = True


class ProviderTimeout(ProviderFault):
    code = "provider_timeout"
    http_status = 504
    retryable = True


class ProviderSilent(ProviderTimeout):
    """It took the request and sent nothing for as long as it may: it may still be at work, so nobody asks twice."""


class CircuitOpen(ProviderFault):
    """The model failed so often that its provider is spared for a while; nothing was sent."""

    code = "circuit_open"
    http_status = 503
    retryable = True


class ProviderFailed(ProviderFault):
    """A server error of the provider, or an answer that makes no sense."""

    retryable = True


class AnswerBroken(ProviderFault):
    """The answer began and ended half-way; it is not repeated silently.

    `partial` holds the text that had arrived.
    """

    code = "answer_broken"
    retryable = True

    def __init__(self, message: str, *, partial: str = "") -> None:
        super().__init__(message)
        self.partial = partial


class AnswerEmpty(ProviderFault):
    """A success without a word: most often the cap was spent on thinking."""

    code = "answer_empty"
    fixable_by = "caller"
