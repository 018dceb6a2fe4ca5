"""The headers of a refusal: how to authenticate, what was wrong with the token that was sent, and when to ask again.

RFC 6750, 3: a refusal names the scheme, and an error only to those who presented a token.
"""

from collections.abc import Callable, Iterable

from starlette.types import Scope

from exai.errors import ExaiError, ScopeMissing, Unauthenticated
from exai.web.refusals import RawFields

__all__ = ["Challenge", "bearer_challenge", "refusal_headers"]

Challenge = Callable[[ExaiError, Scope], RawFields]
"""Header fields for a fault of a request."""

RETRY_AFTER_S = 5.0
"""When to ask again after a fault that passes and knows no time itself."""


def refusal_headers(
    fault: ExaiError, *, asks_for: Iterable[str] = (), metadata_url: str | None = None
) -> RawFields:
    """Make the header fields for a fault.

    Args:
        fault: why the caller is refused.
        asks_for: the scopes that a client without a token does well to ask for.
        metadata_url: where it reads how to get one (RFC 9728, 5.1).
    """
    match fault:
        case ScopeMissing():
            parts = ['error="insufficient_scope"', f'scope="{fault.scope}"', _described(fault)]
        case Unauthenticated():
            parts = ['error="invalid_token"', _described(fault)] if fault.presented else []
            if scopes := " ".join(asks_for):
                parts.append(f'scope="{scopes}"')
        case ExaiError(retryable=True):
            asked_s: float | None = getattr(fault, "retry_after_s", None)
            seconds = RETRY_AFTER_S if asked_s is None else asked_s
            return ((b"retry-after", str(max(1, round(seconds))).encode()),)
        case _:
            return ()
    if metadata_url is not None:
        parts.append(f'resource_metadata="{metadata_url}"')
    challenge = ", ".join(['Bearer realm="exai"', *parts])
    return ((b"www-authenticate", challenge.encode("ascii", "replace")),)


def bearer_challenge(fault: ExaiError, _: Scope) -> RawFields:
    """Make the header fields for a port whose clients are given their tokens by hand."""
    return refusal_headers(fault)


def _described(fault: ExaiError) -> str:
    text = "".join(character for character in str(fault) if character not in '"\\')
    return f'error_description="{text}"'
