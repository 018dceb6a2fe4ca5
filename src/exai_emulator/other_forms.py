"""A provider's chats behind another form of requests, answers, streams and errors.

A request is read as the chat request that it amounts to, so that the provider's own rules, limits, personas and
faults hold. What a form leaves out here is the provider's own.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from exai_emulator.accounts import Account
from exai_emulator.calls import ChatCall, ErrorRow, KeyVerdict, Refusal
from exai_emulator.endpoints import Endpoints
from exai_emulator.faults import Fault
from exai_emulator.identities import Identity
from exai_emulator.personas import Answer
from exai_emulator.provider import CHAT, ProviderApi
from exai_emulator.streaming import StreamFrames

__all__ = ["OtherForm"]


@dataclass(frozen=True, slots=True)
class OtherForm(ABC):
    """`inner` at the one path of another form."""

    inner: ProviderApi
    path: str
    form: str
    """The root that its calls name."""

    @property
    def name(self) -> str:
        return self.inner.name

    @property
    def errors(self) -> Mapping[str, ErrorRow]:
        return self.inner.errors

    @property
    def routes(self) -> Mapping[tuple[str, str], tuple[str, str]]:
        return {("POST", self.path): (CHAT, self.form)}

    @property
    def endpoints(self) -> Endpoints:
        return Endpoints(())

    @property
    def json_type(self) -> str:
        return self.inner.json_type

    @property
    def stream_type(self) -> str:
        return self.inner.stream_type

    @property
    def in_stream_error(self) -> str:
        return self.inner.in_stream_error

    @property
    def body_opening(self) -> bytes:
        return b""

    def too_large(self, path: str) -> Refusal:
        return self.inner.too_large(path)

    def credentials(self, headers: Mapping[str, str]) -> str:
        return self.inner.credentials(headers)

    def key_verdict(self, authorization: str) -> KeyVerdict:
        return self.inner.key_verdict(authorization)

    def refused_key(self, path: str, refusal: Refusal) -> Refusal:
        return self.inner.refused_key(path, refusal)

    def further_headers(self, path: str, headers: Mapping[str, str], identity: Identity) -> Mapping[str, str]:
        return self.inner.further_headers(path, headers, identity)

    async def read_documents(self, raw: Any, account: Account, /) -> None:
        await self.inner.read_documents(raw, account)

    def read_call(self, raw: Any, root: str, account: Account) -> ChatCall:
        call = self.inner.read_call(self.as_chat(raw) if isinstance(raw, dict) else raw, root, account)
        call.raw = raw
        return call

    @abstractmethod
    def as_chat(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """The chat request that a body amounts to."""

    def shape(self, call: ChatCall, answer: Answer) -> None:
        """As the provider does; thinking is counted and not shown."""
        self.inner.shape(call, answer)
        answer.reasoning = ""

    def headers(self, identity: Identity, content_type: str | None, cached_tokens: int = 0) -> str:
        return self.inner.headers(identity, content_type, cached_tokens)

    @abstractmethod
    def completion(
        self, call: ChatCall, answer: Answer, identity: Identity, fault: Fault | None
    ) -> dict[str, Any]:
        """The body of an answer that does not stream."""

    @abstractmethod
    def frames(self, call: ChatCall, answer: Answer, identity: Identity, fault: Fault | None) -> StreamFrames:
        """The frames of an answer that streams."""

    def error_body(self, row: ErrorRow, message: str | None) -> Any:
        return self.inner.error_body(row, message)

    def stream_error(self, row: ErrorRow, message: str | None) -> Any:
        return self.error_body(row, message)

    def plain(self, operation: str, account: Account, call: ChatCall | None) -> Any:
        return self.inner.plain(operation, account, call)

    def unknown_route(self, method: str, path: str, agent: str) -> tuple[int, Any]:
        return self.inner.unknown_route(method, path, agent)
