"""The page holds to its policy by itself: no script or style in the markup, texts as text, nothing of other hosts."""

import re
from importlib import resources
from pathlib import Path

import pytest

from exai.dashboard import page

ROOT = Path(str(resources.files(page)))
MARKUP = (ROOT / "index.html").read_text(encoding="utf-8")
MODULES = sorted(path for path in ROOT.rglob("*.js") if path.parent.name != "vendor")
STYLE = (ROOT / "page.css").read_text(encoding="utf-8")
WAYS_OF_MARKUP = (
    "innerHTML",
    "outerHTML",
    "insertAdjacentHTML",
    "document.write",
    "eval(",
    "Function(",
    "createContextualFragment",
    "dangerouslySetInnerHTML",
    "srcdoc",
    "javascript:",
)
MOST_LINES = 500
IMPORT = re.compile(r"(?:\bfrom|\bimport\()\s*\"([a-z./][^\"]*)\"")

EACH_MODULE = pytest.mark.parametrize("module", MODULES, ids=lambda path: path.stem)


def imported(module: Path) -> list[str]:
    return IMPORT.findall(module.read_text(encoding="utf-8"))


def test_the_markup_has_no_script_but_the_import_map_no_style_and_no_handler() -> None:
    scripts = re.findall(r"<script([^>]*)>(.*?)</script>", MARKUP, re.DOTALL)
    assert [given.strip() for given, content in scripts if content] == ['type="importmap"']
    assert re.findall(r"<style|\sstyle=|\son[a-z]+=|javascript:", MARKUP) == []


def test_nothing_is_asked_of_another_host() -> None:
    assert re.findall(r"(?:src|href)=\"(?!/)[^\"]*", MARKUP) == []
    assert re.findall(r"url\(|@import", STYLE) == []


@EACH_MODULE
def test_nothing_enters_the_page_but_as_text(module: Path) -> None:
    text = module.read_text(encoding="utf-8")
    assert [way for way in WAYS_OF_MARKUP if way in text] == []
    assert re.findall(r"\b(?:https?|wss?):", text) == []


@EACH_MODULE
def test_a_module_is_small_and_says_what_it_is(module: Path) -> None:
    lines = module.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= MOST_LINES
    assert lines[0].startswith("// ")
    assert lines[0].endswith((".", ";", ",")) or lines[1].startswith("// ")


@EACH_MODULE
def test_what_a_module_imports_is_here_and_imports_run_down(module: Path) -> None:
    rank = {"page": 3, "pages": 2, "parts": 1, "core": 0}
    for name in imported(module):
        if not name.startswith("."):
            assert f'"{name}":' in MARKUP, name
            continue
        target = (module.parent / name).resolve()
        assert target.is_file(), name
        assert rank[target.parent.name] <= rank[module.parent.name], name
        assert {module.parent.name, target.parent.name} != {"pages"}, name


def test_every_module_is_imported() -> None:
    reached = {(module.parent / name).resolve() for module in MODULES for name in imported(module)}
    assert {path for path in MODULES if path.name != "main.js"} == reached & set(MODULES)


def test_every_class_of_the_style_sheet_is_used() -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in MODULES)
    named = set(re.findall(r"\.([a-z][a-z-]*)(?=[\s,.:>{])", STYLE))
    stages = {name for name in named if name.startswith("stage-")}
    assert {name for name in named - stages if not re.search(rf"\b{name}\b", text)} == set()
