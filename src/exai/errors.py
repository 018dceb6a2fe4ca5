"""The errors of EXAI, one small tree.

    ExaiError
    ├── StartFault             the daemon cannot start; one sentence on stderr, exit 2
    ├── RequestFault           answered as a JSON-RPC error
    │   ├── MalformedMessage, UnknownTool
    │   ├── Unauthenticated        no token, or an invalid one
    │   ├── TooManyAttempts        refused too often within a minute
    │   ├── KeysUnavailable        another issuer's token cannot be verified now
    │   ├── ScopeMissing           a valid token that does not allow this
    │   └── TokenRefused           a token that cannot be issued (InvalidGrant, UnknownToken)
    └── ToolFault              answered as a tool result with `isError`, so that a model can react
        ├── BadArguments, FileRefused, UnknownModel, AbilityMissing
        ├── UnknownConversation, ConversationFull
        ├── Overloaded, DeadlineExceeded, Stopping, StoreFailed, ToolLoopExceeded
        ├── IdempotencyKeyReused, CallInDoubt, RunningElsewhere, ResultLost
        ├── Incident           an unforeseen failure; the caller gets an id, the log has the rest
        └── ProviderFault      the provider failed or refused
            ├── ProviderUnconfigured, ProviderUnauthorized, ProviderDenied
            ├── ProviderThrottled, ProviderOverloaded, QuotaExhausted
            ├── ProviderRefused, ContextOverflow, ContentFiltered
            ├── ProviderUnreachable, ProviderFailed, ProviderTimeout (ProviderSilent)
            ├── CircuitOpen    it failed too often, and is not asked for a while
            └── AnswerBroken, AnswerEmpty (AnswerCapSpent)

A class exists where a caller or a program would act differently. Attributes of the class say how the error is
answered, so that no transport needs a chain of `isinstance`.
"""

from typing import ClassVar, Self

__all__ = [
    "AbilityMissing",
    "AnswerBroken",
    "AnswerCapSpent",
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
    """Base class of the errors that EXAI raises.

    `str(error)` is a message for the caller: what is wrong and what to do. It never contains a secret, a path that the
    caller did not name, or a body.
    """

    code: ClassVar[str] = "error"
    """Stable, machine-readable; clients may match on it."""

    http_status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False
    """Whether the same request may succeed later without a change."""

    fixable_by: ClassVar[str] = "operator"
    """Who can fix it: `caller`, `operator`, `provider` or `developer`."""

    def adding(self, sentence: str) -> Self:
        """Make the same error with a sentence more; this one may be told to others."""
        made = type(self).__new__(type(self))
        made.__dict__.update(self.__dict__)
        made.args = (f"{self} {sentence}",)
        return made


class StartFault(ExaiError):
    """The daemon cannot start as configured."""

    code = "cannot_start"


class RequestFault(ExaiError):
    """An error of the protocol: answered as a JSON-RPC error."""

    code = "invalid_request"
    http_status = 400
    fixable_by = "caller"
    rpc_code: ClassVar[int] = -32600


class MalformedMessage(RequestFault):
    """The bytes are not one JSON-RPC 2.0 message within the limits."""

    code = "malformed_message"


class UnknownTool(RequestFault):
    """There is no tool of this name; -32602 in both revisions of MCP."""

    code = "unknown_tool"
    http_status = 404
    rpc_code = -32602


class Unauthenticated(RequestFault):
    """There was no token, or an invalid one. Only the log says what is wrong with it."""

    code = "unauthenticated"
    http_status = 401
    rpc_code = -32006

    def __init__(self, message: str, *, presented: bool) -> None:
        super().__init__(message)
        self.presented = presented
        """Whether there was a token at all: only then the answer is `invalid_token` (RFC 6750, 3.1)."""


class TooManyAttempts(RequestFault):
    """An address has sent too many invalid tokens; its valid ones are still accepted."""

    code = "too_many_attempts"
    http_status = 429
    retryable = True
    rpc_code = -32006

    def __init__(self, message: str, *, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class KeysUnavailable(RequestFault):
    """The keys of another issuer cannot be fetched, so its tokens can be neither accepted nor refused."""

    code = "keys_unavailable"
    http_status = 503
    retryable = True
    fixable_by = "operator"
    rpc_code = -32006

    def __init__(self, message: str, *, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class ScopeMissing(RequestFault):
    """The token is valid and does not allow this (RFC 6750, 3.1: `insufficient_scope`)."""

    code = "insufficient_scope"
    http_status = 403
    rpc_code = -32007

    def __init__(self, message: str, *, scope: str) -> None:
        super().__init__(message)
        self.scope = scope
        """The scope that would allow it."""


class TokenRefused(RequestFault):
    """The token that was asked for cannot be issued."""

    code = "token_refused"


class InvalidGrant(TokenRefused):
    """The refresh token is not accepted (RFC 6749, 5.2)."""

    code = "invalid_grant"

    def __init__(self, message: str, *, genuine: bool) -> None:
        super().__init__(message)
        self.genuine = genuine
        """Whether it was valid once, so that it is no guess."""


class UnknownToken(TokenRefused):
    """There is no active token with that id."""

    code = "unknown_token"
    http_status = 404


class ToolFault(ExaiError):
    """A failed call: answered as a result with `isError`."""

    code = "tool_failed"

    partial: str = ""
    """What had arrived of an answer."""

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        """After how many seconds a retry makes sense; `None` when that is unknown."""


class BadArguments(ToolFault):
    code = "bad_arguments"
    http_status = 400
    fixable_by = "caller"


class FileRefused(ToolFault):
    """A file may not be read for this call, or cannot be."""

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
    """The caller has no such conversation; one of another owner gets the same answer."""

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
    """The call's deadline has passed; `partial` has the text received so far.

    Its message names no setting: which one bounds a call is known where its tool is.
    """

    code = "deadline_exceeded"
    http_status = 504
    retryable = True

    def __init__(self, message: str, *, partial: str = "", unanswered_s: float = 0.0) -> None:
        super().__init__(message)
        self.partial = partial
        self.unanswered_s = unanswered_s
        """For how many seconds a provider had sent no byte of an answer when the deadline passed."""


class Stopping(ToolFault):
    """The daemon is shutting down."""

    code = "stopping"
    http_status = 503
    retryable = True

    def __init__(self, message: str, *, begun: bool = True, retry_after_s: float | None = None) -> None:
        super().__init__(message, retry_after_s=retry_after_s)
        self.begun = begun
        """Whether the call may have begun; if not, to ask again repeats nothing."""


class StoreFailed(ToolFault):
    """The database did not accept a write that was needed."""

    code = "store_failed"
    http_status = 503
    retryable = True


class IdempotencyKeyReused(ToolFault):
    """The idempotency key belongs to another call."""

    code = "idempotency_key_reused"
    http_status = 409
    fixable_by = "caller"


class CallInDoubt(ToolFault):
    """The process died while the call ran: the outcome is unknown, and the call is not repeated."""

    code = "in_doubt"
    http_status = 409
    fixable_by = "caller"


class RunningElsewhere(ToolFault):
    """Another process on the same database runs the call."""

    code = "running_elsewhere"
    http_status = 409
    retryable = True


class ResultLost(ToolFault):
    """The call was carried out; its result was too large to be kept, or the process died before keeping it."""

    code = "result_lost"
    http_status = 410
    fixable_by = "caller"


class ToolLoopExceeded(ToolFault):
    """A model went on calling tools after it was asked to answer."""

    code = "tool_loop_exceeded"
    http_status = 502
    fixable_by = "caller"


class Incident(ToolFault):
    """An unforeseen failure; the log has the details under the incident's id."""

    code = "internal_error"
    fixable_by = "developer"


class ProviderFault(ToolFault):
    """The provider failed, or refused the request."""

    code = "provider_failed"
    http_status = 502
    fixable_by = "provider"


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
    """The key is valid, but not for this model or API."""

    code = "provider_denied"
    fixable_by = "operator"


class ProviderThrottled(ProviderFault):
    """The account's rate limit is reached; a later request may succeed."""

    code = "provider_throttled"
    http_status = 429
    retryable = True


class ProviderOverloaded(ProviderFault):
    """The provider has no capacity now, whatever our rate."""

    code = "provider_overloaded"
    http_status = 503
    retryable = True


class QuotaExhausted(ProviderFault):
    """The account's money or quota is used up; a retry helps only after a top-up or a reset."""

    code = "quota_exhausted"
    http_status = 429
    fixable_by = "operator"


class ProviderRefused(ProviderFault):
    """The provider calls the request invalid."""

    code = "provider_refused"
    fixable_by = "caller"


class ContextOverflow(ProviderFault):
    """The prompt and the requested answer do not fit into the model's context window."""

    code = "context_overflow"
    http_status = 413
    fixable_by = "caller"


class ContentFiltered(ProviderFault):
    code = "content_filtered"
    http_status = 422
    fixable_by = "caller"


class ProviderUnreachable(ProviderFault):
    """There was no connection, or it broke before the first byte of an answer."""

    code = "provider_unreachable"
    http_status = 503
    retryable = True


class ProviderTimeout(ProviderFault):
    code = "provider_timeout"
    http_status = 504
    retryable = True


class ProviderSilent(ProviderTimeout):
    """The provider accepted the request and sent nothing in time. It may still be at work, so it is not asked again."""


class CircuitOpen(ProviderFault):
    """The model failed too often, so it is not asked for a while; nothing was sent."""

    code = "circuit_open"
    http_status = 503
    retryable = True


class ProviderFailed(ProviderFault):
    """The provider had a server error, or sent a malformed answer."""

    retryable = True


class AnswerBroken(ProviderFault):
    """The answer broke off; it is not repeated silently.

    `partial` has the text received so far.
    """

    code = "answer_broken"
    retryable = True

    def __init__(self, message: str, *, partial: str = "") -> None:
        super().__init__(message)
        self.partial = partial


class AnswerEmpty(ProviderFault):
    """The answer came to its end without text; the same request may bring one."""

    code = "answer_empty"
    retryable = True


class AnswerCapSpent(AnswerEmpty):
    """The answer has no text, because its token limit was spent before; the same request would spend it again."""

    retryable = False
    fixable_by = "caller"
