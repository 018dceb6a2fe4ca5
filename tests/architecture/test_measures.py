"""Bounds on the shape of the source, and the names that must not change; see `checks.measures`."""

from pathlib import Path

import pytest
from checks.measures import ROOT, Package, tables

from exai.storage.schema import metadata
from exai.transports.websocket import resilient

SOURCE = ROOT / "src"

MOST_ENTRIES = 30
MOST_MODULES = 16
MOST_LATE_IMPORTS = 10
MOST_SUPPRESSIONS_PER_1000 = 2
LONGEST_FUNCTION = 40
LISTS = {
    "exai/storage/migrations/versions/0001_foundation.py:upgrade",
    "exai/storage/migrations/versions/0007_identity.py:upgrade",
    "exai/transports/listener.py:Listener.serve",
    "exai/transports/server.py:build_server",
}
"""Functions that are long as a list is."""

KEPT_FILES = (
    "tests/test_integration_websocket_lifecycle.py",
    "tests/test_integration_multi_client.py",
    "tests/test_integration_failure_recovery.py",
    "tests/test_integration_memory_cleanup.py",
    "benchmarks/test_hash_performance.py",
    "benchmarks/test_cleanup_performance.py",
    "benchmarks/test_metrics_overhead.py",
    "benchmarks/test_circuit_breaker_overhead.py",
    "docs/current/WEBSOCKET_STABILITY_CONFIG_GUIDE.md",
)
"""Files that others know by their names."""


@pytest.fixture(scope="module")
def source() -> Package:
    return Package(SOURCE, "exai")


def test_the_top_folder_is_short_enough_to_read(source: Package) -> None:
    assert len(source.entries) <= MOST_ENTRIES, source.entries


def test_no_folder_holds_too_many_modules(source: Package) -> None:
    assert {name: n for name, n in source.modules_by_folder.items() if n > MOST_MODULES} == {}


def test_no_modules_import_each_other_in_a_circle(source: Package) -> None:
    assert source.circles == []


def test_imports_stand_at_the_top_of_files(source: Package) -> None:
    assert len(source.late_imports) <= MOST_LATE_IMPORTS, source.late_imports


@pytest.mark.parametrize("name", ["exai", "exai_emulator"])
def test_suppressions_are_rare(name: str) -> None:
    package = Package(SOURCE, name)
    assert package.suppressions_per_1000 <= MOST_SUPPRESSIONS_PER_1000, package.suppressions


def test_functions_are_short_unless_they_are_lists(source: Package) -> None:
    long = {function.name for function in source.functions if function.lines > LONGEST_FUNCTION}
    assert long - LISTS == set()


def test_names_that_others_know_stay() -> None:
    assert [name for name in KEPT_FILES if not (ROOT / name).is_file()] == []
    assert callable(resilient.ResilientWebSocketManager.shutdown)
    assert "provider_file_uploads" in metadata.tables


def _package(folder: Path, **modules: str) -> Package:
    for name, text in modules.items():
        path = folder.joinpath("made", *name.split("__")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return Package(folder, "made")


def test_a_circle_is_seen_through_late_imports(tmp_path: Path) -> None:
    package = _package(
        tmp_path,
        a="from made import b",
        b="def late():\n    import made.c",
        c="if TYPE_CHECKING:\n    from made.a import A",
        d="from made.a import A",
    )
    assert package.circles == [["made.a", "made.b", "made.c"]]


def test_late_imports_and_suppressions_are_counted(tmp_path: Path) -> None:
    package = _package(
        tmp_path,
        a='def late():\n    def inner():\n        import b\nnoqa = "# noqa"  # noqa: X  # type: ignore[y]',
    )
    assert package.late_imports == ["made/a.py:3"]
    assert package.suppressions == ["made/a.py:4", "made/a.py:4"]


def test_the_length_of_a_function_is_that_of_its_body(tmp_path: Path) -> None:
    package = _package(
        tmp_path,
        a='class A:\n    def f(\n        self\n    ):\n        """Doc."""\n        a = 1\n\n        b = 2',
    )
    assert [(function.name, function.lines) for function in package.functions] == [("made/a.py:A.f", 3)]


def test_the_table_has_a_column_for_each_checkout(tmp_path: Path) -> None:
    for name in ("exai", "exai_emulator"):
        module = tmp_path / "src" / name / "a.py"
        module.parent.mkdir(parents=True)
        module.write_text("def f():\n    pass\n\n\ndef g():\n    pass\n")
    lines = list(tables({"before": tmp_path, "now": tmp_path}))
    assert lines[0] == "| `exai` | before | now |"
    assert all(line.count("|") in {0, 4} for line in lines)
