"""Checks of the settings of identity beyond their types: secrets that are random, issuers that are distinct."""

import itertools
import re
from collections.abc import Mapping

from exai.config import Auth, Issuer
from exai.config.auth import OWN_ISSUER, SHARED_ISSUER
from exai.config.values import is_loopback, is_resolvable
from exai.errors import StartFault

__all__ = ["check_auth"]

LEAST_SECRET_BYTES = 32
LEAST_DISTINCT = 10
"""Different characters of a secret; 32 random bytes in any encoding have more."""

_EXAMPLES = re.compile(
    r"secret|change|example|password|default|supabase|replace|your[-_ ]|[-_ ]key|key[-_ ]|test[-_ ]|[-_ ]test|"
    r"token[-_ ]|insecure|keycloak|development|at[-_ ]least|[-_ ]characters|bytes|qwerty|letmein|admin",
    re.IGNORECASE,
)
"""Words of the secrets in manuals and sample files; random text has none of them."""

MAKE_ONE = "make one with `openssl rand -hex 32`, or unset it if no issuer signs tokens with it"


def check_auth(auth: Auth, origins: Mapping[str, str]) -> None:
    """Refuse secrets that can be guessed, and issuers that are ambiguous or unreachable.

    Args:
        origins: where each dotted key came from, for the message.

    Raises:
        StartFault: with the first thing that is wrong.
    """

    def refuse(key: str, what: str) -> StartFault:
        return StartFault(f"`{key}` ({origins.get(key, 'default')}) {what}.")

    if not auth.audience.strip():
        raise refuse("auth.audience", "is empty; name this installation, such as `exai`")
    if auth.shared_secret is not None and (fault := _fault_of(auth.shared_secret.get_secret_value())):
        raise refuse("auth.shared_secret", f"{fault}; {MAKE_ONE}")
    known: dict[str, str] = {}
    for name, issuer in auth.issuers.items():
        section = f"auth.issuers.{name}"
        if name in {OWN_ISSUER, SHARED_ISSUER}:
            raise refuse(section, "has a name that stands for EXAI's own tokens; choose another")
        for field, fault in _faults_of(issuer).items():
            raise refuse(f"{section}.{field}", fault)
        if (other := known.setdefault(issuer.issuer, name)) != name:
            raise refuse(
                f"{section}.issuer", f"is that of `auth.issuers.{other}` as well; one issuer is one section"
            )


def _fault_of(secret: str) -> str | None:
    """Return why a secret can be guessed; `None` if it cannot."""
    if not secret.strip():
        return "is set but empty"
    if len(secret.encode()) < LEAST_SECRET_BYTES:
        return f"has fewer than {LEAST_SECRET_BYTES} bytes"
    if _EXAMPLES.search(secret):
        return "looks like one from a manual or a sample file, which everybody knows"
    if len(set(secret)) < LEAST_DISTINCT or secret in (secret + secret)[1:-1] or _is_a_row(secret):
        return "is not random"
    return None


def _is_a_row(secret: str) -> bool:
    """Return whether most characters follow from the one before, as in `abcdef` and `111222`."""
    steps = [ord(second) - ord(first) for first, second in itertools.pairwise(secret)]
    return sum(step in {-1, 0, 1} for step in steps) > len(steps) / 2


def _faults_of(issuer: Issuer) -> dict[str, str]:
    faults: dict[str, str] = {}
    url = issuer.jwks_url
    if issuer.issuer in {"", OWN_ISSUER, SHARED_ISSUER}:
        faults["issuer"] = "is not the `iss` of somebody else's tokens"
    if not issuer.audience.strip():
        faults["audience"] = "is empty; without it tokens made for other services would open this one"
    if not issuer.algorithms:
        faults["algorithms"] = "is empty; name how the issuer signs"
    if url.scheme != "https" and not is_loopback((url.host or "").strip("[]")):
        faults["jwks_url"] = (
            "is neither `https` nor on loopback, so that anybody on the way could put keys in"
        )
    elif url.username or url.password or url.fragment:
        faults["jwks_url"] = "has more than host, path and query; leave user, password and fragment out"
    elif not is_resolvable((url.host or "").strip("[]")):
        faults["jwks_url"] = "has a host that no name server can have"
    return faults
