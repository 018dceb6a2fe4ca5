"""Measures of the source: the width of folders, the length of files and functions, late imports, suppressions, circles.

`python -m checks.measures` prints them as a table, with the bounds that `tests/architecture/test_measures.py` holds;
each folder named after it (another checkout) becomes one more column, on the left.
"""

import ast
import io
import re
import statistics
import sys
import tokenize
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

__all__ = ["Function", "Package", "main", "tables"]

ROOT = Path(__file__).parents[1]
SUPPRESSION = re.compile(r"#\s*(?:noqa\b|type:\s*ignore)")
LONG_FILE = 500
LONG_FUNCTION = 40


@dataclass(frozen=True)
class Function:
    """A function or method, with the number of lines of its body; its signature and docstring are not counted."""

    name: str
    lines: int


class Package:
    """The measures of one package, read from its text.

    Args:
        source: the folder that holds the package.
        name: the package's.
    """

    def __init__(self, source: Path, name: str) -> None:
        self.folder = source / name
        self._texts = {path: path.read_text(encoding="utf-8") for path in sorted(self.folder.rglob("*.py"))}
        self._trees = {path: ast.parse(text) for path, text in self._texts.items()}
        self._modules = {self._dotted(path): path for path in self._texts}

    @cached_property
    def entries(self) -> list[str]:
        """What a listing of the package's folder shows, compiled modules aside, also those of a folder that went."""
        files = (path for path in self.folder.rglob("*") if path.is_file() and path.suffix != ".pyc")
        return sorted({path.relative_to(self.folder).parts[0] for path in files})

    @cached_property
    def modules_by_folder(self) -> Mapping[str, int]:
        """How many modules stand in each folder, migrations aside."""
        folders: dict[str, int] = {}
        for path in self._texts:
            if "migrations" not in path.parts and path.name != "__init__.py":
                folder = self._place(path.parent)
                folders[folder] = folders.get(folder, 0) + 1
        return folders

    @cached_property
    def lines_by_file(self) -> Mapping[str, int]:
        """The length of each file."""
        return {self._place(path): len(text.splitlines()) for path, text in self._texts.items()}

    @cached_property
    def lines(self) -> int:
        """The length of all files together."""
        return sum(self.lines_by_file.values())

    @cached_property
    def functions(self) -> list[Function]:
        """Every function and method."""
        return [
            Function(f"{self._place(path)}:{name}", _length(node))
            for path, tree in self._trees.items()
            for name, node in _functions(tree)
        ]

    @cached_property
    def late_imports(self) -> list[str]:
        """Imports inside functions: file and line."""
        found = {
            f"{self._place(path)}:{node.lineno}"
            for path, tree in self._trees.items()
            for _, function in _functions(tree)
            for node in ast.walk(function)
            if isinstance(node, ast.Import | ast.ImportFrom)
        }
        return sorted(found)

    @cached_property
    def suppressions(self) -> list[str]:
        """Comments that silence the linter or the type checker: file and line."""
        return [
            f"{self._place(path)}:{token.start[0]}"
            for path, text in self._texts.items()
            for token in tokenize.generate_tokens(io.StringIO(text).readline)
            if token.type == tokenize.COMMENT
            for _ in SUPPRESSION.findall(token.string)
        ]

    @property
    def suppressions_per_1000(self) -> float:
        """The same for every 1,000 lines."""
        return 1_000 * len(self.suppressions) / self.lines

    @cached_property
    def circles(self) -> list[list[str]]:
        """Modules that import each other in a circle, whether at the top, in a function or for types alone."""
        imports = {module: self._imports(module) for module in self._modules}
        return sorted(sorted(circle) for circle in _circles(imports))

    def _imports(self, module: str) -> set[str]:
        """The modules of the package that a module imports."""
        tree = self._trees[self._modules[module]]
        names: set[str] = set()
        for node in ast.walk(tree):
            match node:
                case ast.Import():
                    names |= {alias.name for alias in node.names}
                case ast.ImportFrom(module=str(origin), level=0):
                    below = {f"{origin}.{alias.name}" for alias in node.names}
                    modules = below & self._modules.keys()
                    names |= modules if modules == below else {*modules, origin}
        return (names & self._modules.keys()) - {module}

    def _place(self, path: Path) -> str:
        return path.relative_to(self.folder.parent).as_posix()

    def _dotted(self, path: Path) -> str:
        parts = path.relative_to(self.folder.parent).with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _functions(
    tree: ast.AST, prefix: str = ""
) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Functions with their qualified names."""
    for node in ast.iter_child_nodes(tree):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                yield f"{prefix}{node.name}", node
                yield from _functions(node, f"{prefix}{node.name}.")
            case ast.ClassDef():
                yield from _functions(node, f"{prefix}{node.name}.")
            case _:
                yield from _functions(node, prefix)


def _length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    body = function.body[1:] if ast.get_docstring(function, clean=False) is not None else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def _circles(imports: Mapping[str, set[str]]) -> list[set[str]]:
    """The groups of more than one module in which each reaches every other."""
    reached: dict[str, set[str]] = {}
    for start in imports:
        seen: set[str] = set()
        ahead = [start]
        while ahead:
            new = imports[ahead.pop()] - seen
            seen |= new
            ahead.extend(new)
        reached[start] = seen
    circles = [{other for other in seen if start in reached[other]} for start, seen in reached.items()]
    return [circle for number, circle in enumerate(circles) if circle and circle not in circles[:number]]


def _row(package: Package) -> dict[str, str]:
    lengths = [function.lines for function in package.functions]
    folder, widest = max(package.modules_by_folder.items(), key=lambda each: each[1])
    file, longest = max(package.lines_by_file.items(), key=lambda each: each[1])
    function = max(package.functions, key=lambda each: each.lines)
    long_files = sum(lines > LONG_FILE for lines in package.lines_by_file.values())
    return {
        "files / lines": f"{len(package.lines_by_file)} / {package.lines:,}",
        "entries of the top folder (at most 30)": str(len(package.entries)),
        "modules of the widest folder (at most 16)": f"{widest} (`{folder}`)",
        "longest file": f"{longest} (`{file}`)",
        f"files over {LONG_FILE} lines (none)": str(long_files),
        "body of a function: median / 9 of 10 / longest": (
            f"{statistics.median(lengths):.0f} / {statistics.quantiles(lengths, n=10)[-1]:.0f} / "
            f"{function.lines} (`{function.name.rpartition('/')[2]}`)"
        ),
        f"functions over {LONG_FUNCTION} lines (lists alone)": str(sum(n > LONG_FUNCTION for n in lengths)),
        "imports inside functions (at most 10)": str(len(package.late_imports)),
        "suppressions per 1,000 lines (at most 2)": (
            f"{package.suppressions_per_1000:.1f} ({len(package.suppressions)})"
        ),
        "import circles (none)": ", ".join(f"{len(circle)} modules" for circle in package.circles) or "none",
    }


def tables(checkouts: Mapping[str, Path]) -> Iterator[str]:
    """Lines of Markdown: a table for each package, with a column for each checkout."""
    for name in ("exai", "exai_emulator"):
        columns = [_row(Package(root / "src", name)) for root in checkouts.values()]
        yield f"| `{name}` | {' | '.join(checkouts)} |"
        yield f"|---|{'---|' * len(columns)}"
        for measure in columns[0]:
            yield f"| {measure} | {' | '.join(column[measure] for column in columns)} |"
        yield ""


def main(folders: list[str]) -> int:
    """Print the tables; the exit code."""
    checkouts = {Path(folder).name: Path(folder) for folder in folders} | {"now": ROOT}
    sys.stdout.write("\n".join(tables(checkouts)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
