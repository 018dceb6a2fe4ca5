"""Findings: as a model reports one, as it is weighed, and as it is shown."""

import hashlib
import re
from typing import Annotated, Literal

import msgspec

from exai.workflows.review.categories import CWE, Category, Severity
from exai.workflows.review.fingerprints import fingerprint

__all__ = ["Candidate", "Check", "Finding", "Judged", "Reported"]

Judged = Literal["confirmed", "unsure", "refuted"]
"""What a model of another family says of a finding."""

_WEAKNESS = re.compile(r"CWE-\d{1,5}")


class Check(msgspec.Struct, frozen=True):
    """How one sees that a finding is true."""

    command: str = ""
    expected: str = ""
    actual: str = ""


class Reported(msgspec.Struct, frozen=True, kw_only=True, rename={"first": "from", "last": "to"}):
    """A finding as a model reports it."""

    severity: Severity
    category: Category
    path: Annotated[str, msgspec.Meta(description="The file's path, or its id such as E1")]
    first: Annotated[int, msgspec.Meta(description="Number of its first line")]
    last: Annotated[int, msgspec.Meta(description="Number of its last line")]
    quote: Annotated[str, msgspec.Meta(description="What stands there, word for word")]
    message: Annotated[str, msgspec.Meta(description="What is wrong, and what comes of it")]
    when: Annotated[str, msgspec.Meta(description="With which input or event it happens")] = ""
    fix: Annotated[str, msgspec.Meta(description="The smallest change that ends it")] = ""
    cwe: Annotated[str, msgspec.Meta(description="As CWE-89, where it is one")] = ""
    caused_by: Annotated[
        str,
        msgspec.Meta(
            description="Only of lines that do not change: the changed line that causes it, word for word"
        ),
    ] = ""
    check: Check = Check()

    @property
    def weakness(self) -> str:
        """The CWE that it names, else that of its category; empty: none."""
        found = _WEAKNESS.search(self.cwe.upper())
        return found[0] if found else CWE.get(self.category, "")


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A finding while it is weighed. Its place is the true one, as far as there is one."""

    reported: Reported
    citation: str
    """What was found when its quotation was compared with what was shown, as `verified`."""
    passes: tuple[str, ...]
    """Which passes named it."""
    symbol: str = ""
    """The name of the part that it stands in."""
    judged: Judged | None = None
    """What another family says; `None`: it was not asked."""
    reason: str = ""
    """Why it says so."""
    remarks: tuple[str, ...] = ()
    """What a reader is told besides."""

    @property
    def votes(self) -> int:
        return len(self.passes)

    @property
    def fingerprint(self) -> str:
        """By which it is known as the same at the next review."""
        return fingerprint(self.reported.category, self.reported.path, self.symbol, self.reported.quote)


class Finding(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename={"first": "from", "last": "to"}
):
    """A finding as an answer shows it."""

    id: str
    severity: Severity
    category: Category
    cwe: str = ""
    confidence: float
    votes: int
    path: str
    first: int
    last: int
    quote: str
    citation: str
    """`verified`, or how its place was corrected."""
    message: str
    when: str = ""
    fix: str = ""
    check: Check = Check()
    remarks: tuple[str, ...] = ()
    fingerprint: str

    @classmethod
    def of(cls, candidate: Candidate, confidence: float, repository: str) -> "Finding":
        """Make it of a candidate; its id is the same at each review of a repository."""
        told, known_by = candidate.reported, candidate.fingerprint
        digest = hashlib.sha256(f"{repository}\n{known_by}".encode()).hexdigest()
        return cls(
            id=f"f_{digest[:12]}",
            severity=told.severity,
            category=told.category,
            cwe=told.weakness,
            confidence=confidence,
            votes=candidate.votes,
            path=told.path,
            first=told.first,
            last=told.last,
            quote=told.quote,
            citation=candidate.citation,
            message=told.message,
            when=told.when,
            fix=told.fix,
            check=told.check,
            remarks=candidate.remarks,
            fingerprint=known_by,
        )

    @property
    def place(self) -> str:
        """Its path and lines, as one line."""
        path = "".join(each if each.isprintable() else ascii(each)[1:-1] for each in self.path)
        last = f"-{self.last}" if self.last != self.first else ""
        return f"{path}:{self.first}{last}"
