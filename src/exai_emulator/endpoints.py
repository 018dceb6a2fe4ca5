"""What a provider answers beside chats: a request as an endpoint sees it, its reply, and where each endpoint is."""

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from exai_emulator.accounts import Account
from exai_emulator.calls import ChatCall, Refusal
from exai_emulator.forms import Form
from exai_emulator.identities import Identity
from exai_emulator.personas import Answer
from exai_emulator.uploads import UploadFolder

__all__ = ["Endpoint", "EndpointRequest", "EndpointRow", "Endpoints", "Reply"]

_PARAMETER = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class EndpointRequest:
    """One request, authenticated and read whole."""

    path: str
    named: Mapping[str, str]
    """The parts of the path that the endpoint's pattern names."""
    query: Mapping[str, str]
    headers: Mapping[str, str]
    form: Form | None
    """The form in the body; None when the body is no whole, well-formed one."""
    json: Any
    """The decoded body; None when there was none or it was not JSON."""
    account: Account
    uploads: UploadFolder
    identity: Identity
    answer_to: Callable[[ChatCall], Answer]
    """What the persona in force says to a chat, for endpoints that answer one in their own way."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A success. `body` is JSON, or bytes where `content_type` is given."""

    body: Any
    status: int = 200
    content_type: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    commit: Callable[[], None] | None = None
    """What the reply says has happened. It happens unless a fault puts another reply in its place, so also
    when a fault only loses the reply."""
    logged: Any = None
    """What the request's record shows as its body, where that is not JSON."""


Endpoint = Callable[[EndpointRequest], Reply | Refusal | Awaitable[Reply | Refusal]]


EndpointRow = tuple[str, str, Endpoint]
"""Method, pattern of the path, and what answers."""


class Endpoints:
    """Endpoints by method and path. A pattern such as `/files/{id}` names parts of the path."""

    def __init__(self, rows: Iterable[EndpointRow], open_rows: Iterable[EndpointRow] = ()) -> None:
        """Those of `open_rows` need no key."""
        self._open = [(method, _compiled(pattern), endpoint) for method, pattern, endpoint in open_rows]
        self._rows = [(method, _compiled(pattern), endpoint) for method, pattern, endpoint in rows]
        self._rows += self._open

    def is_open(self, method: str, path: str) -> bool:
        """Whether the endpoint needs no key."""
        return any(method == of_method and pattern.fullmatch(path) for of_method, pattern, _ in self._open)

    def find(self, method: str, path: str) -> tuple[Endpoint, Mapping[str, str]] | None:
        """The endpoint of a request and the named parts of its path."""
        for of_method, pattern, endpoint in self._rows:
            if method == of_method and (matched := pattern.fullmatch(path)) is not None:
                return endpoint, matched.groupdict()
        return None


def _compiled(pattern: str) -> re.Pattern[str]:
    pieces = _PARAMETER.split(pattern)
    # Splitting by a group alternates between text and names.
    return re.compile(
        "".join(
            f"(?P<{piece}>[^/]+)" if place % 2 else re.escape(piece) for place, piece in enumerate(pieces)
        )
    )
