"""The settings of identity: who is authenticated, whose tokens are accepted, and how long they live."""

from typing import Annotated, Literal

from pydantic import Field, HttpUrl, SecretStr

from exai.config.values import AuthMode, ChosenName, Count, Section

__all__ = ["GRANTED_BY_OTHERS", "OWN_ISSUER", "SHARED_ISSUER", "Auth", "Issuer"]

OWN_ISSUER = "exai"
"""The `iss` of tokens that EXAI issues, and its name among the issuers."""

SHARED_ISSUER = "shared"
"""The name of the issuer of tokens that are signed with the shared secret."""

GRANTED_BY_OTHERS = ("tools:models", "tools:search", "tools:status", "files", "errors")
"""The scopes that other issuers may grant; administration and the dashboard only if the operator says so."""


class Issuer(Section):
    """Another issuer whose tokens are accepted: Supabase Auth, Keycloak, any that publishes its keys (JWKS)."""

    issuer: str
    """The `iss` of its tokens, exactly."""

    audience: str
    """The `aud` that its tokens must have: it says that they were issued for this EXAI."""

    jwks_url: HttpUrl
    """Where its public keys are: `https`, or `http` on loopback. Redirects are not followed."""

    private_network: bool = False
    """Let `jwks_url` lead to an address of a private network, for an issuer of your own in the same network."""

    algorithms: tuple[Literal["ES256", "RS256", "EdDSA"], ...] = ("ES256", "RS256")
    """The algorithms with which its tokens may be signed."""

    id_claim: str = "jti"
    """The claim that names a token, so that it can be revoked; `session_id` for Supabase Auth."""

    scope_claim: str = "scope"
    """The claim that lists what a token allows, as words or as a list."""

    grants: tuple[str, ...] = GRANTED_BY_OTHERS
    """The scopes that this claim can grant; `admin` and `dashboard` only when they are named here."""

    scopes: tuple[str, ...] = ()
    """The scopes that each of its tokens has besides, for issuers that know no scopes of EXAI."""


class Auth(Section):
    """Who is authenticated, and how."""

    mode: AuthMode = "local"
    """`local`: every caller on the loopback interface is the one local user. `required`: every caller needs a token.
    `optional-until YYYY-MM-DD`: as `local` until that day (UTC), then as `required`."""

    audience: str = "exai"
    """The `aud` of tokens that EXAI issues. Give each installation its own when clients use several."""

    algorithm: Literal["ES256", "EdDSA"] = "ES256"
    """The algorithm of EXAI's next signing key."""

    shared_secret: SecretStr | None = None
    """Accept tokens that others sign with this secret (HS256): at least 32 random bytes, `openssl rand -hex 32`."""

    shared_secret_grants: tuple[str, ...] = GRANTED_BY_OTHERS
    """The scopes that these tokens can grant; `admin` and `dashboard` only when they are named here."""

    access_minutes: Annotated[int, Field(ge=1, le=1_440)] = 60
    """How long an access token lives, in minutes."""

    refresh_days: Annotated[int, Field(ge=1, le=365)] = 30
    """How long a client may be away before its refresh token expires, in days."""

    leeway_s: Annotated[float, Field(ge=0, le=60)] = 30.0
    """By how much the clocks of another issuer may differ, in seconds."""

    failures_per_minute: Count = 30
    """Invalid tokens of one address within a minute; further ones are answered 429. Valid ones are accepted."""

    issuers: dict[ChosenName, Issuer] = Field(default_factory=dict)
    """Other issuers whose tokens are accepted, by a name of your choice."""

    @property
    def issuer_names(self) -> frozenset[str]:
        """The names of all issuers, for revoking a token."""
        return frozenset({OWN_ISSUER, SHARED_ISSUER, *self.issuers})
