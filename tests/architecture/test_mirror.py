"""The tests stand where a reader of the source looks for them."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
EXAI = ROOT / "src" / "exai"
TESTS = ROOT / "tests"

LEAST_STATEMENTS = 10
"""Of its functions, from which on a module at the top of the package needs tests of its own."""

TESTED_ELSEWHERE = {
    "errors": "providers/test_provider_failures.py",
}
"""Where the tests of a room are that has no folder or file of its own name."""

KINDS = {"architecture", "conformance", "deploy", "emulator", "foreign", "node", "support", "system"}
"""Folders of tests that belong to no single room."""


def _statements(room: Path) -> int:
    modules = room.rglob("*.py") if room.is_dir() else [room]
    functions = (
        node
        for module in modules
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    return sum(isinstance(part, ast.stmt) for function in functions for part in ast.walk(function))


def _rooms() -> dict[str, Path]:
    """Packages, and modules of substance, directly below `exai`."""
    packages = {path.parent.name: path.parent for path in EXAI.glob("*/__init__.py")}
    modules = {path.stem: path for path in EXAI.glob("[a-z]*.py") if _statements(path) >= LEAST_STATEMENTS}
    return packages | modules


def _is_left_over(folder: Path) -> bool:
    """Whether it has nothing but modules that were compiled before they went elsewhere."""
    return {path.name for path in folder.iterdir()} == {"__pycache__"}


def _has_tests_of_its_name(room: str) -> bool:
    return any((TESTS / room).glob("test_*.py")) or (TESTS / f"test_{room}.py").is_file()


def test_every_room_has_its_tests() -> None:
    assert {room for room in _rooms() if not _has_tests_of_its_name(room)} - TESTED_ELSEWHERE.keys() == set()


def test_what_is_tested_elsewhere_is_tested_there() -> None:
    assert {place for place in TESTED_ELSEWHERE.values() if not (TESTS / place).is_file()} == set()
    assert {
        room for room in TESTED_ELSEWHERE if room not in _rooms() or _has_tests_of_its_name(room)
    } == set()


def test_every_folder_of_tests_is_a_room_or_a_kind_of_test() -> None:
    folders = {
        path.name
        for path in TESTS.iterdir()
        if path.is_dir() and not path.name.startswith(("_", ".")) and not _is_left_over(path)
    }
    assert folders - KINDS - _rooms().keys() == set()


def test_test_files_have_names_of_their_own() -> None:
    names = [path.name for path in TESTS.rglob("test_*.py") if "node_modules" not in path.parts]
    assert sorted(set(names)) == sorted(names)
