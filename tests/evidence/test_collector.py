"""What is gathered around a change and around a failure."""

from pathlib import Path

import pytest

from evidence.test_trees import TOKEN, tree, write
from exai.errors import BadArguments
from exai.evidence.code import syntax
from exai.evidence.collection import names
from exai.evidence.collection.around_failure import places_in
from exai.evidence.collection.collector import gather
from exai.evidence.collection.names import is_test
from exai.evidence.collection.words import stems_of
from exai.evidence.packing import Packer
from exai.evidence.pieces import CHANGE, SOURCES, Bounds, Wanted
from exai.evidence.reading import Reader
from exai.evidence.requests import Gathered
from exai.evidence.trees import SnapshotTree
from support.repositories import GitRepository

FILLER = "".join(f"\n\ndef filler_{n}(x):\n    return x + {n}\n" for n in range(60))
POOL = f'''\
"""A pool."""
from shop.limits import check_limit

SIZE = 4


class Pool:
    """Keeps connections."""

    size = SIZE

    def take(self, wanted):
        check_limit(wanted)
        return self._open(wanted)

    def _open(self, wanted):
        return wanted
{FILLER}'''
FILES: dict[str, str | bytes | None] = {
    "shop/pool.py": POOL,
    "shop/limits.py": f"MOST = 9\n\n\ndef check_limit(n):\n    if n > MOST:\n        raise ValueError(n)\n{FILLER}",
    "shop/orders.py": f"from shop.pool import Pool\n\n\ndef order(n):\n    return Pool().take(n)\n{FILLER}",
    "other/limits.py": f"def check_limit(n):\n    return n\n{FILLER}",
    "tests/test_pool.py": "from shop.pool import Pool\n\n\ndef test_take():\n    assert Pool().take(1) == 1\n",
    "shop/pool.toml": "size = 4\n",
    "pyproject.toml": "[project]\nname = 'shop'\n",
    "AGENTS.md": "Be brief.\n",
    "README.md": "take\n",
}
REVIEW = (CHANGE, "changed_parts", "called_definitions", "callers", "tests", "configuration")
DEBUG = ("rules", "frames_of_log", "named_paths", "symbols_in_problem", "recent_changes")


@pytest.fixture
def made(tmp_path: Path) -> GitRepository:
    made = GitRepository(tmp_path / "repo")
    made.commit(FILES, "begin")
    return made


def changed(made: GitRepository) -> Gathered:
    made.write({"shop/pool.py": POOL.replace("check_limit(wanted)", "check_limit(wanted + 1)")})
    return gather(Reader(made.tree()), REVIEW, Wanted(change="all"), Bounds())


def places(found: Gathered, source: str) -> list[tuple[str, int, int]]:
    return [(each.path, each.first, each.last) for each in found.pieces if each.source == source]


def test_a_change_leads_to_what_it_calls_and_who_calls_it(made: GitRepository) -> None:
    found = changed(made)
    assert found.title == "all that is not committed"
    assert places(found, CHANGE) == [("shop/pool.py", 10, 16)]
    assert places(found, "changed_parts") == [
        ("shop/pool.py", 12, 14),
        ("shop/pool.py", 7, 11),
        ("shop/pool.py", 1, 6),
    ]
    assert places(found, "called_definitions")[:2] == [("shop/limits.py", 4, 6), ("shop/pool.py", 16, 17)]
    assert places(found, "callers") == [("shop/orders.py", 4, 5)]
    assert places(found, "tests")[0][0] == "tests/test_pool.py"
    assert {path for path, _, _ in places(found, "configuration")} == {"shop/pool.toml", "pyproject.toml"}
    assert ("other/limits.py", 1, 2) in places(found, "called_definitions")
    assert "the parts of a file that changes" in {
        piece.why for piece in found.pieces if piece.source == "outline"
    }
    assert [
        piece for piece in found.pieces if not (piece.why and piece.tokens and len(piece.sha256) == 64)
    ] == []


def test_files_that_are_named_lead_to_their_callers_tests_and_how_tests_are_written(
    made: GitRepository,
) -> None:
    made.write({"tests/conftest.py": "import shop\n", "tests/other/test_far.py": "def test_far(): pass\n"})
    sources = ("named_paths", "tests", "callers", "called_definitions", "configuration", "test_style")
    found = gather(Reader(made.tree()), sources, Wanted(paths=("shop/pool.py",)), Bounds())
    assert places(found, "tests")[0][0] == "tests/test_pool.py"
    assert places(found, "callers") == [("shop/orders.py", 4, 5)]
    assert ("shop/limits.py", 4, 6) in places(found, "called_definitions")
    assert {path for path, _, _ in places(found, "configuration")} == {"shop/pool.toml", "pyproject.toml"}
    assert [path for path, _, _ in places(found, "test_style")] == [
        "tests/other/test_far.py",
        "tests/conftest.py",
    ], "what is shown already as a test comes once"
    assert {each.why for each in found.pieces if each.source == "callers"} == {
        "it calls `Pool` of shop/pool.py, which is named"
    }


def test_the_same_question_gathers_the_same_pieces(made: GitRepository) -> None:
    assert changed(made) == changed(made)


def test_what_is_gathered_packs_into_a_room_with_the_change_last(made: GitRepository) -> None:
    packed = Packer().pack(changed(made).pieces, 1_000)
    assert packed.tokens <= 1_000
    assert packed.shown[-1].source == CHANGE
    assert {"shop/limits.py", "shop/orders.py", "shop/pool.py"} <= {piece.path for piece in packed.shown}


def test_a_range_shows_files_as_they_are_in_it(made: GitRepository) -> None:
    made.commit({"shop/limits.py": "def check_limit(n):\n    return 1\n"}, "second")
    made.write({"shop/limits.py": "gone\n"})
    found = gather(Reader(made.tree()), REVIEW, Wanted(change="HEAD~1..HEAD"), Bounds())
    (part,) = [piece for piece in found.pieces if piece.source == "changed_parts"]
    assert (part.text, part.rev) == ("def check_limit(n):\n    return 1\n", made.repo.head().decode())


def test_a_patch_stands_for_the_change_of_a_snapshot() -> None:
    contents = {path: str(text).encode() for path, text in FILES.items()}
    snapshot = SnapshotTree([], contents.get)
    snapshot.files = {path: len(data) for path, data in contents.items()}
    patch = (
        "--- a/shop/limits.py\n+++ b/shop/limits.py\n@@ -4,2 +4,2 @@\n"
        " def check_limit(n):\n-    if n >= MOST:\n+    if n > MOST:\n"
    )
    found = gather(Reader(snapshot), REVIEW, Wanted(patch=patch), Bounds())
    assert places(found, CHANGE) == [("shop/limits.py", 4, 5)]
    assert places(found, "callers") == [("shop/pool.py", 12, 14)]
    with pytest.raises(BadArguments, match="unified diff"):
        gather(Reader(snapshot), REVIEW, Wanted(change="all"), Bounds())


def test_what_goes_and_long_hunks_are_shown_in_pieces(made: GitRepository) -> None:
    made.write({"shop/pool.py": None, "long.py": "".join(f"x{n} = {n}\n" for n in range(450))})
    found = gather(Reader(made.tree()), REVIEW, Wanted(change="all"), Bounds(lines=100))
    assert [place for place in places(found, CHANGE) if place[0] == "long.py"] == [
        ("long.py", 1, 200),
        ("long.py", 201, 400),
        ("long.py", 401, 450),
    ]
    assert [place[0] for place in places(found, "changed_parts") if place[0] == "shop/pool.py"] == []
    parts = [place for place in places(found, "changed_parts") if place[0] == "long.py"]
    assert all(last - first < 100 for _, first, last in parts)


def test_gathering_has_bounds(made: GitRepository, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = Reader(made.tree())
    made.write({"shop/pool.py": POOL.replace("wanted", "asked")})
    found = gather(reader, REVIEW, Wanted(change="all"), Bounds(pieces=2))
    assert len(found.pieces) == 2
    assert any("there is more of" in note for note in found.notes)
    monkeypatch.setattr(names, "SCAN_S", -1)
    assert any("took too long" in note for note in changed(made).notes)
    monkeypatch.setattr(names, "SCAN_S", 60)
    monkeypatch.setattr(names, "MOST_DEFINITIONS", 1)
    assert ("shop/limits.py", 4, 6) in places(changed(made), "called_definitions")
    made.write({"other/names.py": "def check_limit(n):\n    return n\n"})
    assert "other/names.py" not in {path for path, _, _ in places(changed(made), "called_definitions")}
    with pytest.raises(BadArguments, match="no source of evidence 'other'"):
        gather(reader, ("other",), Wanted(), Bounds())


def test_a_missing_grammar_is_reported(made: GitRepository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(syntax, "is_missing", lambda _: True)
    assert any("no grammar for Python" in note for note in changed(made).notes)


def test_no_change_asked_for_gathers_none(made: GitRepository) -> None:
    found = gather(Reader(made.tree()), (CHANGE, "callers"), Wanted(), Bounds())
    assert (found.pieces, found.title) == ((), "")


LOG = """\
Traceback (most recent call last):
  File "/srv/app/shop/orders.py", line 5, in order
  File "/srv/app/shop/limits.py", line 6, in check_limit
ValueError: 10
"""


def debug(made: GitRepository, **wanted: object) -> Gathered:
    return gather(Reader(made.tree()), DEBUG, Wanted(**wanted), Bounds())  # type: ignore[arg-type]


def test_the_frames_of_a_log_lead_to_parts_innermost_first(made: GitRepository) -> None:
    found = debug(made, log=LOG)
    assert places(found, "frames_of_log") == [("shop/limits.py", 4, 6), ("shop/orders.py", 4, 5)]
    assert places(found, "rules") == [("AGENTS.md", 1, 1)]
    (commit,) = [piece for piece in found.pieces if piece.source == "recent_changes"][:1]
    assert (commit.path, commit.rev) == ("", made.repo.head().decode())
    assert "added: shop/limits.py" in commit.text


def test_places_of_other_languages_are_read() -> None:
    log = (
        "    at take (/srv/app/src/pool.ts:41:7)\n\tat shop.Pool.take(Pool.java:17)\n"
        "./pool.go:12:3: undefined\n --> src/main.rs:4:5\nfoo.c(9): error\nsrc\\win.cs:line 3\nhttp://x.y:80/a\n"
    )
    assert places_in(log) == [
        ("/srv/app/src/pool.ts", 41),
        ("Pool.java", 17),
        ("./pool.go", 12),
        ("src/main.rs", 4),
        ("foo.c", 9),
    ]


def test_paths_and_names_of_the_problem_are_looked_up(made: GitRepository) -> None:
    found = debug(
        made,
        question="`Pool.take` fails in shop/orders.py:5 and check_limit() does not; see README.md, none.py",
        paths=("shop/pool.toml", "shop/none", "./tests"),
    )
    assert {path for path, _, _ in places(found, "named_paths")} == {
        "shop/pool.toml",
        "tests/test_pool.py",
        "shop/orders.py",
        "README.md",
    }
    assert {path for path, _, _ in places(found, "symbols_in_problem")} >= {"shop/pool.py", "shop/limits.py"}
    assert "shop/none: the workspace has no such file" in found.notes


def test_a_long_file_that_is_named_is_shown_in_pieces(made: GitRepository) -> None:
    found = gather(Reader(made.tree()), DEBUG, Wanted(paths=("shop/pool.py",)), Bounds(lines=100))
    pieces = places(found, "named_paths")
    assert pieces[:2] == [("shop/pool.py", 1, 100), ("shop/pool.py", 101, 200)]
    found = debug(made, question="look at shop/pool.py")
    assert places(found, "named_paths") == [("shop/pool.py", 1, 6)]


def test_paths_that_lead_outside_or_to_several_files_are_not_followed(made: GitRepository) -> None:
    found = debug(
        made, log='File "/etc/passwd", line 1\nFile "limits.py", line 1\nFile "../../x/none.py", line 3\n'
    )
    assert places(found, "frames_of_log") == []


def test_a_folder_that_is_named_has_bounds(made: GitRepository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exai.evidence.collection.around_failure.NAMED_FILES", 2)
    found = debug(made, paths=(".",))
    assert {piece.path for piece in found.pieces if piece.source in {"rules", "named_paths"}} == {
        "AGENTS.md",
        "README.md",
    }
    assert any("of which 2 are looked at" in note for note in found.notes)


def test_no_piece_has_a_secret(made: GitRepository) -> None:
    made.commit({"shop/key.py": f"def key():\n    return '{TOKEN}'\n"}, f"add {TOKEN}")
    made.write({"shop/key.py": f"def key():\n    return '{TOKEN}' + ''\n"})
    wanted = Wanted(change="all", question="`key`", paths=("shop/key.py",))
    found = gather(Reader(made.tree()), (*REVIEW, *DEBUG), wanted, Bounds())
    assert TOKEN not in repr(found)
    assert "github-pat" in repr(found)


def test_a_workspace_without_history_has_no_recent_changes(tmp_path: Path) -> None:
    write(tmp_path, **{"a.py": "x\n"})
    found = gather(Reader(tree(tmp_path)), DEBUG, Wanted(log="a.py:1"), Bounds())
    assert [piece.source for piece in found.pieces] == ["frames_of_log"]


def test_a_history_that_cannot_be_read_is_noted(made: GitRepository) -> None:
    made.loose(made.repo.head().decode()).unlink()
    assert any("history" in note for note in debug(made, log=LOG).notes)


def test_very_long_logs_are_read_at_both_ends(made: GitRepository) -> None:
    found = debug(made, log="shop/pool.py:13\n" + "x" * 500_000 + "\nshop/orders.py:5")
    assert [place[0] for place in places(found, "frames_of_log")] == ["shop/pool.py", "shop/orders.py"]


def test_tests_are_known_by_their_names() -> None:
    for path in (
        "tests/a.py",
        "a/test_b.py",
        "b_test.go",
        "c.spec.ts",
        "d.test.js",
        "src/__tests__/x.js",
        "conftest.py",
    ):
        assert is_test(path)
    for path in ("src/latest.py", "contest.py", "a/protest.go"):
        assert not is_test(path)


def test_all_sources_are_known_by_their_names(made: GitRepository) -> None:
    with pytest.raises(BadArguments) as refused:
        gather(Reader(made.tree()), ["other"], Wanted(), Bounds())
    assert str(refused.value).endswith(f"There are: {', '.join(sorted(SOURCES))}.")


def test_what_a_frame_calls_belongs_to_a_failure(made: GitRepository) -> None:
    log = '  File "/app/shop/pool.py", line 13, in take\n'
    found = gather(Reader(made.tree()), ["called_by_frames"], Wanted(log=log), Bounds())
    assert {(each.path, each.first) for each in found.pieces} >= {("shop/limits.py", 4), ("shop/pool.py", 16)}


def test_what_shares_rare_words_with_a_problem_comes_first(made: GitRepository) -> None:
    wanted = Wanted(question="Orders are refused although the limits are kept: orderings of 3")
    found = gather(Reader(made.tree()), ["words_of_problem"], wanted, Bounds())
    code = [each.path for each in found.pieces if not each.path.startswith("tests/")]
    assert code[0] in {"shop/orders.py", "shop/limits.py"}
    assert stems_of("rawBalances of HTTPServer, and the wrong balance") == ["raw", "balanc", "http", "server"]
    assert gather(Reader(made.tree()), ["words_of_problem"], Wanted(question="the"), Bounds()).pieces == ()


def test_a_huge_file_of_a_change_is_named_and_hides_no_other(made: GitRepository) -> None:
    made.write({"a_huge.py": "x = '" + "word " * 4_000 + "'\n", "shop/limits.py": "MOST = 8\n"})
    found = gather(Reader(made.tree()), REVIEW, Wanted(change="all"), Bounds(tokens=4_000))
    change = {each.path: bool(each.text) for each in found.pieces if each.source == CHANGE}
    assert change == {"a_huge.py": False, "shop/limits.py": True}
    assert "there is more of change than is gathered" in found.notes
    packed = Packer().pack(found.pieces, 100_000)
    assert [each.piece.path for each in packed.left_out if each.piece.source == CHANGE] == ["a_huge.py"]
    assert "shop/limits.py" in {each.path for each in packed.shown}
