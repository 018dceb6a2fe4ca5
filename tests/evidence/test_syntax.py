"""What source files hold, in each language."""

import pytest

from exai.evidence.code import languages, syntax
from exai.evidence.code.languages import ROWS, grammar_of, row_of
from exai.evidence.code.syntax import Parsed, Syntax
from exai.evidence.trees import Document


def parsed(path: str, text: str) -> Parsed:
    return Syntax().of(Document(path, text.encode(), text, keeps_secrets=False))


def outline(found: Parsed) -> list[str]:
    return [f"{each.kind} {each.qualified} {each.first}-{each.last}" for each in found.symbols]


SOURCES = {
    "a.py": (
        "class A(B):\n  'Doc'\n  def f(self) -> C:\n    # why\n    return g(self.h())\n",
        ["class A 1-5", "function A.f 3-5"],
        {"B", "C", "g", "h"},
    ),
    "a.ts": (
        "class A {\n  m(x: T) { this.f(); new H(); }\n}\nconst k = () => 1;\ninterface I {}\nenum E {}\n",
        ["class A 1-3", "method A.m 2-2", "function k 4-4", "interface I 5-5", "enum E 6-6"],
        {"T", "f", "H"},
    ),
    "a.tsx": ("const K = () => <p>{f()}</p>;\n", ["function K 1-1"], {"f"}),
    "a.js": ("function f() {\n  g();\n}\n", ["function f 1-3"], {"g"}),
    "a.go": (
        "package a\nfunc (s *S) M() { f(); s.g() }\ntype S struct{}\n",
        ["method M 2-2", "type S 3-3"],
        {"f", "g", "S"},
    ),
    "a.rs": (
        "impl A {\n  fn m(&self) { B::new(); self.f(); }\n}\nstruct A;\n",
        ["impl A 1-3", "function A.m 2-2", "struct A 4-4"],
        {"new", "f"},
    ),
    "a.java": ("class A {\n  void m() { f(); new B(); }\n}\n", ["class A 1-3", "method A.m 2-2"], {"f", "B"}),
    "a.c": ("int *f(int x) { return g(x); }\n", ["function f 1-1"], {"g"}),
    "a.cpp": ("class A {\n  void m() { f(); }\n};\n", ["class A 1-3", "function A.m 2-2"], {"f"}),
    "a.cs": (
        "class A {\n  void M() { F(); x.G(); new B(); }\n}\n",
        ["class A 1-3", "method A.M 2-2"],
        {"F", "G", "B"},
    ),
    "a.rb": ("class A\n  def m\n    f(1)\n  end\nend\n", ["class A 1-5", "method A.m 2-4"], {"f"}),
    "a.php": (
        "<?php\nclass A {\n  function m() { f(); $this->g(); }\n}\n",
        ["class A 2-4", "method A.m 3-3"],
        {"f", "g"},
    ),
    "a.sh": ("f() {\n  g 1\n}\n", ["function f 1-3"], {"g"}),
}


@pytest.mark.parametrize("path", SOURCES)
def test_parts_and_calls_are_found_in_each_language(path: str) -> None:
    text, symbols, calls = SOURCES[path]
    found = parsed(path, text)
    row = row_of(path)
    assert row is not None
    assert found.language == row.name
    assert outline(found) == symbols
    assert calls <= {call.name for call in found.calls}


def test_every_language_has_an_example() -> None:
    assert {row.name for row in ROWS} == {row_of(path).name for path in SOURCES}  # type: ignore[union-attr]
    assert [row.name for row in ROWS if grammar_of(row).row is not row] == []


def test_comments_and_docstrings_are_found() -> None:
    text = SOURCES["a.py"][0]
    assert [text[first:last] for first, last in parsed("a.py", text).comments] == ["'Doc'", "# why"]


def test_the_innermost_part_of_a_line_is_found() -> None:
    found = parsed("a.py", SOURCES["a.py"][0])
    assert [each.name if (each := found.enclosing(line)) else None for line in (1, 4, 9)] == ["A", "f", None]
    assert found.calls_of(5, 5) == ["g", "h"]


def test_a_language_whose_grammar_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(syntax, "is_missing", lambda row: row.name == "C")
    read = Syntax()
    text = "struct S {\n  int a;\n};\n"
    found = read.of(Document("a.c", text.encode(), text, keeps_secrets=False))
    assert (found.language, outline(found), read.missing) == ("", ["struct S 1-3"], {"C"})
    assert languages.is_missing(languages.Row("X", (), "no_such_grammar", "", ""))


def test_other_files_have_parts_by_the_beginnings_of_lines() -> None:
    text = "# One\n## Two\ntext\n# Three\n"
    assert outline(parsed("a.md", text)) == ["heading One 1-3", "heading One.Two 2-3", "heading Three 4-4"]
    assert outline(parsed("a.kt", "class A {\n  fun x()\n}\nclass B\n")) == ["class A 1-3", "class B 4-4"]


def test_a_file_is_parsed_once_for_one_content(monkeypatch: pytest.MonkeyPatch) -> None:
    read = Syntax()
    document = Document("a.py", b"def f(): pass\n", "def f(): pass\n", keeps_secrets=False)
    first = read.of(document)
    assert read.of(document) is first
    monkeypatch.setattr(syntax, "PARSED_KEPT", 0)
    read.of(Document("b.py", b"x\n", "x\n", keeps_secrets=False))
    assert read.of(document) is not first


HOSTILE = {
    "brackets.py": "(\n" * 100_000,
    "calls.py": "f(\n" * 100_000 + ")\n" * 100_000,
    "line.py": "x" * 10_000_000,
    "functions.js": "function f(){\n" * 20_000,
    "binary.go": "\ufffd\x01\x02" * 10_000,
    "many.py": "def f(): pass\n" * 30_000,
    "headings.md": "# x\n" * 50_000,
    "indented.txt": "".join(" " * (n % 12) + "class a\n" for n in range(20_000)),
}


@pytest.mark.parametrize("path", HOSTILE)
def test_a_hostile_file_costs_no_more_than_another(path: str) -> None:
    """Each takes minutes, and so the time of the test, where its bound is missing."""
    assert len(parsed(path, HOSTILE[path]).symbols) <= syntax.MOST_SYMBOLS
