"""A command of `exai` that runs to its end as a process of its own, for tests of what it does and not how it starts."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryFile
from typing import NamedTuple

from support.daemons import EXAI_MODULE
from support.forks import fork

__all__ = ["Ended", "run_exai"]

END_TIMEOUT_S = 120


class Ended(NamedTuple):
    """How it ended, and what it wrote."""

    code: int
    out: str
    notes: str
    """What it wrote to stderr."""


async def run_exai(*arguments: str, env: Mapping[str, str], cwd: Path) -> Ended:
    """Run `exai` with nothing to read on stdin."""
    with TemporaryFile() as stderr:
        process = await fork(EXAI_MODULE, *arguments, env=env, cwd=cwd, stderr=stderr)
        process.stdin.close()
        try:
            async with asyncio.timeout(END_TIMEOUT_S):
                out = await process.stdout.read()
                code = await process.wait()
        finally:
            process.kill()
        stderr.seek(0)
        return Ended(code, out.decode(), stderr.read().decode())
