"""In-memory snapshot of what token verification needs: verifying keys and revocations."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from exai.auth.verifying_key import VerifyingKey
from exai.callers import Credential
from exai.config.auth import OWN_ISSUER
from exai.runtime.start.later import LaterModule
from exai.storage.identity.rows import IdentitySnapshot

if TYPE_CHECKING:
    from exai.auth import keys as pairs
else:
    pairs = LaterModule("exai.auth.keys")

__all__ = ["EndReason", "RevocationState"]

EndReason = Literal["expired", "revoked"]


@dataclass(frozen=True, slots=True)
class RevocationState:
    """The keys and revocations of one revision of the database."""

    revision: int = -1
    keys: Mapping[str, VerifyingKey] = field(default_factory=dict)
    keys_until: Mapping[str, float] = field(default_factory=dict)
    """From when on a retired key verifies no more."""
    revoked: frozenset[tuple[str, str]] = frozenset()
    epochs: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, snapshot: IdentitySnapshot) -> "RevocationState":
        """Make the state from a snapshot; a key that is broken verifies nothing."""
        keys = {row.kid: pairs.from_public_pem(row.public_key) for row in snapshot.keys}
        return cls(
            revision=snapshot.revision,
            keys={kid: key for kid, key in keys.items() if key is not None},
            keys_until={
                row.kid: row.verifies_until.timestamp() for row in snapshot.keys if row.verifies_until
            },
            revoked=frozenset(snapshot.revoked),
            epochs={subject: moment.timestamp() for subject, moment in snapshot.epochs.items()},
        )

    def key(self, kid: str, now: float) -> VerifyingKey | None:
        """Find the key of our own of that `kid`, while it verifies."""
        return self.keys.get(kid) if now < self.keys_until.get(kid, now + 1) else None

    def end_of(self, subject: str, credential: Credential, now: float, leeway_s: float) -> EndReason | None:
        """Say whether a credential has expired or was revoked; `None` while it is good, "revoked" where both hold.

        `leeway_s` is how far ahead another issuer's clock may be: what it says to have issued so shortly after
        everything of a principal was ended may have been issued before.
        """
        if (credential.issuer, credential.token_id) in self.revoked:
            return "revoked"
        if (epoch := self.epochs.get(subject)) is not None:
            slack = 0.0 if credential.issuer == OWN_ISSUER else leeway_s
            if credential.issued_at - slack <= epoch:
                return "revoked"
        if credential.expires_at is not None and now >= credential.expires_at:
            return "expired"
        if credential.kid is not None and self.key(credential.kid, now) is None:
            return "revoked"
        return None
