"""Folders of this machine, listed for snapshots."""

import os
from pathlib import Path

import pytest

from exai.errors import BadArguments, FileRefused
from exai.files.snapshots import folders
from exai.files.snapshots.folders import list_folder
from support.shelves import sha256_of


def write(folder: Path, files: dict[str, str]) -> None:
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)


def paths(folder: Path) -> list[str]:
    return [entry.path for entry in list_folder(folder).entries]


def test_files_are_listed_with_what_they_hold(tmp_path: Path) -> None:
    write(tmp_path, {"b.py": "b", "a/run.sh": "run", "empty": ""})
    (tmp_path / "a" / "run.sh").chmod(0o755)
    found = [(e.path, e.mode, e.bytes, e.sha256) for e in list_folder(tmp_path).entries]
    assert found == [
        ("a/run.sh", "755", 3, sha256_of(b"run")),
        ("b.py", "644", 1, sha256_of(b"b")),
        ("empty", "644", 0, sha256_of(b"")),
    ]


def test_what_git_ignores_is_left_out(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            ".gitignore": "*.log\n/build/\nvendor/*\n!vendor/keep.c\n",
            "a.log": "",
            "build/out": "",
            "src/build/in": "",
            "vendor/x.c": "",
            "vendor/keep.c": "",
            "src/.gitignore": "!important.log\ngenerated\n",
            "src/important.log": "",
            "src/other.log": "",
            "src/generated/y": "",
            ".git/config": "",
            "src/.git/HEAD": "",
        },
    )
    assert paths(tmp_path) == [
        ".gitignore",
        "src/.gitignore",
        "src/build/in",
        "src/important.log",
        "vendor/keep.c",
    ]


def test_files_that_hold_secrets_are_left_out_and_listed(tmp_path: Path) -> None:
    key = "-----BEGIN PRIVATE KEY-----\nx\n-----END PRIVATE KEY-----\n"
    write(tmp_path, {".env": "A=1", ".ssh/config": "", "tls.pem": key, "notes.md": "", ".env.example": ""})
    listing = list_folder(tmp_path)
    assert [entry.path for entry in listing.entries] == [".env.example", "notes.md"]
    assert [(each.path, each.why) for each in listing.left_out if each.is_secret] == [
        (".env", "looks as if it held environment secrets"),
        (".ssh/config", "looks as if it held credentials"),
        ("tls.pem", "looks as if it held a private key"),
    ]


def test_links_and_devices_are_not_followed(tmp_path: Path) -> None:
    folder, outside = tmp_path / "folder", tmp_path / "outside"
    write(tmp_path, {"outside/secret": "x", "folder/a": "a"})
    (folder / "file").symlink_to(outside / "secret")
    (folder / "dir").symlink_to(outside)
    os.mkfifo(folder / "fifo")
    assert paths(folder) == ["a"]
    assert [(each.path, each.why) for each in list_folder(folder).left_out] == [
        ("dir", "a link"),
        ("fifo", "a device, pipe or socket"),
        ("file", "a link"),
    ]


def test_rules_of_the_folders_above_count_up_to_the_root(tmp_path: Path) -> None:
    write(tmp_path, {".gitignore": "*.log\n", ".git/info/exclude": "mine\n", "src/a.log": "", "src/a.py": ""})
    write(tmp_path, {"src/mine": ""})
    src = tmp_path / "src"
    assert [entry.path for entry in list_folder(src, [tmp_path]).entries] == ["a.py"]
    assert paths(src) == ["a.log", "a.py", "mine"]
    assert "src/mine" not in paths(tmp_path)


def test_more_files_than_a_snapshot_may_have_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "MOST_ENTRIES", 2)
    write(tmp_path, {"a": "", "b": "", ".env": ""})
    assert paths(tmp_path) == ["a", "b"]
    write(tmp_path, {"c": ""})
    with pytest.raises(FileRefused, match="more than 2 files"):
        list_folder(tmp_path)


def test_a_folder_that_cannot_be_kept_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileRefused, match="cannot be read"):
        list_folder(tmp_path / "missing")
    write(tmp_path, {"Readme": "", "README": ""})
    if len(list(tmp_path.iterdir())) == 2:
        with pytest.raises(BadArguments, match="case"):
            list_folder(tmp_path)
