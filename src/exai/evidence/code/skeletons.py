"""What of a source file is code: its syntax without comments and docstrings, so that two versions can be compared."""

import re
from typing import Any

from exai.evidence.code.languages import INSTALL, grammar_of, is_missing, row_of
from exai.evidence.code.syntax import MOST_BROKEN_NODES, captured, is_written

__all__ = ["PROSE", "NoSkeleton", "skeleton"]

PROSE = frozenset({"", ".md", ".markdown", ".mdx", ".rst", ".txt", ".adoc", ".asciidoc", ".org"})
"""Suffixes of files that have no code."""

Token = tuple[str, bytes]

_DIRECTIVE = re.compile(
    rb"^[^\w@+!]*(?:(?:go:|\+build\b|type:|noqa\b|pylint:|pyright:|mypy:|ruff:|fmt:|isort:|pragma:|nosec\b|@ts-|"
    rb"eslint-|prettier-|istanbul |clang-format |NOLINT|shellcheck |!/|export [A-Za-z])[^\n]*|.*coding[:=][^\n]*)"
)
"""A comment that a tool obeys."""
_ESCAPE = re.compile(rb"\\u+[0-9a-fA-F]{4}")
"""Java reads these before it knows where a comment ends."""


class NoSkeleton(Exception):
    """What of a file is code cannot be told; the sentence says why."""


def skeleton(path: str, data: bytes) -> list[Token]:
    """Return the syntax of a file without its comments, but with those that a tool obeys.

    Raises:
        NoSkeleton: its language is not known, or it is not understood.
    """
    row = row_of(path)
    if row is None:
        raise NoSkeleton("its language has no grammar here, so what is code in it cannot be told")
    if is_missing(row):
        raise NoSkeleton(f"no grammar for {row.name} is installed ({INSTALL})")
    if not is_written(data):
        raise NoSkeleton("it is too large to be compared")
    grammar = grammar_of(row)
    root = grammar.parser.parse(data).root_node
    if root.has_error and root.descendant_count > MOST_BROKEN_NODES:
        raise NoSkeleton("its grammar does not understand it")
    comments = {
        node.id for node in captured(grammar.comments, root, "comment") if not _runs(node, data, row.name)
    }
    return _tokens(root, comments, data)


def _tokens(root: Any, comments: set[int], data: bytes) -> list[Token]:
    """Walk the tree; a node of which nothing but comments is left is not there."""
    tokens: list[Token] = []
    opened: list[int] = []
    at = 0
    cursor = root.walk()
    is_down = True
    while True:
        node = cursor.node
        if is_down:
            if node.id in comments:
                between = data[at : node.start_byte].strip()
                tokens += [("", between)] if between else []
                at = node.end_byte
            elif cursor.goto_first_child():
                opened.append(len(tokens))
                tokens.append((node.type, b"("))
                continue
            else:
                between = data[at : node.start_byte].strip()
                text = data[node.start_byte : node.end_byte]
                tokens += [("", between)] if between else []
                tokens += [(node.type, text)] if text.strip() or node.is_missing else []
                at = max(at, node.end_byte)
        if cursor.goto_next_sibling():
            is_down = True
            continue
        if not cursor.goto_parent():
            break
        is_down = False
        begin = opened.pop()
        if begin == len(tokens) - 1:
            tokens.pop()
        else:
            tokens.append((cursor.node.type, b")"))
    rest = data[at:].strip()
    return [*tokens, ("", rest)] if rest else tokens


def _runs(node: Any, data: bytes, language: str) -> bool:
    """Whether what looks like a comment is more than that."""
    if node.type == "string":  # A docstring; one that computes something is code.
        return any(child.type == "interpolation" for child in node.children)
    text = data[node.start_byte : node.end_byte]
    return _DIRECTIVE.match(text) is not None or (language == "Java" and _ESCAPE.search(text) is not None)
