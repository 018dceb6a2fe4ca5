"""Findings as the tool `review` answers them."""

from typing import Any

import msgspec

from exai.workflows.review.findings import Check, Finding

__all__ = ["found", "review_result"]


def found(**fields: Any) -> Finding:
    """A finding with these fields, and with others that say something."""
    ready = {
        "id": "f_7c1e90aa0b1c",
        "severity": "high",
        "category": "resource-leak",
        "cwe": "CWE-772",
        "confidence": 0.86,
        "votes": 2,
        "path": "src/pool.py",
        "first": 41,
        "last": 44,
        "quote": "conn = self._open()\nreturn conn.run(sql)",
        "citation": "verified",
        "message": "The connection is never closed, so the pool is empty after 20 failed queries.",
        "when": "`run` raises",
        "fix": "Close it in a `finally`.",
        "check": Check("pytest tests/test_pool.py", "1 passed", "1 failed"),
        "fingerprint": "ab" * 16,
    }
    return Finding(**{**ready, **fields})


def review_result(*findings: Finding, **fields: Any) -> dict[str, Any]:
    """The `structuredContent` of a review with these findings."""
    return {
        "answer": f"{len(findings)} findings.",
        "continuation_id": "c_1",
        "model_used": "kimi-k3, glm-5.3",
        "cost_usd": 0.041,
        "findings": msgspec.to_builtins(findings),
        "withheld": {},
        "looked_at": "14 of 14 files",
        "notes": [],
        **fields,
    }
