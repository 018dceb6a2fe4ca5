"""Baselines in the database of these settings, for commands: with and without a running daemon."""

import re
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import msgspec

from exai.app.watching.baselines import baselines_of
from exai.cli.errors.asking import opened_database
from exai.config import Settings
from exai.errors import ExaiError, StartFault
from exai.monitoring.baselines.baselines import Baselines
from exai.monitoring.baselines.markdown import as_markdown
from exai.monitoring.baselines.page import as_page
from exai.monitoring.baselines.report import BaselineReport
from exai.runtime.clock import Clock, SystemClock

__all__ = ["duration", "use_baselines", "write_report"]

T = TypeVar("T")
SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def duration(text: str) -> timedelta:
    """Read a duration, as `24h`, `90m`, `30s` or `2d`.

    Raises:
        StartFault: it is none.
    """
    found = re.fullmatch(r"(\d{1,6}(?:\.\d{1,3})?)([smhd])", text.strip().lower())
    if found is None:
        raise StartFault(f"{ascii(text)[:40]} is no duration; write it as 24h, 90m, 30s or 2d.")
    return timedelta(seconds=float(found[1]) * SECONDS[found[2]])


async def use_baselines(
    settings: Settings, what: Callable[[Baselines], Awaitable[T]], clock: Clock | None = None
) -> T:
    """Do something with baselines.

    Raises:
        StartFault: the database cannot be used, or the request cannot be met.
    """
    async with opened_database(settings) as database:
        try:
            return await what(baselines_of(settings, database, clock or SystemClock()))
        except StartFault:
            raise
        except ExaiError as fault:
            raise StartFault(str(fault)) from fault


def write_report(report: BaselineReport, folder: Path) -> list[Path]:
    """Write a report into a folder as HTML, JSON and Markdown; return where.

    Raises:
        StartFault: the folder cannot be written.
    """
    texts = {
        "report.html": as_page(report),
        "report.json": msgspec.json.format(msgspec.json.encode(report)).decode() + "\n",
        "report.md": as_markdown(report),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise StartFault(f"{folder} cannot be written: {error.strerror or error}.") from None
    return [folder / name for name in texts]
