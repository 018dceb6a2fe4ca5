"""What each call of a comparison gave, as a line of a file, so that an interrupted one goes on."""

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from exai.client.connection import Answer

__all__ = ["CallResult", "append_results", "read_results", "result_of"]

REPORT = "exai/report"
ERROR = "exai/error"
BEFORE_FIRST_TOKEN = (
    "session_wait_ms",
    "global_sem_wait_ms",
    "provider_sem_wait_ms",
    "failed_requests_ms",
    "backoff_ms",
    "connect_ms",
    "first_token_ms",
)


class CallResult(msgspec.Struct, frozen=True):
    """One call."""

    block: int
    model: str
    total_s: float
    """From the moment that was meant to the answer."""
    service_s: float
    """From the moment it was sent."""
    code: str | None
    """Of its failure; `None`: it was answered."""
    model_used: str | None = None
    tried: int = 1
    """Models that were asked."""
    requests: int = 1
    """Sent to providers: more than 1 after a retry."""
    effort: str | None = None
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float | None = None
    emulated: bool = False
    timings: Mapping[str, float] = {}

    @property
    def first_token_s(self) -> float | None:
        """When the first token came, after it was sent."""
        if "first_token_ms" not in self.timings:
            return None
        return sum(self.timings.get(name, 0.0) for name in BEFORE_FIRST_TOKEN) / 1_000


def result_of(block: int, model: str, answer: Answer, *, total_s: float, service_s: float) -> CallResult:
    """Read what a call gave."""
    if answer.is_error or answer.structured is None:
        code = answer.meta.get(ERROR, {}).get("code", "failed")
        return CallResult(block, model, total_s, service_s, code)
    report: dict[str, Any] = answer.meta.get(REPORT) or {}
    usage: dict[str, Any] = report.get("usage") or {}
    tried = report.get("tried") or ()
    return CallResult(
        block,
        model,
        total_s,
        service_s,
        None,
        answer.structured.get("model_used"),
        len(tried) or 1,
        sum(each.get("requests", 1) for each in tried) or 1,
        report.get("effort"),
        usage.get("input") or 0,
        usage.get("cached") or 0,
        usage.get("output") or 0,
        report.get("cost_usd"),
        bool(report.get("emulated")),
        {name: float(ms) for name, ms in (report.get("timings") or {}).items()},
    )


def append_results(path: Path, results: Iterable[CallResult]) -> None:
    """Add to the file; a line that was cut off before stays one of its own."""
    with path.open("a+b") as file:
        if file.tell():
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                file.write(b"\n")
        for each in results:
            file.write(msgspec.json.encode(each) + b"\n")


def read_results(path: Path, models: int) -> dict[int, list[CallResult]]:
    """Read the whole blocks of a file; a line that was cut off, and blocks that lack a model, are left out."""
    found: dict[int, list[CallResult]] = defaultdict(list)
    if not path.exists():
        return {}
    for line in path.read_bytes().splitlines():
        try:
            each = msgspec.json.decode(line, type=CallResult)
        except msgspec.DecodeError:
            continue
        found[each.block].append(each)
    return {number: calls[-models:] for number, calls in found.items() if len(calls) >= models}
