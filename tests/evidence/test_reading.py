"""What a workspace answers: lists, lines, hits, outlines, names."""

from pathlib import Path

import pytest

from evidence.test_trees import TOKEN, tree, write
from exai.errors import BadArguments, FileRefused
from exai.evidence import reading
from exai.evidence.reading import Reader

FILES = {
    "src/app.py": "from lib import load\n\n\ndef run():\n    return load(1)\n",
    "src/lib.py": 'def load(x):\n    return x\n\n\nclass Loader:\n    def load(self):\n        return "a.b"\n',
    "README.md": "# App\nIt calls load.\n",
}


@pytest.fixture
def reader(tmp_path: Path) -> Reader:
    write(tmp_path, **FILES)
    return Reader(tree(tmp_path))


def test_files_are_listed_by_pattern(reader: Reader) -> None:
    assert [path for path, _ in reader.list_files().files] == ["README.md", "src/app.py", "src/lib.py"]
    assert [path for path, _ in reader.list_files("src/").files] == ["src/app.py", "src/lib.py"]
    assert reader.list_files("*.md").files == (("README.md", len(FILES["README.md"])),)
    assert reader.list_files("./src/a*").total == 1
    with pytest.raises(BadArguments, match="longer than"):
        reader.list_files("x" * 501)


def test_a_list_is_bounded_and_says_how_many_there_are(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "MOST_LISTED", 2)
    listed = reader.list_files()
    assert (len(listed.files), listed.total) == (2, 3)


def test_lines_are_read_with_their_place(reader: Reader) -> None:
    read = reader.read_lines("./src/app.py", 4, 99)
    assert (read.path, read.first, read.lines, read.total) == (
        "src/app.py",
        4,
        ("def run():", "    return load(1)"),
        5,
    )
    assert len(read.sha256) == 64


def test_reading_is_bounded_in_lines_and_bytes(tmp_path: Path) -> None:
    write(
        tmp_path,
        **{"many.txt": "x\n" * 1_000, "wide.txt": ("y" * 10_000 + "\n") * 5, "line.txt": "z" * 50_000},
    )
    reader = Reader(tree(tmp_path))
    assert len(reader.read_lines("many.txt").lines) == reading.MOST_LINES
    assert len(reader.read_lines("wide.txt").lines) == 2
    assert len(reader.read_lines("line.txt").lines[0]) == reading.MOST_LINES_BYTES


def test_what_is_not_there_is_refused_with_the_next_step(reader: Reader) -> None:
    for path in ("none.py", "../x", "/etc/passwd", ".env", "src"):
        with pytest.raises(FileRefused, match="list_files"):
            reader.read_lines(path)
    for first, last in ((6, 7), (4, 3)):
        with pytest.raises(BadArguments, match="has 5 lines"):
            reader.read_lines("src/app.py", first, last)


def test_text_is_searched_for_as_it_is(reader: Reader) -> None:
    found = reader.search("a.b")
    assert [(hit.path, hit.line) for hit in found.hits] == [("src/lib.py", 7)]
    assert [hit.path for hit in reader.search(pattern=r"def \w+\(", glob="src/app.py").hits] == ["src/app.py"]
    assert not reader.search("nothing like it").has_more


def test_a_search_takes_a_text_or_a_pattern(reader: Reader) -> None:
    for arguments in ({}, {"text": "a", "pattern": "a"}):
        with pytest.raises(BadArguments, match="either"):
            reader.search(**arguments)
    with pytest.raises(BadArguments, match="RE2"):
        reader.search(pattern="(?=a)")


def test_a_search_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(
        tmp_path,
        **{f"{n}.txt": "hit\n" * 30 for n in range(9)},
        **{"z.txt": "x" * 900 + "needle" + "y" * 900},
    )
    reader = Reader(tree(tmp_path))
    found = reader.search("hit")
    assert (len(found.hits), found.has_more) == (100, True)
    (hit,) = reader.search("needle").hits
    assert "needle" in hit.text
    assert len(hit.text) == reading.HIT_CHARACTERS
    monkeypatch.setattr(reading, "SEARCH_S", -1)
    assert reader.search("needle").has_more


def test_no_result_has_a_secret(tmp_path: Path) -> None:
    write(tmp_path, **{"a.py": f"def key():\n    return '{TOKEN}'\n"})
    reader = Reader(tree(tmp_path))
    results = (
        reader.search("return"),
        reader.read_lines("a.py"),
        reader.symbol("key"),
        reader.outline("a.py"),
    )
    assert TOKEN not in repr(results)
    assert "github-pat" in repr(results)


def test_an_outline_has_the_parts_of_a_file(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    found = reader.outline("src/lib.py")
    assert (found.language, [each.qualified for each in found.symbols]) == (
        "Python",
        ["load", "Loader", "Loader.load"],
    )
    monkeypatch.setattr(reading, "MOST_OUTLINE", 1)
    assert reader.outline("src/lib.py").has_more


def test_a_name_leads_to_its_definitions_and_uses(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    found = reader.symbol("Loader.load")
    assert [(path, each.qualified) for path, each in found.definitions] == [
        ("src/lib.py", "load"),
        ("src/lib.py", "Loader.load"),
    ]
    assert [(hit.path, hit.line) for hit in found.references] == [
        ("README.md", 2),
        ("src/app.py", 1),
        ("src/app.py", 5),
    ]
    assert not found.has_more
    assert reader.symbol("loa").references == ()
    with pytest.raises(BadArguments, match="name"):
        reader.symbol(" . ")
    monkeypatch.setattr(reading, "MOST_NAMED", 3)
    assert reader.symbol("load").has_more
    monkeypatch.setattr(reading, "SEARCH_S", -1)
    assert reader.symbol("load").has_more
