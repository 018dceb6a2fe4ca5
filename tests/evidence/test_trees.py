"""Which files a workspace has, and what of them is shown."""

import os
from pathlib import Path

import pytest

from exai.errors import FileRefused
from exai.evidence import trees
from exai.evidence.trees import Document, FolderTree, SnapshotTree
from exai.files.snapshots.manifests import ManifestEntry

TOKEN = "ghp_" + "A1b2" * 9


def write(folder: Path, **files: str | bytes) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)


def tree(folder: Path, roots: list[Path] | None = None, **options: bool) -> FolderTree:
    real = folder.resolve()
    return FolderTree(str(real), [str(root.resolve()) for root in roots or [folder]], **options)


def text(document: Document | None) -> str:
    assert document is not None
    return document.text(1, 100)


def test_ignored_and_secret_files_are_not_there(tmp_path: Path) -> None:
    write(
        tmp_path,
        **{
            ".gitignore": "build/\n*.log\n",
            "build/out.py": "x",
            "a.log": "x",
            "src/a.py": "print(1)\n",
            ".env": "KEY=1",
            "id_rsa": "x",
            ".git/config": "x",
        },
    )
    found = tree(tmp_path)
    assert dict(found.files) == {".gitignore": 13, "src/a.py": 9}
    assert {each.path for each in found.left_out} == {".env", "id_rsa"}
    for path in ("build/out.py", "a.log", ".env", "id_rsa", ".git/config", "../x", "src/../src/a.py", "none"):
        assert found.read(path) is None
    assert text(found.read("src/a.py")) == "print(1)\n"


def test_nothing_outside_is_read_through_a_link(tmp_path: Path) -> None:
    write(tmp_path, **{"outside.py": "secret", "in/a.py": "a\n", "in/folder/b.py": "b\n"})
    inside = tmp_path / "in"
    (inside / "link.py").symlink_to(tmp_path / "outside.py")
    found = tree(inside)
    assert list(found.files) == ["a.py", "folder/b.py"]
    (inside / "a.py").unlink()
    (inside / "a.py").symlink_to(tmp_path / "outside.py")
    assert found.read("a.py") is None


def test_what_looks_like_a_secret_leaves_no_file(tmp_path: Path) -> None:
    write(tmp_path, **{"a.py": f"one\nkey = '{TOKEN}'\nthree\n"})
    assert text(tree(tmp_path).read("a.py")) == "one\nkey = '«github-pat»'\nthree\n"
    assert TOKEN in text(tree(tmp_path, keeps_secrets=True).read("a.py"))


def test_a_file_that_is_a_secret_by_its_content_is_not_there(tmp_path: Path) -> None:
    write(tmp_path, **{"notes.txt": "-----BEGIN RSA PRIVATE KEY-----\nabc\n", "b.py": "x\n"})
    assert tree(tmp_path).read("notes.txt") is None


def test_what_is_no_text_or_too_large_is_listed_and_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trees, "MOST_FILE_BYTES", 1_000)
    write(tmp_path, **{"a.bin": b"\0\1\2", "large.txt": b"x" * 1_001, "wide.txt": "é\n".encode("utf-16")})
    found = tree(tmp_path)
    assert len(found.files) == 3
    assert found.read("a.bin") is None
    assert found.read("large.txt") is None
    assert text(found.read("wide.txt")) == "é\n"


def test_a_file_is_read_as_it_is_now(tmp_path: Path) -> None:
    write(tmp_path, **{"a.py": "old\n"})
    found = tree(tmp_path)
    old = found.read("a.py")
    assert found.read("a.py") is old
    write(tmp_path, **{"a.py": "new\n"})
    assert text(found.read("a.py")) == "new\n"


def test_a_workspace_has_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trees, "MOST_FILES", 2)
    write(tmp_path, a="", b="", c="")
    with pytest.raises(FileRefused, match="more than 2 files"):
        _ = tree(tmp_path).files
    with pytest.raises(FileRefused, match="is a file"):
        _ = tree(tmp_path / "a", [tmp_path]).files


def test_a_fifo_is_not_waited_for(tmp_path: Path) -> None:
    write(tmp_path, **{"a.py": "x\n"})
    found = tree(tmp_path)
    assert list(found.files) == ["a.py"]
    (tmp_path / "a.py").unlink()
    os.mkfifo(tmp_path / "a.py")
    assert found.read("a.py") is None


def test_the_files_of_a_snapshot_are_fetched_when_they_are_read() -> None:
    contents: dict[str, bytes | None] = {"a.py": b"one\n", ".env": b"KEY=1", "gone.py": None, "large.py": b""}
    asked: list[str] = []

    def fetch(path: str) -> bytes | None:
        asked.append(path)
        return contents[path]

    sizes = {"a.py": 4, ".env": 5, "gone.py": 3, "large.py": 10**9}
    entries = [ManifestEntry(path, "644", size, "0" * 64) for path, size in sizes.items()]
    found = SnapshotTree(entries, fetch)
    assert list(found.files) == ["a.py", "gone.py", "large.py"]
    assert asked == []
    assert text(found.read("a.py")) == "one\n"
    assert [found.read(path) for path in ("gone.py", "large.py", ".env", "none")] == [None] * 4
    assert asked == ["a.py", "gone.py"]
    assert ".env" in SnapshotTree(entries, fetch, keeps_secrets=True).files
