"""Rules of the source that neither the linter nor the import contracts can say."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src"
MODULES = sorted(SOURCE.rglob("*.py"))
LONGEST_FILE = 500
VAGUE_NAMES = {"common", "helper", "helpers", "manager", "managers", "misc", "util", "utils"}
AT_THE_ROOT = {
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "LICENSE",
    "README.md",
    "SECURITY.md",
    "pyproject.toml",
    "requirements-dev.lock",
    "requirements-release.lock",
    "requirements.lock",
}
ENVIRONMENT_NAMES = {"environ", "environb", "getenv", "getenvb", "putenv", "unsetenv"}


def _name(module: Path) -> str:
    return module.relative_to(SOURCE).as_posix()


every_module = pytest.mark.parametrize("module", MODULES, ids=_name)


def _environment_reads(tree: ast.AST) -> Iterator[int]:
    """Lines that name the process' environment, under whichever name `os` was imported."""
    modules = {"os", "posix"}
    aliases = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
        if alias.name in modules
    }
    for node in ast.walk(tree):
        match node:
            case ast.ImportFrom(module=module, names=names) if module in modules:
                if ENVIRONMENT_NAMES & {alias.name for alias in names}:
                    yield node.lineno
            case ast.Attribute(value=ast.Name(id=name), attr=attribute) if name in aliases:
                if attribute in ENVIRONMENT_NAMES:
                    yield node.lineno


def _may_read_environment(module: Path) -> bool:
    inside = module.relative_to(SOURCE)
    return inside.parts[:2] in {("exai", "cli"), ("exai", "config")} or inside == Path("exai_emulator/cli.py")


@every_module
def test_the_environment_is_read_by_configuration_and_command_line_alone(module: Path) -> None:
    if not _may_read_environment(module):
        assert list(_environment_reads(ast.parse(module.read_text(encoding="utf-8")))) == []


@pytest.mark.parametrize(
    "text",
    [
        "import os\nos.environ['A']",
        "import os as system\nsystem.getenv('A')",
        "from os import environ",
        "def late():\n    import os\n    return os.environb",
    ],
)
def test_every_way_to_the_environment_is_seen(text: str) -> None:
    assert list(_environment_reads(ast.parse(text)))


def test_no_file_outgrows_its_room() -> None:
    lengths = {_name(module): len(module.read_text(encoding="utf-8").splitlines()) for module in MODULES}
    assert {name: lines for name, lines in lengths.items() if lines > LONGEST_FILE} == {}


def test_every_module_says_what_it_is_for() -> None:
    assert [
        _name(m) for m in MODULES if not ast.get_docstring(ast.parse(m.read_text(encoding="utf-8")))
    ] == []


def _public_definitions(tree: ast.Module) -> set[str]:
    kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in tree.body if isinstance(node, kinds) and not node.name.startswith("_")}


def _exports(tree: ast.Module) -> set[str] | None:
    for node in tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id="__all__")], value=value):
                return set(ast.literal_eval(value))
    return None


def _bound(tree: ast.Module) -> set[str]:
    """Names that the module's top level binds."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            names.add(node.name)
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        names |= {
            part.id for target in targets if target for part in ast.walk(target) if isinstance(part, ast.Name)
        }
    return names


@every_module
def test_a_module_with_public_names_lists_them_in_all(module: Path) -> None:
    if module.name == "__main__.py" or "migrations" in module.parts:
        return  # nobody imports these
    tree = ast.parse(module.read_text(encoding="utf-8"))
    exports = _exports(tree)
    assert exports is not None or not _public_definitions(tree), "__all__ is missing"
    assert (exports or set()) <= _bound(tree), "__all__ names what is not there"


def test_no_stray_text_stands_at_the_root() -> None:
    texts = {"", ".lock", ".md", ".toml", ".txt"}
    seen = {path.name for path in ROOT.iterdir() if path.is_file() and path.suffix in texts}
    assert {name for name in seen if not name.startswith(".")} == AT_THE_ROOT


def test_no_module_is_named_by_a_word_that_says_nothing() -> None:
    def words(path: Path) -> set[str]:
        return {word for part in path.parts for word in part.removesuffix(".py").split("_")}

    tests = [path for path in (ROOT / "tests").rglob("*.py") if "node_modules" not in path.parts]
    named = [path.relative_to(ROOT) for path in [*MODULES, *tests]]
    assert [str(path) for path in named if words(path) & VAGUE_NAMES] == []


def test_nothing_is_left_to_be_done_later() -> None:
    marker = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK)\b")
    folders = ("src", "tests", "benchmarks", "scripts", "docs", ".ci")
    texts = [path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file()]
    own = {".ci", ".md", ".mjs", ".py", ".toml", ""}
    marked = [
        str(path.relative_to(ROOT))
        for path in [*texts, *ROOT.glob("*.md"), ROOT / "pyproject.toml"]
        if path.suffix in own
        and "node_modules" not in path.parts
        and marker.search(path.read_text(encoding="utf-8"))
    ]
    assert marked == []


def _calls_of(tree: ast.AST, owner: str, method: str) -> list[int]:
    return [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and node.attr == method
        and isinstance(node.value, ast.Name)
        and node.value.id == owner
    ]


def test_the_authenticator_alone_makes_somebody_the_local_user() -> None:
    makers = {
        _name(module)
        for module in MODULES
        if _calls_of(ast.parse(module.read_text(encoding="utf-8")), "Caller", "local")
    }
    assert makers == {"exai/auth/authenticator.py"}


def test_no_door_looks_at_an_address_that_was_put_together() -> None:
    """Starlette builds it from the Host header, which is the caller's; the path is in the scope."""
    ours = [module for module in MODULES if module.relative_to(SOURCE).parts[0] == "exai"]
    trees = {_name(module): ast.parse(module.read_text(encoding="utf-8")) for module in ours}
    built = ("url", "base_url", "url_for")
    assert [n for n, tree in trees.items() if any(_calls_of(tree, "request", each) for each in built)] == []
