"""Another access token for a refresh token: one request to `POST /auth/token` (RFC 6749, section 6)."""

import http.client
import json
import time
from contextlib import closing
from urllib.parse import urlencode, urlsplit

from exai.client.credentials_file import Credentials

__all__ = ["RefreshRefused", "refresh", "token_url"]

ANSWER_S = 5.0
"""How long the daemon may take, to connect and then for each part of its answer."""
MAX_BYTES = 64 * 2**10
REFUSALS = frozenset({400, 401})


class RefreshRefused(Exception):
    """The refresh token is over: revoked, used, or too old."""


def token_url(url: str) -> str:
    """Where tokens are refreshed, beside the MCP door at `url`, such as `ws://127.0.0.1:8079/mcp`."""
    parts = urlsplit(url)
    scheme = "https" if parts.scheme in ("wss", "https") else "http"
    return f"{scheme}://{parts.netloc}{parts.path.removesuffix('/').removesuffix('/mcp')}/auth/token"


def refresh(url: str, refresh_token: str) -> Credentials:
    """The next pair of tokens. Blocks; a lost answer loses nothing, as the old token is good until the new is used.

    Raises:
        RefreshRefused: the daemon does not take the refresh token.
        OSError: no answer, or none that makes sense.
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
        # By our own clock: what the daemon's says of the end would be compared with it.
        expires_at = time.time() + float(document["expires_in"])
        return Credentials(str(document["access_token"]), str(document["refresh_token"]), expires_at)
    except (ValueError, KeyError, TypeError) as error:
        raise ConnectionError("its token endpoint sent no tokens") from error
