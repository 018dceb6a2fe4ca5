"""Mutants of the corpus' Python projects that their own tests kill: defects with known places, made by seed.

    scripts/bench mutants [--count N] [--seed S] [--keep FOLDER]

Each is one small change of one expression or statement. Those that the tests of the project do not notice are
dropped. With `--keep` each is written as a diff with a line of JSON that says where it is.
"""

import argparse
import ast
import difflib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.corpus_data import Corpus, load, write_tree

__all__ = ["Mutant", "candidates", "killed", "run_tests"]

LONGEST_S = 30.0

_COMPARED: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
}
_COMPUTED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
}


@dataclass(frozen=True)
class Mutant:
    """One changed expression or statement."""

    project: str
    path: str
    line: int
    kind: str
    before: str
    after: str
    """The source of the file with the change."""


def candidates(corpus: Corpus, seed: int) -> list[Mutant]:
    """Every mutant of every Python project, in an order by seed."""
    found = [
        mutant
        for project in corpus.projects
        if project.language == "python"
        for path, text in corpus.files(project.name).items()
        if path.endswith(".py") and not path.startswith("tests/")
        for mutant in _of_file(project.name, path, text)
    ]
    random.Random(seed).shuffle(found)
    return found


def _of_file(project: str, path: str, text: str) -> Iterator[Mutant]:
    """The mutants of a file: the source of one expression is replaced, all else stays as it is."""
    starts = [0]
    for line in text.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    for node in ast.walk(ast.parse(text)):
        if not text.isascii() or not isinstance(node, ast.expr | ast.stmt):
            continue
        changes = _of_expression(node) if isinstance(node, ast.expr) else _of_statement(node)
        for changed, kind, replacement in changes:
            first = starts[changed.lineno - 1] + changed.col_offset
            last = starts[(changed.end_lineno or 1) - 1] + (changed.end_col_offset or 0)
            yield Mutant(
                project,
                path,
                changed.lineno,
                kind,
                text[first:last],
                f"{text[:first]}{replacement}{text[last:]}",
            )


Change = tuple[ast.expr | ast.stmt, str, str]
"""What is replaced, the kind of the change, and what stands there instead."""


def _of_expression(node: ast.expr) -> Iterator[Change]:
    match node:
        case ast.Compare(left=left, ops=[operator], comparators=[right]):
            for other in _COMPARED.get(type(operator), ()):
                yield node, "comparison", f"({ast.unparse(ast.Compare(left, [other()], [right]))})"
        case ast.BinOp(left=left, op=computed, right=right) if type(computed) in _COMPUTED:
            yield node, "arithmetic", f"({ast.unparse(ast.BinOp(left, _COMPUTED[type(computed)](), right))})"
        case ast.BoolOp(op=joined, values=values):
            other_joined = ast.Or() if isinstance(joined, ast.And) else ast.And()
            yield node, "logic", f"({ast.unparse(ast.BoolOp(other_joined, values))})"
            for value in values:
                yield node, "logic", f"({ast.unparse(value)})"
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield node, "negation", f"({ast.unparse(operand)})"
        case ast.IfExp(test=test, body=body, orelse=other_body):
            yield node, "branches", f"({ast.unparse(ast.IfExp(test, other_body, body))})"
        case ast.Constant(value=bool(value)):
            yield node, "constant", str(not value)
        case ast.Constant(value=int(value)):
            yield node, "constant", str(value + 1)


def _of_statement(node: ast.stmt) -> Iterator[Change]:
    match node:
        case ast.If(test=test):
            yield test, "condition", "True"
            yield test, "condition", "False"
        case ast.Return(value=ast.expr()):
            yield node, "result", "return None"
        case ast.Raise() | ast.AugAssign() | ast.Expr(value=ast.Call()):
            yield node, "deletion", "pass"


def run_tests(folder: Path) -> bool:
    """Whether the tests of a Python project pass; one that does not end fails."""
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(folder)}
    command = [sys.executable, "-S", "-m", "unittest", "-q", "-f"]
    try:
        ended = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, timeout=LONGEST_S, check=False
        )
    except subprocess.TimeoutExpired:
        return False
    return ended.returncode == 0


def killed(corpus: Corpus, count: int, seed: int) -> tuple[list[Mutant], int]:
    """So many mutants that tests kill, or as many as there are, and how many were tried."""
    found: list[Mutant] = []
    tried = 0
    waiting = candidates(corpus, seed)
    workers = os.cpu_count() or 1
    with ThreadPoolExecutor(workers) as pool:
        while waiting and len(found) < count:
            batch, waiting = waiting[: 8 * workers], waiting[8 * workers :]
            verdicts = list(pool.map(lambda mutant: _is_killed(corpus, mutant), batch))
            tried += len(batch)
            found += [mutant for mutant, is_killed in zip(batch, verdicts, strict=True) if is_killed]
    return found[:count], tried


def _is_killed(corpus: Corpus, mutant: Mutant) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        write_tree({**corpus.files(mutant.project), mutant.path: mutant.after}, Path(folder))
        return not run_tests(Path(folder))


def _keep(corpus: Corpus, mutants: Sequence[Mutant], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for number, mutant in enumerate(mutants):
        before = corpus.files(mutant.project)[mutant.path].splitlines(keepends=True)
        after = mutant.after.splitlines(keepends=True)
        lines = difflib.unified_diff(before, after, f"a/{mutant.path}", f"b/{mutant.path}")
        head = f"diff --git a/{mutant.path} b/{mutant.path}\n"
        (folder / f"m{number:03d}.diff").write_text(head + "".join(lines), encoding="utf-8")
        row = {name: value for name, value in asdict(mutant).items() if name != "after"}
        rows.append(json.dumps({"id": f"m{number:03d}", **row}) + "\n")
    (folder / "mutants.jsonl").write_text("".join(rows), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    corpus, began = load(), time.monotonic()
    found, tried = killed(corpus, options.count, options.seed)
    for name, counts in (
        ("project", Counter(mutant.project for mutant in found)),
        ("kind", Counter(mutant.kind for mutant in found)),
    ):
        print(f"by {name}: " + ", ".join(f"{each} {number}" for each, number in sorted(counts.items())))
    print(f"{len(found)} of {tried} tried are killed, in {time.monotonic() - began:.0f} s")
    if options.keep is not None:
        _keep(corpus, found, options.keep)
    if len(found) < options.count:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
