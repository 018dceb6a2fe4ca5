"""The settings of identity: who may come in, whose tokens are believed, and how long they live."""

from typing import Annotated, Literal

from pydantic import Field, HttpUrl, SecretStr

from exai.config.values import AuthMode, ChosenName, Count, Section

__all__ = ["GRANTED_BY_OTHERS", "OWN_ISSUER", "SHARED_ISSUER", "Auth", "Issuer"]

OWN_ISSUER = "exai"
"""The `iss` of tokens that EXAI makes itself, and what stands for it where issuers have names."""

SHARED_ISSUER = "shared"
"""The same of tokens that others sign with the shared secret."""

GRANTED_BY_OTHERS = ("tools:models", "tools:search", "tools:status", "files", "errors")
"""What others' word is enough for; administration and the dashboard are given away by nobody but the operator."""


class Issuer(Section):
    """Another party whose tokens are believed: Supabase Auth, Keycloak, any that publishes its keys (JWKS)."""

    issuer: str
    """The `iss` of its tokens, letter by letter."""

    audience: str
    """The `aud` that its tokens must have, which says that they were made for this EXAI."""

    jwks_url: HttpUrl
    """Where its public keys are: `https`, or `http` on loopback. Never followed to another place."""

    private_network: bool = False
    """Let `jwks_url` lead to an address of a private network, for an issuer of your own behind the same wall."""

    algorithms: tuple[Literal["ES256", "RS256", "EdDSA"], ...] = ("ES256", "RS256")
    """How its tokens may be signed."""

    id_claim: str = "jti"
    """The claim that names a token, so that it can be revoked; `session_id` for Supabase Auth."""

    scope_claim: str = "scope"
    """The claim that lists what a token allows, as words or as a list."""

    grants: tuple[str, ...] = GRANTED_BY_OTHERS
    """Which scopes that claim can give; `admin` and `dashboard` only where they are named here."""

    scopes: tuple[str, ...] = ()
    """What each of its tokens allows besides, for issuers that know no scopes of EXAI."""


class Auth(Section):
    """Who may come in."""

    mode: AuthMode = "local"
    """`local`: everyone on the loopback interface is the one local user. `required`: nobody without a token.
    `optional-until YYYY-MM-DD`: as `local` up to that day (UTC), then as `required`."""

    audience: str = "exai"
    """The `aud` of tokens that EXAI makes. Give each installation its own where clients use several."""

    algorithm: Literal["ES256", "EdDSA"] = "ES256"
    """How EXAI signs its own tokens: the kind of the next key that it makes."""

    shared_secret: SecretStr | None = None
    """Believe tokens that others sign with this secret (HS256): at least 32 random bytes, `openssl rand -hex 32`."""

    shared_secret_grants: tuple[str, ...] = GRANTED_BY_OTHERS
    """Which scopes those tokens can give; `admin` and `dashboard` only where they are named here."""

    access_minutes: Annotated[int, Field(ge=1, le=1_440)] = 60
    """How long an access token lives, in minutes."""

    refresh_days: Annotated[int, Field(ge=1, le=365)] = 30
    """How long a client may be away before its refresh token is over, in days."""

    leeway_s: Annotated[float, Field(ge=0, le=60)] = 30.0
    """By how much the clocks of another issuer may differ, in seconds."""

    failures_per_minute: Count = 30
    """Refused tokens of one address within a minute; further ones are answered 429. Good ones pass."""

    issuers: dict[ChosenName, Issuer] = Field(default_factory=dict)
    """Others whose tokens are believed, by a name of your choice."""

    @property
    def issuer_names(self) -> frozenset[str]:
        """By which a token that is to be revoked says whose it is."""
        return frozenset({OWN_ISSUER, SHARED_ISSUER, *self.issuers})
