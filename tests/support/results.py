"""Results of tools as a program reads them."""

from collections.abc import Mapping
from typing import Any

__all__ = ["whole"]


def whole(result: Mapping[str, Any]) -> dict[str, Any]:
    """All that a result says: what an agent is shown, lists that were left out as empty, and the report in `_meta`."""
    shown = result["structuredContent"]
    empty: dict[str, Any] = {"notes": [], "citations": []} if "answer" in shown or "results" in shown else {}
    return {**empty, **shown, **result.get("_meta", {}).get("exai/report", {})}
