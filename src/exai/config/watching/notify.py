"""The settings of webhooks."""

import base64
import binascii
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, HttpUrl, SecretStr, TypeAdapter

from exai.config.values import Section

__all__ = ["KEY_PREFIX", "KINDS", "NoticeKind", "Notify", "Webhook", "key_of"]

NoticeKind = Literal[
    "error.new",
    "error.regressed",
    "error.escalating",
    "investigation.ended",
    "observation.critical",
    "budget.spent",
    "breaker.opened",
]
KINDS: tuple[NoticeKind, ...] = get_args(NoticeKind)

KEY_PREFIX = "whsec_"
LEAST_BYTES, MOST_BYTES = 24, 64
"""Of a secret, as Standard Webhooks 1.0 recommends."""

_URL = TypeAdapter(HttpUrl)


def _is_url(secret: SecretStr) -> SecretStr:
    _URL.validate_python(secret.get_secret_value())
    return secret


class Webhook(Section):
    """An address to which EXAI tells what happened."""

    url: Annotated[SecretStr, AfterValidator(_is_url)]
    """Where it is posted to. Kept secret: an address of a chat's hook is all that is needed to write there."""

    kinds: tuple[NoticeKind, ...] = KINDS
    """What is told."""

    format: Literal["json", "text"] = "json"
    """`json`: signed, as Standard Webhooks has it. `text`: `{"text": …}`, as chats take it."""

    private: bool = False
    """Whether the address may be on this machine or in its own network, and without TLS."""

    @property
    def address(self) -> HttpUrl:
        """The URL, in its parts."""
        return _URL.validate_python(self.url.get_secret_value())

    @property
    def place(self) -> str:
        """Scheme, host and port: what may be shown of the URL."""
        return f"{self.address.scheme}://{self.address.host}:{self.address.port}"


class Notify(Section):
    """What others are told by webhooks (`docs/operations.md`)."""

    webhooks: tuple[Webhook, ...] = ()
    """Addresses, each with the kinds that it is told; of `format` `json` or `text`; `private` where the address is
    not public. Kinds: `error.new`, `error.regressed`, `error.escalating`, `investigation.ended`,
    `observation.critical`, `budget.spent`, `breaker.opened`."""

    secret: SecretStr | None = None
    """Signs what is posted: `whsec_` and base64, as `exai notify secret` makes one. Receivers verify with the same."""

    operations_url: HttpUrl | None = None
    """The address under which receivers know the operations port, for links. Unset: as it is bound."""


def key_of(secret: str) -> bytes:
    """Return the bytes of a secret of Standard Webhooks.

    Raises:
        ValueError: it is none.
    """
    try:
        key = base64.b64decode(secret.removeprefix(KEY_PREFIX), validate=True)
    except binascii.Error:
        key = b""
    if not secret.startswith(KEY_PREFIX) or not LEAST_BYTES <= len(key) <= MOST_BYTES:
        raise ValueError(f"not `{KEY_PREFIX}` and the base64 of {LEAST_BYTES} to {MOST_BYTES} bytes")
    return key
