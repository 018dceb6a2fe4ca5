"""The dashboard's page holds to its policy by itself: no script or style in the markup, texts as text alone."""

import re
from importlib import resources

PAGE = resources.files("exai.dashboard.page")
MARKUP = PAGE.joinpath("index.html").read_text(encoding="utf-8")
SCRIPT = PAGE.joinpath("page.js").read_text(encoding="utf-8")
STYLE = PAGE.joinpath("page.css").read_text(encoding="utf-8")
WAYS_OF_MARKUP = (
    "innerHTML",
    "outerHTML",
    "insertAdjacentHTML",
    "document.write",
    "eval(",
    "Function(",
    "Fragment(",
)


def test_the_markup_has_no_script_no_style_and_no_handler_of_its_own() -> None:
    assert re.findall(r"<script[^>]*>(.*?)</script>", MARKUP, re.DOTALL) == [""]
    assert re.findall(r"<style|\sstyle=|\son[a-z]+=|javascript:", MARKUP) == []


def test_nothing_is_asked_of_another_host() -> None:
    assert re.findall(r"(?:src|href)=\"(?!/)[^\"]*", MARKUP) == []
    assert re.findall(r"https?:|wss?:", SCRIPT) == []
    assert re.findall(r"url\(|@import", STYLE) == []


def test_nothing_enters_the_page_but_as_text() -> None:
    assert [way for way in WAYS_OF_MARKUP if way in SCRIPT] == []


def test_every_element_that_the_script_looks_for_is_in_the_markup() -> None:
    wanted = set(re.findall(r"(?:byId|pairs|rows)\(\s*\"([a-z-]+)\"", SCRIPT))
    assert len(wanted) >= 8
    assert wanted <= set(re.findall(r"id=\"([a-z-]+)\"", MARKUP))
