"""Verifies signed tokens: one way for every issuer, with one rule per issuer.

The signature comes first, so that nothing unsigned decides anything; then every claim by its type, before it is
compared or counted with.
"""

import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from exai.auth.jws import InvalidToken, SignedToken, take_apart
from exai.auth.scopes import SCOPES
from exai.auth.verifying_key import VerifyingKey
from exai.callers import Credential
from exai.config.auth import OWN_ISSUER

__all__ = ["ACCESS_TOKEN", "FindKey", "Proof", "Rule", "Verifier"]

ACCESS_TOKEN = "at+jwt"  # noqa: S105 - a kind of token (RFC 9068), not one
LONGEST_LIFE_S = 86_400.0
"""Of another issuer's token, from `iat` to `exp`; longer ones cannot have been meant as access tokens."""

_LONGEST_NAME = 256
_LATEST = 253_402_300_800.0
"""The year 10,000; a moment behind it is a mistake or a trick."""

_OTHER_KINDS = frozenset({"id", "refresh", "logout", "offline"})
"""The `typ` claim by which Keycloak marks tokens that open nothing."""
_OF_ID_TOKENS = frozenset({"at_hash", "c_hash", "events"})
"""Claims of ID and logout tokens (OpenID Connect), which say who someone is and open nothing."""

FindKey = Callable[[str | None], Awaitable[VerifyingKey | None]]
"""An issuer's key by its `kid`."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What the tokens of one issuer must be like."""

    name: str
    """The prefix of its subjects, unless the issuer is EXAI itself."""
    issuer: str
    audience: str
    algorithms: frozenset[str]
    kinds: frozenset[str | None]
    find_key: FindKey
    leeway_s: float
    longest_life_s: float = LONGEST_LIFE_S
    id_claim: str = "jti"
    scope_claim: str = "scope"
    grants: frozenset[str] = frozenset(SCOPES)
    """What its claim can give."""
    scopes: frozenset[str] = frozenset()
    """What each of its tokens has besides."""

    @property
    def is_own(self) -> bool:
        """Whether EXAI made them."""
        return self.name == OWN_ISSUER


@dataclass(frozen=True, slots=True)
class Proof:
    """The subject of a verified credential, and what it allows."""

    subject: str
    scopes: frozenset[str]
    credential: Credential
    refresh_id: str | None = None
    """The refresh token that came with it."""


class Verifier:
    """Verifies signed tokens. Whether a good one has been revoked is checked elsewhere (`revocation_state`)."""

    def __init__(self, rules: tuple[Rule, ...]) -> None:
        self._rules: Mapping[str, Rule] = {rule.issuer: rule for rule in rules}

    async def verify(self, token: str, now: float) -> Proof:
        """Verify `token`; it may have expired (`credential.expires_at`).

        Raises:
            InvalidToken: no accepted issuer has signed this, or not for us.
        """
        parts = take_apart(token)
        issuer = parts.claims.get("iss")
        rule = self._rules.get(issuer) if isinstance(issuer, str) else None
        if rule is None:
            raise InvalidToken("issuer")
        if parts.algorithm not in rule.algorithms or parts.kind not in rule.kinds:
            raise InvalidToken("header")
        key = await rule.find_key(parts.kid)
        if key is None or key.algorithm != parts.algorithm:
            raise InvalidToken("key")
        if not key.verifies(parts.signed, parts.signature):
            raise InvalidToken("signature")
        return _proof(parts, rule, now)


def _proof(parts: SignedToken, rule: Rule, now: float) -> Proof:
    claims = parts.claims
    _check_audience(claims.get("aud"), rule)
    if not rule.is_own:
        _check_kind(parts)
    issued_at, expires_at = _moment(claims, "iat"), _moment(claims, "exp")
    starts_at = _moment(claims, "nbf") if "nbf" in claims else issued_at
    if max(issued_at, starts_at) > now + rule.leeway_s:
        raise InvalidToken("not yet")
    if not issued_at < expires_at <= issued_at + rule.longest_life_s:
        raise InvalidToken("lifetime")
    subject, token_id = _text(claims, "sub"), _text(claims, rule.id_claim)
    if rule.is_own and ":" in subject:
        raise InvalidToken("sub")
    # The id of a token of ours is `<what revokes it>.<its refresh token>`.
    family, _, refresh_id = token_id.partition(".") if rule.is_own else (token_id, "", "")
    return Proof(
        subject=subject if rule.is_own else f"{rule.name}:{subject}",
        scopes=rule.grants.intersection(_words(claims.get(rule.scope_claim))) | rule.scopes,
        credential=Credential(
            issuer=rule.name,
            token_id=family,
            issued_at=issued_at,
            expires_at=expires_at if rule.is_own else expires_at + rule.leeway_s,
            kid=parts.kid if rule.is_own else None,
        ),
        refresh_id=refresh_id or None,
    )


def _check_audience(audience: Any, rule: Rule) -> None:
    """Check the audience: one string, or for other issuers a list of them."""
    if isinstance(audience, list) and not rule.is_own:
        if not all(isinstance(member, str) for member in audience) or rule.audience not in audience:
            raise InvalidToken("audience")
    elif not isinstance(audience, str) or audience != rule.audience:
        raise InvalidToken("audience")


def _check_kind(parts: SignedToken) -> None:
    claims = parts.claims
    kind, use = claims.get("typ"), claims.get("token_use", "access")
    if _OF_ID_TOKENS & claims.keys() or (isinstance(kind, str) and kind.lower() in _OTHER_KINDS):
        raise InvalidToken("kind")
    # Older Keycloak repeats the nonce in access tokens, which it marks as such.
    if use != "access" or ("nonce" in claims and kind != "Bearer" and parts.kind != ACCESS_TOKEN):
        raise InvalidToken("kind")


def _moment(claims: Mapping[str, Any], name: str) -> float:
    """Read a NumericDate: a number, neither string nor boolean, within the calendar."""
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidToken(name)
    if not 0 <= value < _LATEST or not math.isfinite(value):
        raise InvalidToken(name)
    return float(value)


def _text(claims: Mapping[str, Any], name: str) -> str:
    """Read a name: short and printable."""
    value = claims.get(name)
    if not isinstance(value, str) or not 1 <= len(value) <= _LONGEST_NAME or not value.isprintable():
        raise InvalidToken(name)
    return value


def _words(value: Any) -> list[str]:
    """Read scopes, as words or as a list; without the claim there are none."""
    if value is None:
        return []
    if isinstance(value, str):
        return value.split()
    if isinstance(value, list) and all(isinstance(word, str) for word in value):
        return value
    raise InvalidToken("scope")
