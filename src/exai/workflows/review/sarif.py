"""A review as SARIF 2.1.0, which forges and editors read."""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

import msgspec

from exai.runtime.version import __version__
from exai.workflows.review.categories import Category, Severity, rank
from exai.workflows.review.findings import Finding
from exai.workflows.review.noise import Reason, Withheld

__all__ = ["sarif_of"]

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
ROOT = "%SRCROOT%"
FINGERPRINT = "exai/v1"
LEVELS: Mapping[Severity, str] = MappingProxyType(
    {"critical": "error", "high": "error", "medium": "warning", "low": "note"}
)
SCORES: Mapping[Severity, str] = MappingProxyType(
    {"critical": "9.5", "high": "8.0", "medium": "5.5", "low": "2.0"}
)
"""As forges read `security-severity`, on the scale of CVSS."""


class _Object(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """An object of SARIF. What is left out has the meaning that its default has there."""


class _Message(_Object, frozen=True, kw_only=True):
    text: str


class _Place(_Object, frozen=True, kw_only=True):
    uri: str = ""
    uri_base_id: str = ""
    description: _Message | None = None


class _Region(_Object, frozen=True, kw_only=True):
    start_line: int
    end_line: int
    snippet: _Message | None = None


class _Physical(_Object, frozen=True, kw_only=True):
    artifact_location: _Place
    region: _Region


class _Location(_Object, frozen=True, kw_only=True):
    physical_location: _Physical


class _Suppression(_Object, frozen=True, kw_only=True):
    kind: str
    justification: str


class _Result(_Object, frozen=True, kw_only=True):
    rule_id: str
    rule_index: int
    level: str
    message: _Message
    locations: tuple[_Location, ...]
    partial_fingerprints: dict[str, str]
    rank: float
    suppressions: tuple[_Suppression, ...] = ()
    properties: dict[str, Any]


class _Rule(_Object, frozen=True, kw_only=True):
    id: str
    name: str = ""
    short_description: _Message
    full_description: _Message
    help: _Message
    properties: dict[str, Any]


class _Component(_Object, frozen=True, kw_only=True):
    name: str
    version: str
    full_name: str
    rules: tuple[_Rule, ...]


class _Tool(_Object, frozen=True, kw_only=True):
    driver: _Component


class _Notification(_Object, frozen=True, kw_only=True):
    level: str
    message: _Message


class _Invocation(_Object, frozen=True, kw_only=True):
    execution_successful: bool
    tool_execution_notifications: tuple[_Notification, ...] = ()


class _Details(_Object, frozen=True, kw_only=True):
    id: str


class _Run(_Object, frozen=True, kw_only=True):
    tool: _Tool
    automation_details: _Details
    original_uri_base_ids: dict[str, _Place]
    invocations: tuple[_Invocation, ...]
    column_kind: str
    results: tuple[_Result, ...]


class _Log(_Object, frozen=True, kw_only=True):
    schema: str = msgspec.field(name="$schema")
    version: str
    runs: tuple[_Run, ...]


def sarif_of(
    findings: Sequence[Finding],
    *,
    withheld: Sequence[Withheld] = (),
    kind: str = "full",
    notes: Iterable[str] = (),
) -> bytes:
    """Write a review as one run.

    Args:
        withheld: what is not shown, which become suppressed results. A forge that reads no suppressions shows them.
        kind: that of the review, so that a forge keeps reviews of several kinds apart.
        notes: what the review says of itself, such as what was withheld and which files could not be read.
    """
    everything = [*findings, *(each.finding for each in withheld)]
    names = list(dict.fromkeys(finding.category for finding in everything))
    rules = tuple(_rule(name, [each for each in everything if each.category == name]) for name in names)
    results = (
        *(_result(each, names.index(each.category)) for each in findings),
        *(_result(each.finding, names.index(each.finding.category), each.reason) for each in withheld),
    )
    told = tuple(_Notification(level="note", message=_Message(text=note)) for note in notes)
    driver = _Component(name="exai", full_name=f"EXAI {__version__}", version=__version__, rules=rules)
    run = _Run(
        tool=_Tool(driver=driver),
        automation_details=_Details(id=f"exai/review/{kind}/"),
        original_uri_base_ids={ROOT: _Place(description=_Message(text="The folder that was reviewed."))},
        invocations=(_Invocation(execution_successful=True, tool_execution_notifications=told),),
        column_kind="unicodeCodePoints",
        results=results,
    )
    encoded = msgspec.json.encode(_Log(schema=SCHEMA, version="2.1.0", runs=(run,)))
    return msgspec.json.format(encoded, indent=2) + b"\n"


def _rule(category: Category, found: Sequence[Finding]) -> _Rule:
    weaknesses = sorted({finding.cwe for finding in found if finding.cwe})
    tags = (
        ["security", *(f"external/cwe/{each.lower()}" for each in weaknesses)] if weaknesses else ["quality"]
    )
    worst = min((finding.severity for finding in found), key=rank)
    title = category.replace("-", " ").capitalize()
    named = f" ({', '.join(weaknesses)})" if weaknesses else ""
    return _Rule(
        id=category,
        # One that differs from the id by its capital alone says nothing.
        name="".join(word.capitalize() for word in category.split("-")) if "-" in category else "",
        short_description=_Message(text=f"{title}."),
        full_description=_Message(text=f"{title}{named}, found by models in a review."),
        help=_Message(
            text="A model reported it, and its quotation was found where it says. Check it before you act."
        ),
        properties={"tags": tags, "precision": "medium", **_score(weaknesses, worst)},
    )


def _result(finding: Finding, rule: int, withheld_as: Reason | None = None) -> _Result:
    region = _Region(
        start_line=finding.first,
        end_line=max(finding.first, finding.last),
        snippet=_Message(text=finding.quote) if finding.quote else None,
    )
    place = _Place(uri=quote(finding.path, safe="/~!$&'()*+,;=@"), uri_base_id=ROOT)
    return _Result(
        rule_id=finding.category,
        rule_index=rule,
        level=LEVELS[finding.severity],
        message=_Message(text=_told(finding)),
        locations=(_Location(physical_location=_Physical(artifact_location=place, region=region)),),
        partial_fingerprints={FINGERPRINT: finding.fingerprint},
        rank=round(finding.confidence * 100, 1),
        suppressions=()
        if withheld_as is None
        else (_Suppression(kind="external", justification=f"Withheld as {withheld_as}"),),
        properties={
            "id": finding.id,
            "severity": finding.severity,
            "confidence": finding.confidence,
            "votes": finding.votes,
            "citation": finding.citation,
            **({"cwe": finding.cwe} if finding.cwe else {}),
            **_score(finding.cwe, finding.severity),
        },
    )


def _score(weakness: object, severity: Severity) -> dict[str, str]:
    """Return the score of what is a weakness; a forge shows what has one among its security alerts."""
    return {"security-severity": SCORES[severity]} if weakness else {}


def _told(finding: Finding) -> str:
    check = finding.check
    parts = (
        ("", finding.message),
        ("When: ", finding.when),
        ("Fix: ", finding.fix),
        ("Check: ", check.command),
        ("Expected: ", check.expected),
        ("Actual: ", check.actual),
        *(("Note: ", remark) for remark in finding.remarks),
    )
    return "\n\n".join(f"{label}{text}" for label, text in parts if text)
