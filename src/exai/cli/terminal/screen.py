"""An answer on the terminal, as it is written."""

from collections.abc import Mapping
from typing import IO

from exai.client.connection import Answer

__all__ = ["Screen", "facts_of", "summary"]

REPORT = "exai/report"


class Screen:
    """Writes the answer to stdout, and what is said about it to stderr."""

    def __init__(self, out: IO[str], notes: IO[str], *, streams: bool, shows_thinking: bool) -> None:
        """`streams`: whether text is written as it comes; else the answer is written once, whole."""
        self._out = out
        self._notes = notes
        self._streams = streams
        self._shows_thinking = shows_thinking
        self._written = ""

    def receive(self, kind: str, text: str) -> None:
        """Take a progress message."""
        if kind == "text" and self._streams:
            self._written += text
            self._out.write(text)
            self._out.flush()
        elif kind == "reasoning" and self._shows_thinking:
            self._notes.write(text)
            self._notes.flush()

    def end(self, answer: str) -> None:
        """Write what is not there yet; the whole answer where something else had been written, as by another model."""
        written, answer = self._written.strip(), answer.strip()
        if answer.startswith(written):
            self._out.write(f"{answer[len(written) :]}\n")
        else:
            self._out.write(f"\n\n{answer}\n")
        self._out.flush()


def facts_of(answer: Answer) -> Mapping[str, object]:
    """Return the members of the result, with those of its report."""
    report = answer.meta.get(REPORT)
    return {**(report if isinstance(report, dict) else {}), **(answer.structured or {})}


def summary(facts: Mapping[str, object]) -> str:
    """Say in a line who answered, and what it took."""
    parts = [str(facts.get("model_used", ""))]
    usage, timings, cost = facts.get("usage"), facts.get("timings"), facts.get("cost_usd")
    if isinstance(usage, dict):
        parts.append(f"{usage.get('input')} tokens in, {usage.get('output')} out")
    if isinstance(cost, int | float):
        emulated = " if it were real" if facts.get("emulated") else ""
        parts.append(f"${cost:.6f}{emulated}")
    if isinstance(timings, dict) and isinstance(latency := timings.get("latency_ms"), int | float):
        parts.append(f"{latency / 1000:.1f} s")
    return " | ".join(parts)
