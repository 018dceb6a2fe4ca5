"""The credentials file of a client, which `exai token create --save` writes.

JSON with `access_token`, and for a token that can be refreshed `refresh_token` and `expires_at`. An API key is an
`access_token` alone. Only its owner may read the file.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from exai.errors import StartFault
from exai.runtime.os_errors import reason_of
from exai.runtime.private_files import read_private, replace_private

__all__ = ["Credentials", "as_token", "read_credentials", "write_credentials"]

MAX_TOKEN_BYTES = 8 * 2**10
"""EXAI accepts no longer token."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """The content of a credentials file."""

    access_token: str = field(repr=False)
    """A token or an API key."""

    refresh_token: str | None = field(default=None, repr=False)
    """Can be exchanged for another access token, once."""

    expires_at: float | None = None
    """When the access token expires, in seconds since 1970 by the clock of this machine."""


def as_token(text: str, where: str) -> str:
    """Strip and check a token that a user put somewhere.

    Raises:
        StartFault: it is malformed; the message names `where`.
    """
    token = text.strip()
    if not token:
        raise StartFault(f"The token in {where} is empty.")
    if not (token.isascii() and token.isprintable()) or " " in token or len(token) > MAX_TOKEN_BYTES:
        raise StartFault(f"What is in {where} is no token; copy it once more.")
    return token


def read_credentials(file: Path) -> Credentials:
    """Read a credentials file.

    Raises:
        StartFault: it is missing, readable by others, or malformed; the message says what to do.
    """
    make = f"make one where EXAI runs: `exai token create NAME --save {file}`"
    try:
        document = json.loads(read_private(file))
    except FileNotFoundError:
        raise StartFault(f"The credentials file {file} does not exist; {make}.") from None
    except OSError as error:
        reason = reason_of(error)
        raise StartFault(f"The credentials file {file} cannot be read ({reason}).") from error
    except ValueError:
        document = None
    if not isinstance(document, dict) or not isinstance(document.get("access_token"), str):
        raise StartFault(f"{file} is no credentials file; {make}.")
    refresh_token, expires_at = document.get("refresh_token"), document.get("expires_at")
    if not isinstance(refresh_token, str | None) or not _is_time(expires_at):
        raise StartFault(f"{file} is no credentials file; {make}.")
    return Credentials(as_token(document["access_token"], str(file)), refresh_token, expires_at)


def _is_time(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def write_credentials(file: Path, credentials: Credentials) -> None:
    """Replace the file atomically, with mode 600.

    Raises:
        OSError: it cannot be written.
    """
    document: dict[str, Any] = {"access_token": credentials.access_token}
    if credentials.refresh_token is not None:
        document["refresh_token"] = credentials.refresh_token
    if credentials.expires_at is not None:
        document["expires_at"] = credentials.expires_at
    replace_private(file, json.dumps(document, indent=2) + "\n")
