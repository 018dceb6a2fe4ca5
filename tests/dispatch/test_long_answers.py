"""Long answers: the beginning is shown, the whole is a file of the caller that `files` reads on."""

import json
from pathlib import Path

import pytest

from exai.callers import Caller, Door
from exai.conversations.estimates import estimate_tokens
from exai.dispatch.long_answers import MOST_CHARACTERS, MOST_TOKENS, LongAnswers
from exai.storage.database import Database
from exai.tools.base import ToolAnswer
from support.shelves import OpenShelf

ME = Caller("me", Door.HTTP, scopes=frozenset({"tools:models", "files"}))


def answer_with(text: str) -> ToolAnswer:
    """An answer of `chat`."""
    structured = {"continuation_id": "conv_1", "notes": ["Short."], "answer": text}
    return ToolAnswer(f"[continuation_id: conv_1]\nNote: Short.\n\n{text}", structured, {"exai/report": {}})


async def read(shelf: OpenShelf, file_id: str, line: int) -> str:
    """What `files` reads from a line on."""
    pages: list[str] = []
    while True:
        lines = await shelf.text.read("me", file_id, line, line + 1_999)
        pages += lines.lines
        if lines.next_line is None and line + 2_000 > lines.total:
            return "\n".join(pages)
        line = lines.next_line or line + 2_000


@pytest.mark.sqlite
@pytest.mark.parametrize(
    "line",
    [
        "A line of words that says little.",
        "第一行有很多字，但是说得很少。",
        "🙂" * 40,
        "x = f(a, b) # {0: [1]}",
    ],
)
async def test_a_long_answer_is_bounded_and_nothing_of_it_is_lost(
    database: Database, tmp_path: Path, line: str
) -> None:
    shelf = OpenShelf(database, tmp_path / "files")
    whole = "\n".join(f"{number} {line}" for number in range(6_000))
    short = await LongAnswers(shelf.shelf).shortened(answer_with(whole), ME, "call_1")
    assert short.structured is not None
    for text in (short.text, json.dumps(short.structured, ensure_ascii=False)):
        assert len(text) <= MOST_CHARACTERS
        assert estimate_tokens(text) <= MOST_TOKENS
    (more,) = short.structured["more"]
    shown = short.structured["answer"]
    assert whole.startswith(shown)
    assert len(shown) > 3_000
    assert shown in short.text
    assert more["id"] in short.text
    assert next(iter(short.structured)) == "continuation_id"
    assert short.text.startswith("[continuation_id: conv_1]\nNote: The answer is longer")
    assert shown + await read(shelf, more["id"], more["from_line"]) == whole


@pytest.mark.sqlite
async def test_a_caller_may_want_less(database: Database, tmp_path: Path) -> None:
    shelf = OpenShelf(database, tmp_path / "files")
    whole = "\n".join(f"{number} words" for number in range(2_000))
    short = await LongAnswers(shelf.shelf).shortened(answer_with(whole), ME, "call_1", 1_000)
    assert estimate_tokens((short.structured or {})["answer"]) <= 1_000
    assert await LongAnswers(shelf.shelf).shortened(short, ME, "call_1", 1_000) == short


@pytest.mark.sqlite
async def test_one_who_has_no_files_gets_all_of_it(database: Database, tmp_path: Path) -> None:
    shelf = OpenShelf(database, tmp_path / "files", max_owner_files=1)
    long = answer_with("words\n" * 20_000)
    other = Caller("me", Door.HTTP, scopes=frozenset({"tools:models"}))
    assert await LongAnswers(shelf.shelf).shortened(long, other, "call_1") == long
    assert (await LongAnswers(shelf.shelf).shortened(long, ME, "call_1")) != long
    longer = answer_with("other words\n" * 20_000)
    assert await LongAnswers(shelf.shelf).shortened(longer, ME, "call_2") == longer, "there is no room for it"


@pytest.mark.sqlite
async def test_what_stands_beside_a_long_answer_stays(database: Database, tmp_path: Path) -> None:
    """The handle first, where else to read on, and links."""
    shelf = OpenShelf(database, tmp_path / "files")
    first = {"id": "file_1", "from_line": 1}
    links = [{"type": "resource_link", "uri": "exai://files/file_1", "name": "a.patch"}]
    structured = {"continuation_id": "conv_1", "more": [first], "answer": "line\n" * 20_000}
    answer = ToolAnswer(f"[continuation_id: conv_1]\n\n{structured['answer']}", structured, links=links)
    short = await LongAnswers(shelf.shelf).shortened(answer, ME, "call_1")
    assert short.structured is not None
    assert next(iter(short.structured)) == "continuation_id"
    assert short.structured["more"][0] == first
    assert len(short.structured["more"]) == 2
    assert short.links == links


@pytest.mark.sqlite
@pytest.mark.parametrize("has_answer", [True, False])
async def test_lists_are_bounded_too_and_all_of_them_are_in_the_file(
    database: Database, tmp_path: Path, has_answer: bool
) -> None:
    shelf = OpenShelf(database, tmp_path / "files")
    findings = [{"id": f"f_{number}", "message": "It leaks. " * 20} for number in range(300)]
    text = "[continuation_id: conv_1]\n\n" + "\n".join(f"{each['id']} {each['message']}" for each in findings)
    structured = {"continuation_id": "conv_1", "notes": ["Short."], "findings": findings, "few": [1, 2]}
    structured |= {"answer": "2 high. " * 400} if has_answer else {}
    short = await LongAnswers(shelf.shelf).shortened(ToolAnswer(text, structured, {}), ME, "call_1")
    assert short.structured is not None
    for form in (short.text, json.dumps(short.structured, ensure_ascii=False)):
        assert len(form) <= MOST_CHARACTERS
        assert estimate_tokens(form) <= MOST_TOKENS
    shown = short.structured["findings"]
    assert shown == findings[: len(shown)]
    assert len(shown) > 50
    assert short.structured["few"] == [1, 2]
    assert next(iter(short.structured)) == "continuation_id"
    assert f"({len(shown)} of 300 of findings)" in short.structured["notes"][0]
    (more,) = short.structured["more"]
    assert (await read(shelf, more["id"], 1)).rstrip() == text.rstrip()
    assert f"from_line {more['from_line']}" in short.text
