"""A walk through a folder of this machine."""

import gc
import os
from pathlib import Path

import pytest

from exai.errors import FileRefused
from exai.files.paths import walk as walks
from exai.files.paths.walk import LeftOut, WalkedFile, walking


def write(folder: Path, *paths: str) -> None:
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text("x")


def found(folder: Path, root: Path, most: int = 1_000) -> list[str]:
    with walking(str(folder), [root], most) as walk:
        return [
            f"{each.path} ({each.why})" if isinstance(each, LeftOut) else each.path for each in walk or ()
        ]


def open_descriptors() -> int:
    gc.collect()  # what earlier tests left open may be closed by any collection
    return len(list(Path("/dev/fd").iterdir()))


def test_everything_comes_in_the_order_of_its_path(tmp_path: Path) -> None:
    write(tmp_path, "a/z", "a.txt", "a-b", "a/b/c", "a0", "B")
    assert found(tmp_path, tmp_path) == sorted(["a/z", "a.txt", "a-b", "a/b/c", "a0", "B"])


def test_a_name_that_is_no_text_is_left_out_with_all_below_it(tmp_path: Path) -> None:
    write(tmp_path, "a.py", "b\udcff.py", "c\udcfe/d.py", "e\udcff.log")
    (tmp_path / ".gitignore").write_text("*.log\n.gitignore\n")
    why = "(its name is not UTF-8)"
    assert found(tmp_path, tmp_path) == ["a.py", f"b\\xff.py {why}", f"c\\xfe {why}"]


def test_the_number_of_entries_is_bounded_and_those_of_ignored_folders_do_not_count(tmp_path: Path) -> None:
    write(tmp_path, "a", "b/c", *(f"out/{number}" for number in range(20)))
    (tmp_path / ".gitignore").write_text("out/\n")
    assert found(tmp_path, tmp_path, 5) == [".gitignore", "a", "b/c"]
    with pytest.raises(FileRefused, match="more than 4 entries"):
        found(tmp_path, tmp_path, 4)


def test_folders_are_entered_to_a_depth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walks, "MOST_DEPTH", 2)
    write(tmp_path, "1/2/file", "1/2/3/file")
    assert found(tmp_path, tmp_path) == ["1/2/3 (more than 2 folders deep)", "1/2/file"]


def test_a_folder_that_becomes_a_link_on_the_way_is_not_followed(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    write(tmp_path, "root/a", "root/b/inner", "outside/secret")
    with walking(str(root), [root], 100) as walk:
        assert walk is not None
        assert isinstance(next(walk), WalkedFile)
        (root / "b").rename(tmp_path / "gone")
        (root / "b").symlink_to(outside)
        assert list(walk) == [LeftOut("b", "a link")]


def test_a_file_that_becomes_something_else_is_not_opened(tmp_path: Path) -> None:
    root = tmp_path / "root"
    write(tmp_path, "root/a", "outside")
    with walking(str(root), [root], 100) as walk:
        assert walk is not None
        file = next(walk)
        assert isinstance(file, WalkedFile)
        (root / "a").unlink()
        (root / "a").symlink_to(tmp_path / "outside")
        with pytest.raises(OSError, match="symbolic links"):
            file.open()
        (root / "a").unlink()
        os.mkfifo(root / "a")
        before = open_descriptors()
        with pytest.raises(OSError, match="no regular file"):
            file.open()
        assert open_descriptors() == before


def test_a_walk_that_is_broken_off_leaves_no_descriptor_open(tmp_path: Path) -> None:
    write(tmp_path, "1/2/3/a", "1/2/3/b")
    before = open_descriptors()
    with walking(str(tmp_path), [tmp_path], 100) as walk:
        assert walk is not None
        next(walk)
        assert open_descriptors() > before
    assert open_descriptors() == before


def test_what_went_meanwhile_is_passed_over(tmp_path: Path) -> None:
    write(tmp_path, "a", "b", "c")
    with walking(str(tmp_path), [tmp_path], 100) as walk:
        assert walk is not None
        next(walk)
        (tmp_path / "b").unlink()
        assert [each.path for each in walk] == ["c"]


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    write(tmp_path, "a")
    with walking(str(tmp_path / "a"), [tmp_path], 100) as walk:
        assert walk is None
