"""A run that is asked for again, as its caller sees it while it waits."""

import io
import sys
from pathlib import Path
from typing import Any

import pytest

from exai.callers import LOCAL_SUBJECT
from exai.cli.data_choice import choose_data
from exai.cli.runs_again import Again
from exai.dispatch.progress import KIND_KEY, SendProgress
from exai.runtime.clock import SystemClock
from exai.storage.workflows.runs import Run
from exai.tools.base import ToolAnswer
from support.open_doors import Doors


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


async def answer(_: dict[str, Any], send: SendProgress | None) -> ToolAnswer:
    assert send is not None
    await send(1.0, "think: against", {KIND_KEY: "status"})
    return ToolAnswer("No.", {"answer": "No."})


async def test_a_run_that_is_asked_for_again_says_what_it_is_at(
    doors: Doors, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    doors.engine.further["think"] = answer
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    now = SystemClock().utc()
    run = Run(
        workflow_id="wf_1",
        owner=LOCAL_SUBJECT,
        conversation_id="c",
        tool="think",
        version=1,
        form="server",
        state="partial",
        stage="",
        digest="",
        process="",
        answer=None,
        revision=1,
        created_at=now,
        updated_at=now,
    )
    again = Again(choose_data(None, (), None), None, [], doors.ws, None)
    assert (await again.ask(run, {"problem": "Shall we?"})).text == "No."
    assert "think: against" in terminal.getvalue()
    assert terminal.getvalue().endswith("\r\x1b[2K"), "it is taken away"
