"""What the server needs to know of a provider. One implementation each for GLM, Kimi and `custom`."""

from collections.abc import Mapping
from typing import Any, Protocol

from exai_emulator.accounts import Account
from exai_emulator.calls import ChatCall, ErrorRow, KeyVerdict, Refusal
from exai_emulator.endpoints import Endpoints
from exai_emulator.faults import Fault
from exai_emulator.identities import Identity
from exai_emulator.personas import Answer
from exai_emulator.streaming import StreamFrames

__all__ = ["CHAT", "READS_A_CALL", "ProviderApi"]

CHAT = "chat"
READS_A_CALL = frozenset({CHAT, "estimate"})
"""The operations whose body is a chat request."""


class ProviderApi(Protocol):
    """One emulated service."""

    @property
    def name(self) -> str: ...
    @property
    def errors(self) -> Mapping[str, ErrorRow]:
        """The error table by name."""
        ...

    @property
    def routes(self) -> Mapping[tuple[str, str], tuple[str, str]]:
        """Method and path to operation (`chat`, `models`, `balance`, `estimate`) and root."""
        ...

    @property
    def endpoints(self) -> Endpoints:
        """What it answers beside the routes."""
        ...

    @property
    def json_type(self) -> str:
        """Content-Type of an answer and of an error."""
        ...

    @property
    def stream_type(self) -> str:
        """Content-Type of a stream."""
        ...

    def too_large(self, path: str) -> Refusal:
        """The refusal of a body above the service's limit."""
        ...

    @property
    def in_stream_error(self) -> str:
        """The name of the error that an `error` frame carries when none is asked for."""
        ...

    @property
    def body_opening(self) -> bytes:
        """What stands before the JSON of an answer that does not stream."""
        ...

    def credentials(self, headers: Mapping[str, str]) -> str:
        """The key that a request carries, as an Authorization header would."""
        ...

    def key_verdict(self, authorization: str) -> KeyVerdict:
        """What the Authorization header is worth."""
        ...

    def refused_key(self, path: str, refusal: Refusal) -> Refusal:
        """What a refusal of the key is at this path."""
        ...

    def further_headers(self, path: str, headers: Mapping[str, str], identity: Identity) -> Mapping[str, str]:
        """What every reply at this path carries besides; `headers` are the request's."""
        ...

    async def read_documents(self, raw: Any, account: Account, /) -> None:
        """Read the documents that a chat shows, so that `read_call` has their text."""
        ...

    def read_call(self, raw: Any, root: str, account: Account) -> ChatCall:
        """The request as the rules see it, whatever `raw` is."""
        ...

    def shape(self, call: ChatCall, answer: Answer) -> None:
        """Change a persona's answer to what only this service does."""
        ...

    def headers(self, identity: Identity, content_type: str | None, cached_tokens: int = 0) -> str:
        """The header lines of a response, CRLF-ended, without framing and date."""
        ...

    def completion(
        self, call: ChatCall, answer: Answer, identity: Identity, fault: Fault | None
    ) -> dict[str, Any]:
        """The body of an answer that does not stream."""
        ...

    def frames(self, call: ChatCall, answer: Answer, identity: Identity, fault: Fault | None) -> StreamFrames:
        """The frames of an answer that streams."""
        ...

    def error_body(self, row: ErrorRow, message: str | None) -> Any:
        """The row in the provider's envelope, with its own text or `message`."""
        ...

    def stream_error(self, row: ErrorRow, message: str | None) -> Any:
        """The same as it stands in a frame of a stream."""
        ...

    def plain(self, operation: str, account: Account, call: ChatCall | None) -> Any:
        """The body of every operation that is not a chat."""
        ...

    def unknown_route(self, method: str, path: str, agent: str) -> tuple[int, Any]:
        """Status and body of the answer to a route that does not exist."""
        ...
