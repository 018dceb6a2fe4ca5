"""What can be wrong with code: categories, the weakness each stands for, and severities."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, get_args

__all__ = ["CATEGORIES", "CWE", "SEVERITIES", "Category", "Severity", "is_as_severe", "rank"]

Category = Literal[
    "injection",
    "cross-site-scripting",
    "path-traversal",
    "request-forgery",
    "authentication",
    "authorization",
    "cryptography",
    "exposed-secret",
    "unsafe-deserialization",
    "input-validation",
    "concurrency",
    "resource-leak",
    "resource-exhaustion",
    "null-dereference",
    "boundary",
    "logic",
    "state",
    "error-handling",
    "contract",
    "data-loss",
    "performance",
    "missing-test",
    "style",
    "suspicious-text",
]
"""`contract`: what a caller or another file relies on does not hold. `suspicious-text`: the code or a comment tells
its reader what to do."""

CATEGORIES: tuple[Category, ...] = get_args(Category)

CWE: Mapping[Category, str] = MappingProxyType(
    {
        "injection": "CWE-74",
        "cross-site-scripting": "CWE-79",
        "path-traversal": "CWE-22",
        "request-forgery": "CWE-918",
        "authentication": "CWE-287",
        "authorization": "CWE-862",
        "cryptography": "CWE-327",
        "exposed-secret": "CWE-200",
        "unsafe-deserialization": "CWE-502",
        "input-validation": "CWE-20",
        "concurrency": "CWE-362",
        "resource-leak": "CWE-772",
        "resource-exhaustion": "CWE-400",
        "null-dereference": "CWE-476",
        "boundary": "CWE-193",
        "error-handling": "CWE-755",
    }
)
"""The weakness that a category stands for where a finding names none; the others stand for none."""

Severity = Literal["critical", "high", "medium", "low"]
"""`critical`: security, data loss, a crash on a common path. `high`: a wrong result or a serious cost. `medium`: wrong
in a rare case, or a risk without a test. `low`: everything else."""

SEVERITIES: tuple[Severity, ...] = get_args(Severity)
"""The worst first."""


def rank(severity: Severity) -> int:
    """Return the place of a severity; 0 is the worst."""
    return SEVERITIES.index(severity)


def is_as_severe(severity: Severity, least: Severity) -> bool:
    """Whether a severity is `least`, or worse."""
    return rank(severity) <= rank(least)
