"""What calls what in a workspace."""

from pathlib import Path

import pytest

from evidence.test_trees import tree, write
from exai.errors import BadArguments
from exai.evidence.code import syntax
from exai.evidence.collection import graph
from exai.evidence.collection.collector import gather
from exai.evidence.collection.graph import trace
from exai.evidence.pieces import Bounds, Wanted
from exai.evidence.reading import Reader
from exai.evidence.requests import Graph

FILES = {
    "shop/cart.py": "from shop.price import total\n\n\nclass Cart:\n    def pay(self):\n        return total(self)\n",
    "shop/price.py": (
        "from shop.tax import tax_of\n\n\ndef total(cart):\n    return tax_of(cart) + twice(1)\n\n\n"
        "def twice(n):\n    return n\n"
    ),
    "shop/tax.py": "def tax_of(cart):\n    return 1\n",
    "other/tax.py": "def tax_of(x):\n    return 2\n",
    "web/page.py": "from shop.cart import Cart\n\n\ndef show():\n    return Cart().pay()\n",
    "tests/test_cart.py": "from shop.cart import Cart\n\n\ndef test_pay():\n    assert Cart().pay()\n",
    "notes.md": "# One\n## total\n",
}


@pytest.fixture
def reader(tmp_path: Path) -> Reader:
    write(tmp_path, **FILES)
    return Reader(tree(tmp_path))


def edges(found: Graph) -> set[tuple[str, str, bool]]:
    return {(found.nodes[e.caller].name, found.nodes[e.called].name, e.is_sure) for e in found.edges}


def test_a_trace_goes_to_what_is_called_and_one_step_back(reader: Reader) -> None:
    found = trace(reader, "Cart.pay", "trace", Bounds())
    assert edges(found) == {
        ("Cart.pay", "total", True),
        ("total", "tax_of", False),
        ("total", "twice", True),
        ("show", "Cart.pay", True),
        ("test_pay", "Cart.pay", True),
    }
    assert [(node.path, node.name) for node in found.nodes[: found.starts]] == [("shop/cart.py", "Cart.pay")]
    assert ("shop/tax.py", "tax_of") in {(node.path, node.name) for node in found.nodes}
    assert [piece.path for piece in found.pieces] == [node.path for node in found.nodes]
    assert not found.has_more


def test_dependencies_are_followed_two_steps_back(reader: Reader) -> None:
    found = trace(reader, "shop/price.py", "dependencies", Bounds())
    assert found.starts == 2
    assert {("Cart.pay", "total", True), ("show", "Cart.pay", True), ("total", "twice", True)} <= edges(found)


@pytest.mark.parametrize("target", ["total", "shop/price.py:total", "./shop/price.py:total", "price::total"])
def test_a_target_is_a_name_or_a_path(reader: Reader, target: str) -> None:
    if target == "price::total":
        with pytest.raises(BadArguments):
            trace(reader, target, "trace", Bounds())
    else:
        assert trace(reader, target, "trace", Bounds()).nodes[0].name == "total"


@pytest.mark.parametrize(
    "target", ["nothing", "Cart.nothing", "shop/none.py", "notes.md", "shop/tax.py:none", " ", ":"]
)
def test_a_target_that_nothing_is_called_is_refused(reader: Reader, target: str) -> None:
    with pytest.raises(BadArguments, match="Nothing in the workspace"):
        trace(reader, target, "trace", Bounds())


def test_a_target_may_be_short(tmp_path: Path) -> None:
    write(tmp_path, **{"a.py": "def f():\n    pass\n\n\ndef other():\n    f()\n"})
    assert edges(trace(Reader(tree(tmp_path)), "f", "trace", Bounds())) == {("other", "f", True)}


def test_a_graph_has_bounds(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph, "MOST_NODES", 2)
    found = trace(reader, "Cart.pay", "trace", Bounds())
    assert (len(found.nodes), found.has_more) == (2, True)
    monkeypatch.undo()
    monkeypatch.setattr(graph, "MOST_EDGES", 1)
    found = trace(reader, "Cart.pay", "trace", Bounds())
    assert (len(found.edges), found.has_more) == (1, True)


def test_a_grammar_that_is_missing_is_named_in_the_same_words_everywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(syntax, "is_missing", lambda row: row.name == "C")
    write(tmp_path, **FILES, **{"shop/total.c": "int total() {\n  return 1;\n}\n"})
    reader = Reader(tree(tmp_path))
    found = trace(reader, "shop/cart.py", "trace", Bounds())
    assert found.notes == ("no grammar for C is installed (pip install 'exai[languages]')",)
    assert found.notes == gather(reader, ("structure",), Wanted(paths=("shop",)), Bounds()).notes


def outlined(reader: Reader, *paths: str) -> list[str]:
    found = gather(reader, ("structure",), Wanted(paths=paths), Bounds())
    return [piece.path for piece in found.pieces]


def test_the_structure_is_the_outlines_of_files(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    assert outlined(reader, "shop") == ["shop/cart.py", "shop/price.py", "shop/tax.py"]
    assert outlined(reader, "./web/page.py") == ["web/page.py"]
    assert len(outlined(reader)) == 6
    monkeypatch.setattr(graph, "MOST_OUTLINES", 2)
    assert len(outlined(reader)) == 2
