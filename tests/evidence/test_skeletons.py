"""What is code of a file, and what is comment."""

import pytest

from exai.evidence.code.skeletons import NoSkeleton, skeleton

PYTHON = 'import os\n\n\ndef f(x):\n    return x + 1\n\n\nclass A:\n    y = "text"\n'


def same(path: str, before: str, after: str) -> bool:
    return skeleton(path, before.encode()) == skeleton(path, after.encode())


@pytest.mark.parametrize(
    "after",
    [
        '"""Doc."""\n' + PYTHON,
        PYTHON.replace("    return", '    """Adds."""\n    # why\n    return'),
        PYTHON.replace("class A:\n", 'class A:\n    """Holds\n    lines."""\n\n'),
        PYTHON + "# the end",
        PYTHON.replace("\n\n\n", "\n\n"),
    ],
)
def test_comments_and_docstrings_are_no_code(after: str) -> None:
    assert same("a.py", PYTHON, after)


@pytest.mark.parametrize(
    "after",
    [
        PYTHON.replace("x + 1", "x + 2"),
        PYTHON.replace('"text"', '"other"'),
        PYTHON.replace("    return x + 1", '    f"{os.abort()}"\n    return x + 1'),
        PYTHON.replace("    return x + 1", "    return x"),
        PYTHON.replace("    y", "y"),
        PYTHON.replace("import os\n", ""),
        PYTHON.replace("    return x + 1", '    """return x + 1"""'),
        PYTHON.replace("return x + 1", "return x + 1  # type: ignore"),
        "# coding: latin-1\n" + PYTHON,
        PYTHON.replace("return x + 1", "return x + (1"),
    ],
)
def test_everything_else_is_code(after: str) -> None:
    assert not same("a.py", PYTHON, after)


@pytest.mark.parametrize(
    ("path", "before", "documented", "changed"),
    [
        (
            "a.ts",
            "export const f = (a: number) => `${a} b`;\n",
            "/** Doc. */\nexport const f = (a: number) => `${a} b`; // x\n",
            "export const f = (a: number) => `${a}  b`;\n",
        ),
        (
            "a.js",
            "function f() { return 1 }\n",
            "/* Doc. */ function f() { return 1 }\n",
            "function f() { return 2 }\n",
        ),
        (
            "a.go",
            "package a\n\nfunc F() int { return 1 }\n",
            "// Package a.\npackage a\n\n// F is one.\nfunc F() int { return 1 }\n",
            "//go:build linux\npackage a\n\nfunc F() int { return 1 }\n",
        ),
        ("a.rs", "fn f() -> i32 { 1 }\n", "/// One.\nfn f() -> i32 { 1 }\n", "fn f() -> i32 { 2 }\n"),
        (
            "A.java",
            "class A { int f() { return 1; } }\n",
            "/** One. */\nclass A { int f() { return 1; } }\n",
            "/* \\u002a\\u002f static { } /* */\nclass A { int f() { return 1; } }\n",
        ),
    ],
)
def test_each_language_that_comes_along(path: str, before: str, documented: str, changed: str) -> None:
    assert same(path, before, documented)
    assert not same(path, before, changed)


@pytest.mark.parametrize("path", ["a.kt", "setup.cfg", "package.json"])
def test_what_has_no_grammar_cannot_be_told(path: str) -> None:
    with pytest.raises(NoSkeleton, match="no grammar"):
        skeleton(path, b"x")


def test_a_deep_file_is_no_danger() -> None:
    deep = "f(" * 5_000 + "1" + ")" * 5_000 + "\n"
    assert skeleton("a.js", deep.encode()) != skeleton("a.js", (deep + "g()\n").encode())
