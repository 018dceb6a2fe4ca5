"""A review on a terminal, into a pipe whose reader has left, and interrupted: as processes."""

import asyncio
import os
import pty
import re
import signal
from asyncio.subprocess import DEVNULL, PIPE, Process
from pathlib import Path
from typing import Any

import pytest

from exai.dispatch.progress import KIND_KEY, SendProgress
from exai.tools.base import ToolAnswer
from support.daemons import EXAI, clean_environ
from support.findings import found, review_result
from support.open_doors import Doors
from support.repositories import GitRepository

STAGE = "review: pass 1 of 2"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A repository."""
    made = GitRepository(tmp_path / "project")
    made.commit({"a.py": "x = 1\n"})
    return made.folder


async def begin(doors: Doors, folder: Path, **streams: Any) -> Process:
    """Call the command in a folder."""
    environ = clean_environ(folder.parent / "data", {"TERM": "xterm"})
    arguments = ("review", "--url", doors.ws, "--staged")
    return await asyncio.create_subprocess_exec(
        *EXAI, *arguments, env=environ, cwd=folder, **{"stdin": DEVNULL, **streams}
    )


async def ended(process: Process) -> int:
    async with asyncio.timeout(60):
        return await process.wait()


async def answer(_: dict[str, Any], send: SendProgress | None) -> ToolAnswer:
    """Say what is done, and answer with a finding."""
    if send is not None:
        await send(1.0, STAGE, {KIND_KEY: "status"})
    return ToolAnswer("", review_result(found()))


async def _read_terminal(descriptor: int) -> str:
    """Read a terminal until nobody writes to it any more."""
    read = b""
    while True:
        try:
            block = await asyncio.to_thread(os.read, descriptor, 65_536)
        except OSError:
            return read.decode()
        if not block:
            return read.decode()
        read += block


async def test_a_terminal_shows_the_stages_and_then_the_findings_in_colour(
    doors: Doors, folder: Path
) -> None:
    doors.engine.further["review"] = answer
    ours, theirs = pty.openpty()
    process = await begin(doors, folder, stdout=theirs, stderr=theirs)
    os.close(theirs)
    shown = await _read_terminal(ours)
    os.close(ours)
    assert await ended(process) == 1
    before, _, page = shown.rpartition("\r\x1b[2K")
    assert f"\r\x1b[2K{STAGE}" in before
    assert "\x1b[31m" in page
    assert "HIGH resource-leak" in re.sub(r"\x1b\[[0-9;]*m", "", page)
    assert STAGE not in page, "the line is gone when the review is there"


async def test_elsewhere_there_is_no_colour_and_no_stage(doors: Doors, folder: Path) -> None:
    doors.engine.further["review"] = answer
    process = await begin(doors, folder, stdout=PIPE, stderr=PIPE)
    out, notes = await process.communicate()
    assert (process.returncode, b"\x1b" in out, notes) == (1, False, b"")


async def test_the_code_is_that_of_the_review_though_nobody_reads_it(doors: Doors, folder: Path) -> None:
    doors.engine.further["review"] = answer
    reader, writer = os.pipe()
    os.close(reader)
    process = await begin(doors, folder, stdout=writer, stderr=PIPE)
    os.close(writer)
    _, notes = await process.communicate()
    assert (process.returncode, notes) == (1, b"")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no disk that is always full")  # noqa: PTH110
async def test_a_full_disk_is_a_sentence(doors: Doors, folder: Path) -> None:
    doors.engine.further["review"] = answer
    full = os.open("/dev/full", os.O_WRONLY)
    process = await begin(doors, folder, stdout=full, stderr=PIPE)
    os.close(full)
    _, notes = await process.communicate()
    assert process.returncode == 2
    assert notes.startswith(b"exai: The review cannot be written")


async def test_an_interrupted_review_is_cancelled_at_the_daemon(doors: Doors, folder: Path) -> None:
    async def never(_: dict[str, Any], __: SendProgress | None) -> ToolAnswer:
        doors.engine.started.set()
        await asyncio.Event().wait()
        raise AssertionError

    doors.engine.further["review"] = never
    process = await begin(doors, folder, stdout=PIPE, stderr=PIPE)
    async with asyncio.timeout(60):
        await doors.engine.started.wait()
    process.send_signal(signal.SIGINT)
    out, notes = await process.communicate()
    assert (process.returncode, out) == (130, b"")
    assert b"Traceback" not in notes
    async with asyncio.timeout(30):
        await doors.engine.cancelled.wait()
