"""The issuers whose tokens are accepted, with a rule for each: EXAI, the shared secret, and `auth.issuers`."""

from typing import TYPE_CHECKING

from exai.auth.scopes import SCOPES
from exai.auth.verifier import ACCESS_TOKEN, FindKey, Rule
from exai.auth.verifying_key import SharedSecret, VerifyingKey
from exai.config import Auth
from exai.config.auth import OWN_ISSUER, SHARED_ISSUER
from exai.errors import StartFault
from exai.runtime.clock import Clock
from exai.runtime.start.later import LaterModule

if TYPE_CHECKING:
    from exai.auth import jwks
else:
    jwks = LaterModule("exai.auth.jwks")

__all__ = ["Issuers"]

LONGEST_OWN_LIFE_S = 366 * 86_400.0
_ANY_ACCESS_TOKEN = frozenset({"jwt", ACCESS_TOKEN, None})
"""Few issuers say `at+jwt`; what says something else, such as `logout+jwt`, is something else."""


class Issuers:
    """The rules, and the keys that are fetched for them."""

    def __init__(self, settings: Auth, own_key: FindKey, clock: Clock) -> None:
        """`own_key` finds EXAI's own.

        Raises:
            StartFault: an issuer is to give scopes that there are not.
        """
        self._keys = {name: jwks.IssuerKeys(name, issuer, clock) for name, issuer in settings.issuers.items()}
        rules = [_own(settings, own_key)]
        if settings.shared_secret is not None:
            rules.append(_shared(settings, settings.shared_secret.get_secret_value()))
        rules += [self._foreign(name, settings) for name in settings.issuers]
        self.rules = tuple(rules)

    async def close(self) -> None:
        """Cancel fetches that run."""
        for keys in self._keys.values():
            await keys.close()

    def _foreign(self, name: str, settings: Auth) -> Rule:
        issuer = settings.issuers[name]
        return Rule(
            name=name,
            issuer=issuer.issuer,
            audience=issuer.audience,
            algorithms=frozenset(issuer.algorithms),
            kinds=_ANY_ACCESS_TOKEN,
            find_key=self._keys[name].find,
            leeway_s=settings.leeway_s,
            id_claim=issuer.id_claim,
            scope_claim=issuer.scope_claim,
            grants=_scopes(f"issuers.{name}.grants", issuer.grants),
            scopes=_scopes(f"issuers.{name}.scopes", issuer.scopes),
        )


def _own(settings: Auth, own_key: FindKey) -> Rule:
    return Rule(
        name=OWN_ISSUER,
        issuer=OWN_ISSUER,
        audience=settings.audience,
        algorithms=frozenset({"ES256", "EdDSA"}),
        kinds=frozenset({ACCESS_TOKEN}),
        find_key=own_key,
        leeway_s=settings.leeway_s,
        longest_life_s=LONGEST_OWN_LIFE_S,
    )


def _shared(settings: Auth, secret: str) -> Rule:
    key = SharedSecret(secret.encode())

    async def find_key(_kid: str | None) -> VerifyingKey:
        return key

    return Rule(
        name=SHARED_ISSUER,
        issuer=SHARED_ISSUER,
        audience=settings.audience,
        algorithms=frozenset({"HS256"}),
        kinds=_ANY_ACCESS_TOKEN,
        find_key=find_key,
        leeway_s=settings.leeway_s,
        grants=_scopes("shared_secret_grants", settings.shared_secret_grants),
    )


def _scopes(setting: str, words: tuple[str, ...]) -> frozenset[str]:
    if unknown := sorted(frozenset(words) - SCOPES.keys()):
        raise StartFault(
            f"`auth.{setting}` names `{unknown[0][:40]}`, which is no scope; there are {', '.join(SCOPES)}."
        )
    return frozenset(words)
