"""Exchanges a refresh token for another access token: one request to `POST /auth/token` (RFC 6749, section 6)."""

import http.client
import json
from contextlib import closing
from urllib.parse import urlencode, urlsplit

from exai.client.credentials_file import Credentials
from exai.runtime.clock import Clock

__all__ = ["RefreshRefused", "refresh", "token_url"]

ANSWER_S = 5.0
"""How long the daemon may take, to connect and then for each part of its answer."""
MAX_BYTES = 64 * 2**10
REFUSALS = frozenset({400, 401})


class RefreshRefused(Exception):
    """The refresh token is no longer valid: revoked, used, or expired."""


def token_url(url: str) -> str:
    """Return the token endpoint beside the MCP address `url`, such as `ws://127.0.0.1:8079/mcp`."""
    parts = urlsplit(url)
    scheme = "https" if parts.scheme in ("wss", "https") else "http"
    return f"{scheme}://{parts.netloc}{parts.path.removesuffix('/').removesuffix('/mcp')}/auth/token"


def refresh(url: str, refresh_token: str, clock: Clock) -> Credentials:
    """Fetch the next pair of tokens; `clock` dates their end. Blocks.

    A lost answer does no harm: the old refresh token is valid until the new one is used.

    Raises:
        RefreshRefused: the daemon does not accept the refresh token.
        OSError: there was no answer, or a malformed one.
    """
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    form = urlencode({"grant_type": "refresh_token", "refresh_token": refresh_token})
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
    with closing(kind(parts.hostname or "", parts.port, timeout=ANSWER_S)) as connection:
        try:
            connection.request("POST", parts.path, body=form, headers=headers)
            response = connection.getresponse()
            body = response.read(MAX_BYTES)
        except http.client.HTTPException as error:
            raise ConnectionError("what answers there speaks no HTTP") from error
    if response.status in REFUSALS:
        raise RefreshRefused
    if response.status != 200:
        raise ConnectionError(f"its token endpoint answers with HTTP {response.status}")
    try:
        document = json.loads(body)
        # By our own clock, with which it will be compared.
        expires_at = clock.wall() + float(document["expires_in"])
        return Credentials(str(document["access_token"]), str(document["refresh_token"]), expires_at)
    except (ValueError, KeyError, TypeError) as error:
        raise ConnectionError("its token endpoint sent no tokens") from error
