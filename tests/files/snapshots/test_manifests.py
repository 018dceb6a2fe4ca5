"""Manifests of snapshots, good and bad."""

import json

import pytest

from exai.errors import BadArguments
from exai.files.snapshots import manifests
from exai.files.snapshots.manifests import encoded, read_manifest

DIGEST = "0" * 64


def line(path: str, **fields: object) -> bytes:
    return json.dumps({"path": path, "mode": "644", "bytes": 1, "sha256": DIGEST} | fields).encode() + b"\n"


def manifest(*paths: str) -> bytes:
    return b"".join(line(path) for path in paths)


def test_one_folder_has_one_manifest() -> None:
    one, other = read_manifest(manifest("b", "a/c", "a.b")), read_manifest(manifest("a.b", "b", "a/c")[:-1])
    assert encoded(one) == encoded(other)
    assert [entry.path for entry in one] == ["a.b", "a/c", "b"]
    assert read_manifest(encoded(one)) == one
    assert read_manifest(b"") == []


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("", "no relative path"),
        ("/etc/passwd", "no relative path"),
        ("a//b", "no relative path"),
        ("a/", "no relative path"),
        ("../a", "a step"),
        ("a/../../b", "a step"),
        ("./a", "a step"),
        ("a\\b", "a character"),
        ("a\nb", "a character"),
        ("a\0b", "a character"),
        ("x" * 4_097, "longer"),
    ],
)
def test_a_path_that_leads_elsewhere_is_refused_by_name(path: str, said: str) -> None:
    with pytest.raises(BadArguments, match=f"Entry 2 .*{said}") as refused:
        read_manifest(manifest("good", path))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("paths", "said"),
    [
        (["a", "b", "a"], "Entry 3 .*twice"),
        (["Readme", "README"], "Entry 2 .*case"),
        (["straße", "STRASSE"], "Entry 2 .*case"),
        (["é", "e\u0301"], "Entry 2 .*case"),
        (["a", "a/b"], "Entry 2 .*which is a file"),
        (["A/x/y", "a"], "Entry 1 .*which is a file"),
        (["b/a.x", "b/a/y/z", "b/a", "b/a b"], "Entry 2 .*is below `b/a`"),
    ],
)
def test_paths_that_some_disk_cannot_keep_apart_are_refused(paths: list[str], said: str) -> None:
    with pytest.raises(BadArguments, match=said):
        read_manifest(manifest(*paths))


def test_names_that_begin_alike_are_no_files_below_files() -> None:
    paths = ["a", "a.b/c", "a b", "a!/x", "ab/a"]
    assert [entry.path for entry in read_manifest(manifest(*paths))] == sorted(paths)


def test_each_path_is_folded_once_however_deep_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    deep, folded = "/".join("a" * 1_000), list[str]()

    def fold(path: str) -> str:
        folded.append(path)
        return path.casefold()

    monkeypatch.setattr("exai.files.snapshots.manifests._folded", fold)
    read_manifest(manifest(*(f"{deep}/{number}" for number in range(3))))
    assert len(folded) == 3


@pytest.mark.parametrize(
    "bad",
    [
        b"{}\n",
        b"nonsense\n",
        b"\n",
        b"[" * 10_000 + b"\n",
        b"\xff\n",
        line("a", mode="777"),
        line("a", bytes=-1),
        line("a", bytes="1"),
        line("a", sha256="0" * 63),
        line("a", sha256="A" * 64),
        line("a", owner="bob"),
    ],
)
def test_a_line_that_cannot_be_used_is_named(bad: bytes) -> None:
    with pytest.raises(BadArguments, match=r"2 of the manifest|Entry 2"):
        read_manifest(line("good") + bad + line("other"))


def test_too_many_entries_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifests, "MOST_ENTRIES", 2)
    with pytest.raises(BadArguments, match="3 entries"):
        read_manifest(manifest("a", "b", "c"))
