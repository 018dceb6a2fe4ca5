"""The languages whose syntax is read: grammars of tree-sitter, and what is looked for in each.

A grammar is loaded when a file first needs it; one that is not installed is named in reports.
"""

import importlib
import importlib.util
from dataclasses import dataclass
from functools import cache
from pathlib import PurePosixPath
from typing import Any

from tree_sitter import Language, Parser, Query

__all__ = ["INSTALL", "ROWS", "Grammar", "Row", "grammar_of", "is_missing", "missing_languages", "row_of"]

INSTALL = "pip install 'exai[languages]'"


@dataclass(frozen=True, slots=True)
class Row:
    """A language, and how its syntax says what is asked for.

    A pattern of `definitions` captures a part by its kind and the part's name as `@name`; `calls` capture names, and
    `comments` comments.
    """

    name: str
    suffixes: tuple[str, ...]
    module: str
    definitions: str
    calls: str
    comments: str = "(comment) @comment"
    function: str = "language"


@dataclass(frozen=True, slots=True)
class Grammar:
    """A language that can be read."""

    row: Row
    parser: Any
    definitions: Any
    calls: Any
    comments: Any


_JAVASCRIPT = """
(function_declaration name: (_) @name) @function
(generator_function_declaration name: (_) @name) @function
(class_declaration name: (_) @name) @class
(method_definition name: (_) @name) @method
(variable_declarator name: (identifier) @name value: [(arrow_function) (function_expression)]) @function
(pair key: (property_identifier) @name value: [(arrow_function) (function_expression)]) @method
"""
_TYPESCRIPT = f"""{_JAVASCRIPT}
(abstract_class_declaration name: (_) @name) @class
(interface_declaration name: (_) @name) @interface
(enum_declaration name: (_) @name) @enum
(type_alias_declaration name: (_) @name) @type
"""
_JAVASCRIPT_CALLS = """
(call_expression function: (identifier) @name)
(call_expression function: (member_expression property: (_) @name))
(new_expression constructor: (identifier) @name)
"""
_TYPESCRIPT_CALLS = f"{_JAVASCRIPT_CALLS} (type_identifier) @name"
_TWO_COMMENTS = "[(line_comment) (block_comment)] @comment"

ROWS = (
    Row(
        "Python",
        (".py", ".pyi"),
        "tree_sitter_python",
        "(function_definition name: (_) @name) @function (class_definition name: (_) @name) @class",
        """
        (call function: (identifier) @name)
        (call function: (attribute attribute: (_) @name))
        (decorator (identifier) @name)
        (class_definition superclasses: (argument_list (identifier) @name))
        (type (identifier) @name)
        """,
        "(comment) @comment (expression_statement . (string) @comment .)",
    ),
    Row(
        "TypeScript",
        (".ts", ".mts", ".cts"),
        "tree_sitter_typescript",
        _TYPESCRIPT,
        _TYPESCRIPT_CALLS,
        function="language_typescript",
    ),
    Row(
        "TSX",
        (".tsx",),
        "tree_sitter_typescript",
        _TYPESCRIPT,
        _TYPESCRIPT_CALLS,
        function="language_tsx",
    ),
    Row(
        "JavaScript",
        (".js", ".jsx", ".mjs", ".cjs"),
        "tree_sitter_javascript",
        _JAVASCRIPT,
        _JAVASCRIPT_CALLS,
    ),
    Row(
        "Go",
        (".go",),
        "tree_sitter_go",
        """
        (function_declaration name: (_) @name) @function
        (method_declaration name: (_) @name) @method
        (type_spec name: (_) @name) @type
        """,
        """
        (call_expression function: (identifier) @name)
        (call_expression function: (selector_expression field: (_) @name))
        (type_identifier) @name
        """,
    ),
    Row(
        "Rust",
        (".rs",),
        "tree_sitter_rust",
        """
        (function_item name: (_) @name) @function
        (struct_item name: (_) @name) @struct
        (enum_item name: (_) @name) @enum
        (trait_item name: (_) @name) @trait
        (impl_item type: (_) @name) @impl
        (mod_item name: (_) @name) @module
        (macro_definition name: (_) @name) @macro
        """,
        """
        (call_expression function: (identifier) @name)
        (call_expression function: (field_expression field: (_) @name))
        (call_expression function: (scoped_identifier name: (_) @name))
        (macro_invocation macro: (identifier) @name)
        (type_identifier) @name
        """,
        _TWO_COMMENTS,
    ),
    Row(
        "Java",
        (".java",),
        "tree_sitter_java",
        """
        (class_declaration name: (_) @name) @class
        (interface_declaration name: (_) @name) @interface
        (enum_declaration name: (_) @name) @enum
        (record_declaration name: (_) @name) @record
        (method_declaration name: (_) @name) @method
        (constructor_declaration name: (_) @name) @method
        """,
        "(method_invocation name: (_) @name) (type_identifier) @name",
        _TWO_COMMENTS,
    ),
    Row(
        "C",
        (".c", ".h"),
        "tree_sitter_c",
        """
        (function_definition declarator: (function_declarator declarator: (_) @name)) @function
        (function_definition declarator: (pointer_declarator (function_declarator declarator: (_) @name))) @function
        (struct_specifier name: (_) @name body: (_)) @struct
        (enum_specifier name: (_) @name body: (_)) @enum
        """,
        "(call_expression function: (identifier) @name)",
    ),
    Row(
        "C++",
        (".cc", ".cpp", ".cxx", ".hh", ".hpp", ".hxx"),
        "tree_sitter_cpp",
        """
        (function_definition declarator: (function_declarator declarator: (_) @name)) @function
        (class_specifier name: (_) @name body: (_)) @class
        (struct_specifier name: (_) @name body: (_)) @struct
        (namespace_definition name: (_) @name) @namespace
        """,
        """
        (call_expression function: (identifier) @name)
        (call_expression function: (field_expression field: (_) @name))
        """,
    ),
    Row(
        "C#",
        (".cs",),
        "tree_sitter_c_sharp",
        """
        (class_declaration name: (_) @name) @class
        (struct_declaration name: (_) @name) @struct
        (interface_declaration name: (_) @name) @interface
        (enum_declaration name: (_) @name) @enum
        (record_declaration name: (_) @name) @record
        (method_declaration name: (_) @name) @method
        (constructor_declaration name: (_) @name) @method
        """,
        """
        (invocation_expression function: (identifier) @name)
        (invocation_expression function: (member_access_expression name: (_) @name))
        (object_creation_expression type: (identifier) @name)
        """,
    ),
    Row(
        "Ruby",
        (".rb",),
        "tree_sitter_ruby",
        """
        (method name: (_) @name) @method
        (singleton_method name: (_) @name) @method
        (class name: (_) @name) @class
        (module name: (_) @name) @module
        """,
        "(call method: (_) @name)",
    ),
    Row(
        "PHP",
        (".php",),
        "tree_sitter_php",
        """
        (function_definition name: (_) @name) @function
        (class_declaration name: (_) @name) @class
        (interface_declaration name: (_) @name) @interface
        (trait_declaration name: (_) @name) @trait
        (method_declaration name: (_) @name) @method
        """,
        "(function_call_expression function: (name) @name) (member_call_expression name: (name) @name)",
        function="language_php",
    ),
    Row(
        "Bash",
        (".sh", ".bash"),
        "tree_sitter_bash",
        "(function_definition name: (_) @name) @function",
        "(command name: (command_name) @name)",
    ),
)
_BY_SUFFIX = {suffix: row for row in ROWS for suffix in row.suffixes}


def row_of(path: str) -> Row | None:
    """Return the language of a file, by its suffix."""
    return _BY_SUFFIX.get(PurePosixPath(path).suffix.lower())


def missing_languages() -> list[str]:
    """List the languages whose grammars are not installed."""
    return list(dict.fromkeys(row.name for row in ROWS if is_missing(row)))


def is_missing(row: Row) -> bool:
    """Return whether the grammar of a language is not installed."""
    return importlib.util.find_spec(row.module) is None


@cache
def grammar_of(row: Row) -> Grammar:
    """Load the grammar of a language, which is installed."""
    language = Language(getattr(importlib.import_module(row.module), row.function)())
    return Grammar(
        row,
        Parser(language),
        Query(language, row.definitions),
        Query(language, row.calls),
        Query(language, row.comments),
    )
