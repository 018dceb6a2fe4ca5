"""How every benchmark ends: its figures beside their aims, and the same as JSON with the day and the machine."""

import json
import os
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

__all__ = ["keep", "show", "verdict"]


def verdict(value: float, aim: float) -> str:
    """Whether the figure is at most what is aimed at."""
    return "reached" if value <= aim else "missed"


def show(figures: Mapping[str, float], aims: Mapping[str, float]) -> None:
    """One line for each figure."""
    width = max(map(len, figures)) + 2
    for name, value in figures.items():
        aim = f"   aim at most {aims[name]:g}: {verdict(value, aims[name])}" if name in aims else ""
        print(f"{name:<{width}} {value:>10g}{aim}")


def keep(result: Mapping[str, Any], into: Path) -> None:
    """Write the result."""
    where = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {
            "python": platform.python_version(),
            "cores": os.cpu_count(),
            "system": platform.system(),
        },
    }
    into.parent.mkdir(parents=True, exist_ok=True)
    into.write_text(json.dumps({**where, **result}, indent=2) + "\n", encoding="utf-8")
    print(f"\nwritten to {into}")
