"""What each fault means for asking: one row per class of `exai.errors`, so that adding a fault is one edit.

A row answers five questions. Whom does the fault blame, as the circuit breaker counts it? Is the request made again,
and how long is waited? Which other model may take over? Does it count against the model's health in `status`? Does it
end a model's tool loop?

The class must match exactly: a subclass has a row of its own. Whatever is no fault of ours (a cancellation, a defect)
has the rows `CANCELLED` and `UNFORESEEN`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from exai import errors
from exai.errors import ToolFault

__all__ = ["CANCELLED", "FAULTS", "UNFORESEEN", "Blame", "Handling", "RetryKind", "Takeover", "handling_of"]


class Blame(StrEnum):
    """What a failed request says about its provider, for the breaker."""

    PROVIDER = "provider"
    """It counts as a failure."""
    ACCOUNT = "account"
    """Nothing will work for a while: the breaker opens at once."""
    REQUEST = "request"
    """The provider works, and the request was at fault: counts neither way, and closes a half-open breaker."""
    RATE = "rate"
    """Our own rate is too high: counts neither way, and a probe with this end says nothing."""
    SILENCE = "silence"
    """It counts as a failure if the provider had been silent for long (`breaker.BLAMED_SILENCE_S`)."""
    NOBODY = "nobody"
    """It says nothing."""


class RetryKind(StrEnum):
    """Failures that pass by themselves, by how they are waited for."""

    THROTTLE = "throttle"
    OVERLOAD = "overload"
    TRANSPORT = "transport"


class Takeover(StrEnum):
    """Which of the models that may answer instead a failure leads to."""

    NEXT = "next"
    LARGER_WINDOW = "larger_window"
    OTHER_PROVIDER = "other_provider"
    OTHER_PROVIDER_BY_CONSENT = "other_provider_by_consent"
    """Only where the chain says that a filtered question may be put to another provider."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Handling:
    """How one kind of failure is handled. The default is that of a fault that no provider has a part in."""

    blames: Blame = Blame.NOBODY
    retry: RetryKind | None = None
    """`None`: the request is not made again, as the failure does not pass by itself."""
    takeover: Takeover | None = None
    """`None`: the call ends, as another model would not help, or the answer had begun."""
    counts_for_health: bool = False
    """Whether `models` and `status` show it as a failed request of the model."""
    ends_call: bool = False
    """Whether it ends a model's tool loop, instead of being a tool's result that the model may react to."""


def _provider(
    blames: Blame,
    *,
    retry: RetryKind | None = None,
    takeover: Takeover | None = None,
    counts_for_health: bool = True,
) -> Handling:
    return Handling(blames=blames, retry=retry, takeover=takeover, counts_for_health=counts_for_health)


_NOT_ASKING = Handling()
"""It arises where no provider is asked."""

FAULTS: Mapping[type[ToolFault], Handling] = MappingProxyType(
    {
        # The provider, or the way to it, fails.
        errors.ProviderOverloaded: _provider(
            Blame.PROVIDER, retry=RetryKind.OVERLOAD, takeover=Takeover.NEXT
        ),
        errors.ProviderUnreachable: _provider(
            Blame.PROVIDER, retry=RetryKind.TRANSPORT, takeover=Takeover.NEXT
        ),
        errors.ProviderFailed: _provider(Blame.PROVIDER, retry=RetryKind.TRANSPORT, takeover=Takeover.NEXT),
        # Of connecting and of gateways; silence of the model is the next row.
        errors.ProviderTimeout: _provider(Blame.PROVIDER, retry=RetryKind.TRANSPORT, takeover=Takeover.NEXT),
        # It may still be at work on the request, so it is not asked twice.
        errors.ProviderSilent: _provider(Blame.PROVIDER, takeover=Takeover.NEXT),
        errors.AnswerBroken: _provider(Blame.PROVIDER),
        # Our account there is at fault.
        errors.ProviderThrottled: _provider(Blame.RATE, retry=RetryKind.THROTTLE, takeover=Takeover.NEXT),
        errors.ProviderUnauthorized: _provider(Blame.ACCOUNT, takeover=Takeover.OTHER_PROVIDER),
        errors.QuotaExhausted: _provider(Blame.ACCOUNT, takeover=Takeover.NEXT),
        errors.ProviderDenied: _provider(Blame.REQUEST, takeover=Takeover.NEXT),
        # The request is at fault.
        errors.ProviderRefused: _provider(Blame.REQUEST, counts_for_health=False),
        errors.ContextOverflow: _provider(
            Blame.REQUEST, takeover=Takeover.LARGER_WINDOW, counts_for_health=False
        ),
        errors.ContentFiltered: _provider(
            Blame.REQUEST, takeover=Takeover.OTHER_PROVIDER_BY_CONSENT, counts_for_health=False
        ),
        # It is paid for, so whether to ask again is the caller's choice.
        errors.AnswerEmpty: _provider(Blame.REQUEST),
        errors.AnswerCapSpent: _provider(Blame.REQUEST),
        # Nothing was sent.
        errors.CircuitOpen: Handling(takeover=Takeover.NEXT),
        errors.ProviderUnconfigured: Handling(takeover=Takeover.OTHER_PROVIDER),
        errors.AbilityMissing: Handling(takeover=Takeover.NEXT),
        errors.Stopping: Handling(ends_call=True),
        # The call is at its end.
        errors.DeadlineExceeded: Handling(blames=Blame.SILENCE, counts_for_health=True, ends_call=True),
        # The rest of the tree.
        errors.BadArguments: _NOT_ASKING,
        errors.CallInDoubt: _NOT_ASKING,
        errors.ConversationFull: _NOT_ASKING,
        errors.FileRefused: _NOT_ASKING,
        errors.IdempotencyKeyReused: _NOT_ASKING,
        errors.Incident: _NOT_ASKING,
        errors.Overloaded: _NOT_ASKING,
        errors.ResultLost: _NOT_ASKING,
        errors.RunningElsewhere: _NOT_ASKING,
        errors.StoreFailed: _NOT_ASKING,
        errors.ToolLoopExceeded: _NOT_ASKING,
        errors.UnknownConversation: _NOT_ASKING,
        errors.UnknownModel: _NOT_ASKING,
    }
)

CANCELLED = Handling()
"""Of a request whose call was cancelled."""

UNFORESEEN = Handling(counts_for_health=True)
"""Of an exception that is no fault of the tree. `status` shows it, because somebody has to look at it."""


def handling_of(error: BaseException) -> Handling:
    """The row of whatever ended a request."""
    if isinstance(error, ToolFault):
        return FAULTS.get(type(error), UNFORESEEN)
    return UNFORESEEN if isinstance(error, Exception) else CANCELLED
