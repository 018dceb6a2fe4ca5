"""Why the process of a workspace ended, as a caller is told it."""

from io import BytesIO
from pathlib import Path

import pytest

from evidence.test_trees import write
from exai.errors import FileRefused
from exai.evidence.endings import fault_of
from exai.evidence.faults import WorkspaceFailed
from exai.evidence.requests import Opening
from exai.evidence.workspace import Workspace

TRACEBACK = b'Traceback (most recent call last):\n  File "/x/a.py", line 7, in f\n    secret = 1\n'


@pytest.mark.parametrize(
    ("code", "stderr", "said"),
    [
        (1, TRACEBACK + b"ValueError: the secret is 1\n", "failed (ValueError)"),
        (
            1,
            TRACEBACK + b"ModuleNotFoundError: No module named 'tree_sitter'\n",
            "no module named tree_sitter",
        ),
        (1, b"/usr/bin/python: No module named exai.evidence\n", "no module named exai.evidence"),
        (1, TRACEBACK + b"MemoryError\n", "too much time or memory"),
        (-9, TRACEBACK + b"ValueError\n", "too much time or memory"),
        (0, b"", "too much time or memory"),
    ],
)
def test_what_it_wrote_tells_a_defect_from_too_much(code: int, stderr: bytes, said: str) -> None:
    fault = fault_of(code, BytesIO(stderr))
    assert said in str(fault)
    assert "secret" not in str(fault)
    assert isinstance(fault, FileRefused if "too much" in said else WorkspaceFailed)


async def test_a_process_that_cannot_start_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, **{"a.py": "x = 1\n"})
    real = str(tmp_path)
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\necho \"ImportError: No module named 'lacking'\" >&2\nexit 1\n")
    for mode, said in ((0o755, "no module named lacking"), (0o644, "permission denied")):
        program.chmod(mode)
        monkeypatch.setattr("sys.executable", str(program))
        with pytest.raises(WorkspaceFailed, match=said):
            await Workspace(Opening(folder=real, roots=(real,))).list_files()
