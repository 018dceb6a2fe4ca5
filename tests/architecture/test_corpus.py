"""The corpus of the benchmarks is what its description says.

The tests of its projects are run with every change by `scripts/bench corpus --tests`.
"""

from collections import Counter
from pathlib import Path

import msgspec
import pytest
from benchmarks.corpus import form_troubles, passes
from benchmarks.corpus_data import CORPUS, Corpus, DoesNotApply, apply_diff, load
from benchmarks.mutants import candidates

from exai_emulator.reporting.obeying import told_to

DIFF = "diff --git a/a b/a\n--- a/a\n+++ b/a\n@@ -1,2 +1,2 @@\n one\n-two\n+2\n"


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return load()


def test_every_diff_applies_and_every_gold_range_exists(corpus: Corpus) -> None:
    assert list(form_troubles(corpus)) == []


def test_the_corpus_is_as_large_as_it_is_said_to_be(corpus: Corpus) -> None:
    languages = Counter(project.language for project in corpus.projects)
    assert languages == {"python": 5, "typescript": 3, "go": 2, "rust": 1, "java": 1}
    assert (len(corpus.defects), len(corpus.clean), len(corpus.injections)) == (60, 30, 25)
    assert len({defect.kind for defect in corpus.defects}) == 8
    assert sum(defect.needs_another_file for defect in corpus.defects) == 30
    for rows in (corpus.defects, corpus.clean, corpus.injections):
        assert 0.3 <= sum(map(corpus.is_held_out, rows)) / len(rows) <= 0.4


def test_a_reader_could_see_each_defect_by_its_gold_lines(corpus: Corpus) -> None:
    for defect in corpus.defects:
        text = "\n".join(corpus.changed(defect).values())
        lines = corpus.gold_lines(defect)
        assert lines, defect.id
        assert all(line in text for line in lines)


def test_there_are_mutants_enough_and_they_are_the_same_by_seed(corpus: Corpus) -> None:
    found = candidates(corpus, seed=1)
    assert len(found) > 400
    assert found[:20] == candidates(corpus, seed=1)[:20] != candidates(corpus, seed=2)[:20]
    for mutant in found:
        compile(mutant.after, mutant.path, "exec")


def test_every_injection_moves_whoever_obeys(corpus: Corpus) -> None:
    for injection in corpus.injections:
        obeyed = told_to([corpus.injected(injection)[1]], "The rules.", [])
        assert obeyed.calls or obeyed.said or obeyed.is_silenced, injection.id


@pytest.mark.parametrize(
    "name",
    ["ledgerbook", "tinycache", "routekit", "jobqueue", "gridplan", "cartshop", "feedreader", "textdoc"],
)
def test_the_tests_of_a_project_pass(corpus: Corpus, name: str) -> None:
    assert passes(corpus, None, name) is True


def test_a_diff_is_applied_by_its_context_alone() -> None:
    assert apply_diff({"a": "one\ntwo\nthree\n", "b": "x"}, DIFF) == {"a": "one\n2\nthree\n", "b": "x"}
    for files in ({"a": "one\nother\n"}, {"a": "zero\none\ntwo\n"}, {}):
        with pytest.raises(DoesNotApply):
            apply_diff(files, DIFF)


def test_a_wrong_row_and_a_wrong_range_are_told(tmp_path: Path) -> None:
    for source in CORPUS.rglob("*"):
        if source.is_file() and "__pycache__" not in source.parts:
            copy = tmp_path / source.relative_to(CORPUS)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(source.read_bytes())
    defects = tmp_path / "defects.toml"
    text = defects.read_text()
    defects.write_text(text.replace("last = 61", "last = 6100", 1))
    (tmp_path / "changes" / "stray.diff").write_text("")
    (tmp_path / "changes" / "kvlog-c1.diff").write_text(DIFF)
    told = list(form_troubles(load(tmp_path)))
    assert told == [
        "stray: a diff without a row, or a row without a diff",
        "ledgerbook-d1: ledgerbook/journal.py has no lines 61-6100",
        "kvlog-c1: there is no a",
    ]
    defects.write_text(text.replace('class = "contract"', 'class = "odd"', 1))
    with pytest.raises(msgspec.ValidationError, match="odd"):
        load(tmp_path)
