"""Nothing stands in the source that nobody uses: code, settings, metrics, events, errors, routes, exports of the page.

Code is judged by vulture, on all that runs but the tests: what a test alone calls is unused. The other kinds are judged
here, by where a name is read. What has to stand although nobody in the source names it is in `unused.toml`, with the
reason; a row there that excuses nothing is a fault as well. Names are compared and not what they are bound to, so what
shares its name with something that is used may be missed, and nothing that is used is found.
"""

import ast
import re
import sys
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path

from vulture.core import Vulture

__all__ = ["Finding", "Source", "excused", "findings", "main"]

ROOT = Path(__file__).parents[1]
EXCUSES = ROOT / "checks" / "unused.toml"
RUN = ("src", "benchmarks", "checks", "examples")
"""What is run by somebody who is no test."""

CONFIDENCE = 60
"""Vulture's least, of which names that occur once are."""

COMMANDS = ["@app.command", "@app.callback", "@group.command", "@pytest.fixture"]
"""What registers a function."""

ERRORS = "src/exai/errors.py"
EVENTS = "src/exai/events/events.py"
ROUTE = re.compile(r"/(?:[\w.{}-]+/)*[\w.{}-]*")
PLACEHOLDER = re.compile(r"\\\{\w+\\\}")
EXPORT = re.compile(r"^export (?:async )?(?:function|const|class) (\w+)", re.MULTILINE)


@dataclass(frozen=True, order=True)
class Finding:
    """Something that nobody uses."""

    kind: str
    """`code`, `setting`, `metric`, `event`, `error`, `route` or `export`."""
    place: str
    """Its file, from the root of the checkout."""
    name: str
    """Of a setting with its section, of a route its path."""

    def __str__(self) -> str:
        return f"{self.place}: the {self.kind} {self.name} is used nowhere"


class Source:
    """A checkout, read once.

    Args:
        root: its folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    @cached_property
    def nodes(self) -> Mapping[str, list[ast.AST]]:
        """The syntax of each module of `exai`, by file."""
        return {
            path.relative_to(self.root).as_posix(): list(
                ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            )
            for path in sorted((self.root / "src" / "exai").rglob("*.py"))
        }

    @cached_property
    def classes(self) -> Mapping[str, tuple[str, ast.ClassDef]]:
        """Classes by name, with their file."""
        return {
            node.name: (place, node)
            for place, nodes in self.nodes.items()
            for node in nodes
            if isinstance(node, ast.ClassDef)
        }

    @cached_property
    def page(self) -> Mapping[str, str]:
        """The dashboard's own modules, by file."""
        folder = self.root / "src" / "exai" / "dashboard" / "page"
        return {
            path.relative_to(self.root).as_posix(): path.read_text(encoding="utf-8")
            for path in sorted(folder.rglob("*.js"))
            if path.parent.name != "vendor"
        }

    def text(self, patterns: Iterable[str]) -> str:
        """Read all files that one of these patterns names, one after the other."""
        files = (path for pattern in patterns for path in sorted(self.root.glob(pattern)) if path.is_file())
        return "\n".join(path.read_text(encoding="utf-8") for path in files)

    def descend(self, name: str, base: str) -> bool:
        """Say whether a class has another one above it, itself aside."""
        bases = self._bases.get(name, set())
        return base in bases or any(self.descend(each, base) for each in bases if each != name)

    def has_heirs(self, name: str) -> bool:
        """Say whether a class is the base of another one."""
        return any(name in bases for bases in self._bases.values())

    @cached_property
    def _bases(self) -> Mapping[str, set[str]]:
        return {name: {_last(base) for base in node.bases} for name, (_, node) in self.classes.items()}


def findings(source: Source, lists: Mapping[str, list[str]]) -> Iterator[Finding]:
    """Find what nobody uses.

    Args:
        source: what is looked at.
        lists: from `unused.toml`: `tables`, modules that name every error without raising it, and `callers`, patterns
            of files in which a route is called.
    """
    yield from _code(source)
    yield from _settings(source)
    yield from _metrics(source)
    yield from _events(source)
    yield from _errors(source, lists["tables"])
    yield from _routes(source, lists["callers"])
    yield from _exports(source)


def excused(found: Iterable[Finding], excuses: Iterable[Mapping[str, str]]) -> Iterator[str]:
    """Say what is wrong: findings without an excuse, and excuses without a finding."""
    rows = list(excuses)
    used = [False] * len(rows)
    for finding in sorted(set(found)):
        fits = [number for number, row in enumerate(rows) if _excuses(row, finding)]
        for number in fits:
            used[number] = True
        if not fits:
            yield str(finding)
    for row, is_used in zip(rows, used, strict=True):
        if not is_used:
            yield f"checks/unused.toml excuses {row['kind']} {row['place']}: {row['name']}, which is used or gone"


def _excuses(row: Mapping[str, str], finding: Finding) -> bool:
    return (
        row["kind"] == finding.kind
        and fnmatchcase(finding.place, row["place"])
        and any(fnmatchcase(finding.name, name) for name in row["name"].split())
    )


def _code(source: Source) -> Iterator[Finding]:
    vulture = Vulture(ignore_decorators=COMMANDS)
    vulture.scavenge([str(source.root / folder) for folder in RUN if (source.root / folder).is_dir()])
    for item in vulture.get_unused_code(min_confidence=CONFIDENCE):
        place = Path(item.filename).relative_to(source.root).as_posix()
        if place.startswith("src/"):
            yield Finding("code", place, item.name)


def _settings(source: Source) -> Iterator[Finding]:
    read = {
        node.attr
        for nodes in source.nodes.values()
        for node in nodes
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)
    }
    for name, (place, node) in source.classes.items():
        if place.startswith("src/exai/config/") and source.descend(name, "Section"):
            for field in node.body:
                match field:
                    case ast.AnnAssign(target=ast.Name(id=target)) if target not in read:
                        yield Finding("setting", place, f"{name}.{target}")


def _metrics(source: Source) -> Iterator[Finding]:
    """Find metrics that are registered, and whose family nobody counts into."""
    for place, nodes in source.nodes.items():
        used = Counter(_loaded(nodes))
        for node in nodes:
            if isinstance(node, ast.Assign | ast.Expr) and (metric := _registered(node.value)):
                targets = [_last(target) for target in node.targets] if isinstance(node, ast.Assign) else []
                if not any(used[target] for target in targets):
                    yield Finding("metric", place, metric)


def _registered(value: ast.expr) -> str | None:
    """The name of the metric that an expression registers."""
    call = value.value if isinstance(value, ast.Subscript) else value
    match call:
        case ast.Call(
            func=ast.Attribute(attr="counter" | "gauge" | "histogram"),
            args=[ast.Constant(value=str(name)), *_],
        ):
            return name
    return None


def _last(target: ast.expr) -> str:
    """The last part of a dotted name; nothing of what is no name."""
    match target:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case ast.Subscript(value=value):
            return _last(value)
    return ""


def _loaded(nodes: list[ast.AST]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Attribute | ast.Name) and isinstance(node.ctx, ast.Load):
            yield node.attr if isinstance(node, ast.Attribute) else node.id


def _events(source: Source) -> Iterator[Finding]:
    events = {name for name, (place, _) in source.classes.items() if source.descend(name, "Event")}
    published: set[str] = set()
    taken: set[str] = set()
    for nodes in source.nodes.values():
        made = {id(node.func) for node in nodes if isinstance(node, ast.Call)}
        hints = {id(part) for hint in _hints(nodes) for part in ast.walk(hint)}
        for node in nodes:
            if isinstance(node, ast.Name | ast.Attribute) and id(node) not in hints:
                name = _last(node)
                (published if id(node) in made else taken).add(name)
    for name in events:
        place = source.classes[name][0]
        if name not in published and not source.has_heirs(name):
            yield Finding("event", place, f"{name} (nobody publishes it)")
        if name not in taken and not source.has_heirs(name):
            yield Finding("event", place, f"{name} (nobody takes it)")


def _errors(source: Source, tables: list[str]) -> Iterator[Finding]:
    """Find errors that only `except`, `isinstance`, hints and tables of all errors name."""
    raised: set[str] = set()
    for place, nodes in source.nodes.items():
        if place not in tables:
            raised.update(_made(nodes))
    for name, (place, node) in source.classes.items():
        has_code = any(
            isinstance(each, ast.Assign) and _last(each.targets[0]) == "code" for each in node.body
        )
        is_error = name == "ExaiError" or source.descend(name, "ExaiError")
        if is_error and has_code and name not in raised and not source.has_heirs(name):
            yield Finding("error", place, name)


def _made(nodes: list[ast.AST]) -> Iterator[str]:
    """Names of what a module makes, or hands on to be made."""
    aside = {id(part) for hint in _hints(nodes) for part in ast.walk(hint)}
    for node in nodes:
        match node:
            case ast.ExceptHandler(type=ast.expr() as kinds):
                aside |= {id(part) for part in ast.walk(kinds)}
            case ast.ClassDef(bases=bases):
                aside |= {id(part) for base in bases for part in ast.walk(base)}
            case ast.Call(func=ast.Name(id="isinstance" | "issubclass"), args=[_, kinds]):
                aside |= {id(part) for part in ast.walk(kinds)}
    for node in nodes:
        if isinstance(node, ast.Name | ast.Attribute) and id(node) not in aside:
            yield _last(node)


def _hints(nodes: list[ast.AST]) -> Iterator[ast.expr]:
    for node in nodes:
        match node:
            case ast.AnnAssign(annotation=hint) | ast.arg(annotation=ast.expr() as hint):
                yield hint
            case (
                ast.FunctionDef(returns=ast.expr() as hint) | ast.AsyncFunctionDef(returns=ast.expr() as hint)
            ):
                yield hint


def _routes(source: Source, callers: list[str]) -> Iterator[Finding]:
    asked = source.text(callers)
    for place, nodes in source.nodes.items():
        if "Route" not in set(_loaded(nodes)):
            continue
        parts = {id(part) for node in nodes if isinstance(node, ast.JoinedStr) for part in node.values}
        for node in nodes:
            if id(node) in parts or not isinstance(node, ast.Constant):
                continue
            if isinstance(node.value, str) and ROUTE.fullmatch(node.value):
                pattern = PLACEHOLDER.sub(r"[^/?\\s]+", re.escape(node.value))
                if not re.search(rf"{pattern}(?![\w/-])", asked):
                    yield Finding("route", place, node.value)


def _exports(source: Source) -> Iterator[Finding]:
    for place, text in source.page.items():
        others = "\n".join(other for file, other in source.page.items() if file != place)
        for name in EXPORT.findall(text):
            if not re.search(rf"\b{name}\b", others):
                yield Finding("export", place, name)


def main() -> int:
    """Print what is wrong; the exit code."""
    known = tomllib.loads(EXCUSES.read_text(encoding="utf-8"))
    faults = list(excused(findings(Source(ROOT), known["lists"]), known["excused"]))
    for fault in faults:
        sys.stderr.write(f"{fault}\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
