"""What the emulated services were asked: every request, when it began, and how it ended."""

import asyncio
import hashlib
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, Literal

import msgspec

__all__ = ["Charged", "Outcome", "RequestLog", "RequestRecord", "fingerprint"]

Outcome = Literal["open", "complete", "disconnected", "fault", "failed"]
"""How a request ended: `fault` when one struck it; `failed` is a defect of the emulator itself."""

_SECRET_HEADERS = frozenset({"authorization", "api-key", "x-api-key", "cookie"})


def fingerprint(secret: str) -> str:
    """A short digest by which two uses of one secret can be told to be the same."""
    return "sha256:" + hashlib.sha256(secret.encode()).hexdigest()[:12]


class Charged(msgspec.Struct, frozen=True):
    """The tokens that a request was charged for."""

    prompt: int
    cached: int
    """Of the prompt."""
    cache_write: int | None
    """Of the prompt; None where the service does not count it."""
    output: int
    reasoning: int
    """Of the output."""


class RequestRecord:
    """One request. Times are seconds of the loop."""

    __slots__ = (
        "_raw_headers",
        "body",
        "body_bytes",
        "charged",
        "disconnected",
        "ended",
        "fault",
        "fees",
        "frames",
        "method",
        "outcome",
        "path",
        "peer_port",
        "provider",
        "query",
        "sequence",
        "started",
        "status",
        "usage_sent",
    )

    def __init__(
        self,
        *,
        sequence: int,
        provider: str,
        method: str,
        path: str,
        raw_headers: Iterable[tuple[bytes, bytes]],
        peer_port: int,
    ) -> None:
        self.sequence = sequence
        self.provider = provider
        self.method = method
        self.path = path
        self.query = ""
        """The query of the URL, as it came."""
        self.body: Any = None
        """The decoded JSON body; None when there was none or it was not JSON."""
        self.body_bytes = 0
        """How much of the body has come."""
        self.peer_port = peer_port
        """The client's port: requests of one connection share it."""
        self.status = 0
        """The status that was sent; 0 while nothing was."""
        self.frames = 0
        """Stream frames sent so far."""
        self.fault: str | None = None
        """The fault that was applied, in words."""
        self.charged: Charged | None = None
        """None: it was refused, or is free of tokens."""
        self.usage_sent = False
        """Whether the whole of its usage was sent."""
        self.fees: dict[str, int] = {}
        """What it was charged for by the piece, such as web searches, and how often."""
        self.started = asyncio.get_running_loop().time()
        self.ended: float | None = None
        self.disconnected: float | None = None
        """When the client was seen to leave before the answer was whole."""
        self.outcome: Outcome = "open"
        self._raw_headers = raw_headers

    @property
    def headers(self) -> dict[str, str]:
        """The request's headers, names in lower case, secrets replaced by their fingerprint."""
        headers = {
            name.decode("latin-1").lower(): value.decode("latin-1") for name, value in self._raw_headers
        }
        for name in _SECRET_HEADERS & headers.keys():
            headers[name] = fingerprint(headers[name])
        return headers

    @property
    def model(self) -> str | None:
        """The model that was asked for."""
        model = self.body.get("model") if isinstance(self.body, dict) else None
        return model if isinstance(model, str) else None

    def as_json(self) -> dict[str, Any]:
        """The record as the control port shows it."""
        fields = (
            "sequence",
            "provider",
            "method",
            "path",
            "query",
            "status",
            "outcome",
            "fault",
            "frames",
            "peer_port",
        )
        times = ("started", "ended", "disconnected")
        return {
            **{name: getattr(self, name) for name in (*fields, *times)},
            "charged": None if self.charged is None else msgspec.structs.asdict(self.charged),
            "usage_sent": self.usage_sent,
            "fees": self.fees,
            "headers": self.headers,
            "body": self.body,
            "body_bytes": self.body_bytes,
        }

    def __repr__(self) -> str:
        return f"<{self.provider} {self.method} {self.path} {self.status} {self.outcome}>"


class RequestLog:
    """The requests in order of arrival, and how many were in flight at once."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._waiting: list[tuple[Callable[[RequestRecord], bool], asyncio.Future[RequestRecord]]] = []
        self.requests: list[RequestRecord] = []
        self._sequence = 0
        self._in_flight: Counter[tuple[str, str | None]] = Counter()
        self._high_water: Counter[tuple[str, str | None]] = Counter()
        self.in_flight = 0
        self.high_water = 0
        self.outcomes: Counter[tuple[str, Outcome]] = Counter()
        self.statuses: Counter[tuple[str, int]] = Counter()

    def clear(self) -> None:
        """Forget what has ended, and count high-water marks from what is in flight now."""
        self.requests = [record for record in self.requests if record.ended is None]
        self.high_water = self.in_flight
        self._high_water = Counter(self._in_flight)
        self.outcomes.clear()
        self.statuses.clear()

    def of(self, provider: str, path: str = "/chat/completions") -> list[RequestRecord]:
        """The requests to `provider` whose path ends with `path`."""
        return [
            record for record in self.requests if record.provider == provider and record.path.endswith(path)
        ]

    def in_flight_of(self, provider: str, model: str | None = None) -> int:
        """Requests of a provider, or of one of its models, being answered now."""
        return self._in_flight[provider, model]

    def high_water_of(self, provider: str, model: str | None = None) -> int:
        """Most requests of a provider, or of one of its models, that were being answered at once."""
        return self._high_water[provider, model]

    async def wait_for(
        self,
        predicate: Callable[[RequestRecord], bool],
        *,
        timeout: float = 90.0,  # noqa: ASYNC109 - a test that waits wants one call and a sure end
    ) -> RequestRecord:
        """The first request that satisfies `predicate`, as soon as there is one.

        The predicate is asked when a request has been read, when a fault strikes while it comes, at each frame
        of its stream, and when it ends. Raises TimeoutError after `timeout` seconds.
        """
        for record in self.requests:
            if predicate(record):
                return record
        found: asyncio.Future[RequestRecord] = asyncio.get_running_loop().create_future()
        entry = (predicate, found)
        self._waiting.append(entry)
        try:
            async with asyncio.timeout(timeout):
                return await found
        finally:
            if entry in self._waiting:
                self._waiting.remove(entry)

    def arrived(
        self,
        provider: str,
        method: str,
        path: str,
        raw_headers: Iterable[tuple[bytes, bytes]],
        peer_port: int,
    ) -> RequestRecord:
        """Begin the record of a request."""
        self._sequence += 1
        record = RequestRecord(
            sequence=self._sequence,
            provider=provider,
            method=method,
            path=path,
            raw_headers=raw_headers,
            peer_port=peer_port,
        )
        if len(self.requests) >= 2 * self._limit:
            del self.requests[: self._limit]
        self.requests.append(record)
        self.in_flight += 1
        self.high_water = max(self.high_water, self.in_flight)
        self._enter((provider, None))
        return record

    def received(self, record: RequestRecord, body_bytes: int) -> None:
        """Count bytes of the body that came."""
        record.body_bytes += body_bytes

    def struck(self, record: RequestRecord, fault: str) -> None:
        """Note the fault that strikes while the body comes."""
        record.fault = fault
        self._tell(record)

    def read(self, record: RequestRecord, body: Any) -> None:
        """Add the decoded body."""
        record.body = body
        if (model := record.model) is not None:
            self._enter((record.provider, model))
        self._tell(record)

    def streamed(self, record: RequestRecord, frames: int) -> None:
        """Count frames that were sent."""
        record.frames += frames
        self._tell(record)

    def finished(self, record: RequestRecord, outcome: Outcome) -> None:
        """End the record."""
        record.ended = asyncio.get_running_loop().time()
        record.outcome = outcome
        if outcome == "disconnected":
            record.disconnected = record.ended
        self.in_flight -= 1
        self._in_flight[record.provider, None] -= 1
        if (model := record.model) is not None:
            self._in_flight[record.provider, model] -= 1
        self.outcomes[record.provider, outcome] += 1
        self.statuses[record.provider, record.status] += 1
        self._tell(record)

    def _enter(self, key: tuple[str, str | None]) -> None:
        now = self._in_flight[key] + 1
        self._in_flight[key] = now
        self._high_water[key] = max(now, self._high_water[key])

    def _tell(self, record: RequestRecord) -> None:
        if not self._waiting:
            return
        for predicate, found in tuple(self._waiting):
            if not found.done() and predicate(record):
                found.set_result(record)
