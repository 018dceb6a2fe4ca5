"""Comments are blanked, lines keep their numbers, and nothing else changes."""

from pathlib import Path

import pytest

from exai.evidence.code.comments import blanked
from exai.evidence.code.syntax import Syntax
from exai.evidence.pieces import CHANGE, Piece
from exai.evidence.trees import FolderTree

PYTHON = 'def f(x):\n    """Safe, tested."""\n    y = "# no comment"  # validated\n    return y\n'


def piece(path: str, text: str, first: int = 1, source: str = "named_paths") -> Piece:
    lines = text.count("\n")
    return Piece(source, path, first, first + lines - 1, "0" * 64, text, "named")


def without(folder: Path, *pieces: Piece) -> tuple[str, ...]:
    return blanked(FolderTree(str(folder), [str(folder)]), Syntax(), pieces).texts


@pytest.mark.parametrize(
    ("path", "text", "bare"),
    [
        ("a.py", PYTHON, 'def f(x):\n\n    y = "# no comment"\n    return y\n'),
        ("a.ts", "const a = 1 // safe\n/* two\nlines */ f(a)\n", "const a = 1\n\n         f(a)\n"),
        ("a.go", "package a\n// checked\nfunc f() {}\n", "package a\n\nfunc f() {}\n"),
        ("a.txt", "# kept\n", "# kept\n"),
    ],
)
def test_comments_of_a_file_go_and_its_lines_stay(tmp_path: Path, path: str, text: str, bare: str) -> None:
    (tmp_path / path).write_text(text)
    (found,) = without(tmp_path, piece(path, text))
    assert [line.rstrip() for line in found.split("\n")] == bare.split("\n")


def test_a_part_that_begins_within_a_docstring_is_known_from_the_whole_file(tmp_path: Path) -> None:
    text = 'def f():\n    """One.\n\n    It is safe.\n    """\n    return 1\n'
    (tmp_path / "a.py").write_text(text)
    (found,) = without(tmp_path, piece("a.py", '    It is safe.\n    """\n    return 1\n', 4))
    assert [line.strip() for line in found.splitlines()] == ["", "", "return 1"]


def test_a_hunk_keeps_its_signs_and_loses_comments_on_both_sides(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("a = 1\nb = 2  # audited\n")
    hunk = " a = 1\n-b = 1  # old\n+b = 2  # audited\n"
    (found,) = without(tmp_path, piece("a.py", hunk, source=CHANGE))
    assert [line.rstrip() for line in found.splitlines()] == [" a = 1", "-b = 1", "+b = 2"]


def test_what_is_of_a_file_that_is_gone_is_read_by_itself(tmp_path: Path) -> None:
    (found,) = without(tmp_path, piece("gone.py", "x = 1  # safe\n"))
    assert found.rstrip() == "x = 1"
