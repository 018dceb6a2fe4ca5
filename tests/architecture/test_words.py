"""Public names use the field's words; CONTRIBUTING.md has the glossary."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from exai.cli.command_group import SUMMARIES, load_command
from exai.config.tree import rows

ROOT = Path(__file__).parents[2]
EXAI = ROOT / "src" / "exai"

REPLACED = {
    "anew": "again",
    "came": "received",
    "believed": "valid",
    "book": "reports",
    "ear": "delta tap",
    "entrance": "auth gate",
    "figure": "sample",
    "figures": "samples",
    "handed": "written",
    "hear": "receive",
    "heard": "received",
    "hears": "receives",
    "holds": "held",
    "house": "services",
    "insist": "durable",
    "insisting": "durable",
    "insists": "durable",
    "mend": "fix",
    "mended": "fixable",
    "mends": "fixes",
    "newcomer": "unauthenticated connection",
    "newcomers": "unauthenticated connections",
    "papers": "docs",
    "roster": "model router",
    "said": "sent",
    "say": "send",
    "says": "message",
    "spell": "encode",
    "spelled": "encoded",
    "spelling": "encoding",
    "standing": "revocation state",
    "superseded": "due",
    "tell": "report",
    "tells": "reports",
    "told": "reported",
    "untold": "pending",
    "visit": "authorized request",
    "whoever": "caller",
}
"""Words that no public name uses, and the field's term for each."""

LITERAL = re.compile(r"exai[_/][a-z_/-]+")
"""Metrics, and the keys of `_meta`."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


def words(name: str) -> list[str]:
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)]


def test_names_are_split_into_words() -> None:
    assert words("McpHTTPDoor_mended-by.x2") == ["mcp", "http", "door", "mended", "by", "x"]


def exported(tree: ast.Module) -> set[str]:
    for node in tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id="__all__")], value=value):
                return set(ast.literal_eval(value))
    return set()


def parameters(function: Function) -> Iterator[str]:
    arguments = function.args
    for each in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
        yield each.arg


def members(definition: ast.ClassDef) -> Iterator[str]:
    """Public fields, attributes, methods and their parameters; the fields of frames and results among them."""
    for node in definition.body:
        match node:
            case ast.AnnAssign(target=ast.Name(id=name)):
                yield name
            case (ast.FunctionDef() | ast.AsyncFunctionDef()) as method:
                yield method.name
                if not method.name.startswith("_") or method.name == "__init__":
                    yield from parameters(method)
    for part in ast.walk(definition):
        match part:
            case ast.Attribute(value=ast.Name(id="self"), attr=name, ctx=ast.Store()):
                yield name


def names_in_source() -> Iterator[tuple[str, str]]:
    """Each public name of the source, with the file in which it is."""
    for path in EXAI.rglob("*.py"):
        place = path.relative_to(EXAI).as_posix()
        yield place, place.removesuffix(".py")
        tree = ast.parse(path.read_text(encoding="utf-8"))
        public = exported(tree)
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield from ((place, name) for name in LITERAL.findall(node.value))
        for node in tree.body:
            match node:
                case ast.ClassDef(name=name) if name in public:
                    yield from ((place, each) for each in members(node))
                case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) if name in public:
                    yield from ((place, each) for each in parameters(node))
        yield from ((place, name) for name in public)


def names_of_users() -> Iterator[tuple[str, str]]:
    """Settings and the command line's options."""
    for row in rows():
        yield "settings", row.key
    for name in SUMMARIES:
        command = load_command(name)
        for each in (command, *getattr(command, "commands", {}).values()):
            yield from (("command line", option) for parameter in each.params for option in parameter.opts)


def test_no_public_name_uses_a_word_that_was_replaced() -> None:
    found = {
        f"{place}: {name} ({word}: {REPLACED[word]})"
        for place, name in (*names_in_source(), *names_of_users())
        if not name.rpartition("/")[2].startswith("_")
        for word in words(name)
        if word in REPLACED
    }
    assert sorted(found) == []
