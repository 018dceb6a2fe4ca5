"""What the options of `exai review` choose."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from exai.workflows.review.categories import Severity, is_as_severe

__all__ = ["FailOn", "Format", "Kind", "Place", "Wanted"]

Format = Literal["text", "json", "sarif", "github"]
Kind = Literal["full", "security", "performance", "quick"]
Depth = Literal["quick", "standard", "deep"]
FailOn = Literal["critical", "high", "medium", "low", "never"]

DEFAULT_SEVERITY: Severity = "medium"
"""The least that is shown, unless less makes the command fail."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which review, how it is shown, and when the command fails."""

    format: Format
    kind: Kind
    depth: Depth | None
    focus: str | None
    fail_on: FailOn
    min_severity: Severity | None
    max_findings: int | None
    budget: float | None
    fail_open: bool

    @property
    def arguments(self) -> dict[str, Any]:
        """Those of the tool, beside what is reviewed."""
        given = {
            "kind": self.kind,
            "depth": self.depth,
            "focus": self.focus,
            "min_severity": self.min_severity or self._least(),
            "max_findings": self.max_findings,
            "budget_usd": self.budget,
        }
        return {name: value for name, value in given.items() if value is not None}

    def as_options(self) -> Iterator[str]:
        """Write the options that a hook is run with."""
        given = {
            "--fail-on": self.fail_on,
            "--kind": None if self.kind == "full" else self.kind,
            "--depth": self.depth,
            "--focus": self.focus,
            "--min-severity": self.min_severity,
            "--max-findings": self.max_findings,
            "--budget": self.budget,
        }
        yield "--staged"
        yield from _written(given)
        if self.fail_open:
            yield "--fail-open"

    def _least(self) -> Severity:
        """Return the least severity that is shown: what makes the command fail is among it."""
        if self.fail_on == "never" or is_as_severe(self.fail_on, DEFAULT_SEVERITY):
            return DEFAULT_SEVERITY
        return self.fail_on


class Place(msgspec.Struct, frozen=True):
    """Which daemon reviews, and whether files are sent to it."""

    url: str | None
    credentials: Path | None
    config_file: Path | None
    overrides: tuple[str, ...]
    sends_files: bool | None
    """`None`: as the daemon's place has it."""
    demo: bool | None
    """`None`: the daemon that runs here."""

    def as_options(self) -> Iterator[str]:
        """Write the options that a hook is run with."""
        yield from _written(
            {
                "--url": self.url,
                "--credentials": self.credentials and self.credentials.absolute(),
                "--config": self.config_file and self.config_file.absolute(),
            }
        )
        for override in self.overrides:
            yield from ("--set", override)
        if self.sends_files is not None:
            yield "--files" if self.sends_files else "--no-files"
        if self.demo is not None:
            yield "--demo" if self.demo else "--no-demo"

    def serve_options(self, *, demo: bool) -> list[str]:
        """Write the options of a daemon that is started for the command."""
        options = ["--demo"] if demo else []
        options += [] if self.config_file is None else ["--config", str(self.config_file)]
        return [*options, *(word for override in self.overrides for word in ("--set", override))]


def _written(given: Mapping[str, object]) -> Iterator[str]:
    for name, value in given.items():
        if value is not None:
            yield from (name, str(value))
