"""The process that reads a workspace, by its frames."""

import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from evidence.test_trees import tree, write
from exai.evidence.process import answer, serve
from exai.evidence.reading import Reader
from exai.evidence.requests import (
    HEADER,
    Failure,
    Found,
    Lines,
    Listed,
    ListFiles,
    Named,
    Need,
    Opening,
    Outline,
    OutlineOf,
    ReadLines,
    Reply,
    Search,
    SymbolNamed,
    encode,
)
from exai.files.snapshots.manifests import ManifestEntry


def replies(*frames: bytes) -> list[Any]:
    out = io.BytesIO()
    serve(io.BytesIO(b"".join(frames)), out)
    found, data = [], out.getvalue()
    while data:
        (size,) = HEADER.unpack(data[:4])
        found.append(msgspec.msgpack.decode(data[4 : 4 + size], type=Reply | Failure | Need))
        data = data[4 + size :]
    return found


def test_each_question_has_its_answer(tmp_path: Path) -> None:
    write(tmp_path, **{"a.py": "def f(): pass\n"})
    folder = str(tmp_path.resolve())
    questions = {
        ListFiles(): Listed,
        ReadLines("a.py"): Lines,
        Search(text="def"): Found,
        OutlineOf("a.py"): Outline,
        SymbolNamed("f"): Named,
    }
    answers = replies(encode(Opening(folder=folder, roots=(folder,))), *map(encode, questions))
    assert [type(each) for each in answers] == [Reply] * 5
    for reply, kind in zip(answers, questions.values(), strict=True):
        msgspec.msgpack.decode(reply.value, type=kind)


def test_what_cannot_be_answered_says_why(tmp_path: Path) -> None:
    reader = Reader(tree(tmp_path))
    assert answer(reader, ReadLines("none")).kind == "file"  # type: ignore[union-attr]
    assert answer(reader, Search()).kind == "arguments"  # type: ignore[union-attr]


def test_memory_that_runs_out_costs_one_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise MemoryError

    reader = Reader(tree(tmp_path))
    monkeypatch.setattr(reader, "outline", refuse)
    failure = answer(reader, OutlineOf("a.py"))
    assert isinstance(failure, Failure)
    assert "memory" in failure.message


def test_contents_of_a_snapshot_are_asked_for() -> None:
    entries = (ManifestEntry("a.py", "644", 3, "0" * 64), ManifestEntry("b.py", "644", 3, "0" * 64))
    content = b"x = 1\n"
    need, lines, other, failure = replies(
        encode(Opening(entries=entries)),
        encode(ReadLines("a.py")),
        HEADER.pack(len(content)) + content,
        encode(ReadLines("b.py")),
        HEADER.pack(0),
    )
    assert (need, other) == (Need("a.py"), Need("b.py"))
    assert msgspec.msgpack.decode(lines.value, type=Lines).lines == ("x = 1",)
    assert isinstance(failure, Failure)


def test_it_ends_with_its_input() -> None:
    assert replies() == []
    assert replies(HEADER.pack(9) + b"cut") == []


def test_it_begins_without_what_takes_long_to_import() -> None:
    script = "import sys, exai.evidence.process; print({'asyncio', 'importlib.metadata', 'pydantic'} & {*sys.modules})"
    assert subprocess.check_output([sys.executable, "-c", script]) == b"set()\n"
