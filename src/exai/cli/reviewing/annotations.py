"""Findings as workflow commands, which GitHub Actions shows beside the lines of a change."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from exai.workflows.review.categories import Severity
from exai.workflows.review.findings import Finding

__all__ = ["annotations_of"]

COMMANDS: Mapping[Severity, str] = MappingProxyType(
    {"critical": "error", "high": "error", "medium": "warning", "low": "notice"}
)


def annotations_of(findings: Iterable[Finding], notes: Iterable[str] = ()) -> str:
    """Write a command for each finding, and one for each note."""
    lines = [_annotation(finding) for finding in findings]
    lines += [f"::notice title=exai review::{_data(note)}" for note in notes]
    return "".join(f"{line}\n" for line in lines)


def _annotation(finding: Finding) -> str:
    properties = {
        "file": finding.path,
        "line": str(finding.first),
        "endLine": str(max(finding.first, finding.last)),
        "title": f"{finding.severity}: {finding.category}",
    }
    written = ",".join(f"{name}={_property(value)}" for name, value in properties.items())
    told = [finding.message]
    told += [f"When: {finding.when}"] if finding.when else []
    told += [f"Fix: {finding.fix}"] if finding.fix else []
    told += [f"Check: {finding.check.command}"] if finding.check.command else []
    return f"::{COMMANDS[finding.severity]} {written}::{_data(chr(10).join(told))}"


def _data(text: str) -> str:
    """Write a text so that none of it ends the line, and with it the command."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
