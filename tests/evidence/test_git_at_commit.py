"""A repository as it was at a commit: lines by reported paths, commits of a range, and who wrote a line."""

from pathlib import Path

import pytest

from evidence.test_trees import TOKEN
from exai.errors import BadArguments, FileRefused
from exai.evidence.git.at_commit import blame_at, commit_named, history_at, lines_at, suspects
from exai.evidence.requests import Lines, LinesAt, Opening
from exai.evidence.workspace import Workspace
from support.repositories import GitRepository

OLD = "".join(f"line {number}\n" for number in range(1, 41))
NEW = OLD.replace("line 20\n", "line 20 broken\n")
FAR = NEW.replace("line 1\n", "line 1 polished\n")


@pytest.fixture
def made(tmp_path: Path) -> GitRepository:
    return GitRepository(tmp_path / "repo")


def test_lines_are_those_of_the_commit_by_whatever_path_they_are_reported(made: GitRepository) -> None:
    first = made.commit({"src/shop/cart.py": OLD}, "one")
    made.commit({"src/shop/cart.py": NEW}, "two")
    made.write({"src/shop/cart.py": "not committed\n"})
    for path in ("src/shop/cart.py", "/app/src/shop/cart.py", str(made.folder / "src/shop/cart.py")):
        found = lines_at(made.tree(), first, path, 19, 21)
        assert found.lines == ("line 19", "line 20", "line 21")
    assert lines_at(made.tree("src"), first, "/app/shop/cart.py", 20, 20).path == "src/shop/cart.py"
    for path in ("none.py", "../src/shop/cart.py", ""):
        with pytest.raises(FileRefused, match="no file of commit"):
            lines_at(made.tree(), first, path, 1, 2)
    with pytest.raises(BadArguments, match="has 40 lines"):
        lines_at(made.tree(), first, "src/shop/cart.py", 41, 42)


def test_what_holds_a_secret_is_not_shown(made: GitRepository) -> None:
    sha = made.commit({"a.py": f"token = '{TOKEN}'\n", ".env": f"KEY={TOKEN}\n"}, "one")
    assert TOKEN not in lines_at(made.tree(), sha, "a.py", 1, 1).lines[0]
    assert TOKEN not in "".join(blame_at(made.tree(), sha, "a.py", 1).lines)
    with pytest.raises(FileRefused):
        lines_at(made.tree(), sha, ".env", 1, 1)


def test_commits_at_the_place_come_before_others_of_the_file(made: GitRepository) -> None:
    good = made.commit({"cart.py": OLD, "other.py": "x\n"}, "before")
    broken = made.commit({"cart.py": NEW}, "break the cart")
    far = made.commit({"cart.py": FAR}, "polish the head")
    last = made.commit({"other.py": "y\n"}, "elsewhere")
    found = suspects(made.tree(), good, last, [("cart.py", 21), ("gone.py", 1)])
    assert [(each.commit, each.is_at_place) for each in found.commits] == [(broken, True), (far, False)]
    assert "+line 20 broken" in found.commits[0].lines
    assert "break the cart" in found.commits[0].title
    assert "Ada" not in found.commits[0].title
    assert [each.commit for each in suspects(made.tree(), "", last, [("cart.py", 21)]).commits] == [
        broken,
        good,
        far,
    ]
    author = blame_at(made.tree(), last, "cart.py", 20)
    assert (author.commit, author.is_at_place) == (broken, True)
    assert [each.commit for each in history_at(made.tree(), broken, "cart.py", 5).commits] == [broken, good]


def test_a_release_is_found_by_the_first_of_its_names_that_is_known(made: GitRepository) -> None:
    sha = made.commit({"a.py": "1\n"}, "one")
    made.repo.refs[b"refs/tags/v1.2.0"] = sha.encode()
    found = commit_named(made.tree(), ["shop@1.2.0", "1.2.0", "v1.2.0"])
    assert (found.name, found.commit) == ("v1.2.0", sha)
    assert commit_named(made.tree(), [sha[:12]]).commit == sha
    with pytest.raises(BadArguments, match="none of"):
        commit_named(made.tree(), ["9.9"])


async def test_the_process_of_a_workspace_answers_it(made: GitRepository) -> None:
    sha = made.commit({"a.py": OLD}, "one")
    workspace = Workspace(Opening(folder=str(made.folder), roots=(str(made.folder),)))
    try:
        found = await workspace.ask(LinesAt(sha, "/srv/a.py", 2, 3), Lines)
    finally:
        await workspace.close()
    assert found.lines == ("line 2", "line 3")
