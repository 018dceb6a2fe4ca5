"""What a line of a file holds is answered from the file, whatever its size and form, or it is said not to be shown.

The emulated model answers from nothing but what it is shown and what the reading tools return.
"""

from pathlib import Path

import pytest

from exai.errors import ToolFault
from exai.storage.database import Database
from exai_emulator.personas import Persona
from support.consulted_files import Talk
from support.desks import Desk
from support.documents import docx_of, numbered, pdf_of

pytestmark = pytest.mark.sqlite

MODELS = ["glm-5.3", "kimi-k3"]
FEW, MANY = 30, 40_000
"""Lines of about 1 kB and of 1 MB."""
DOCUMENT = 4_000
QUESTION = "What is line 3? What is the last line?"


@pytest.fixture
def talk(database: Database, tmp_path: Path, desk: Desk) -> Talk:
    desk.emulator.persona = Persona("reader")
    return Talk(database, tmp_path, desk)


def content_of(form: str, lines: list[str]) -> bytes:
    if form == "txt":
        return ("\n".join(lines) + "\n").encode()
    return pdf_of(lines) if form == "pdf" else docx_of(lines)


async def said(talk: Talk, *names: str, model: str, question: str) -> str:
    return (await talk.ask(*names, model=model, question=question)).completion.text


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(
    ("form", "count"),
    [("txt", FEW), ("txt", MANY), ("pdf", FEW), ("pdf", DOCUMENT), ("docx", FEW), ("docx", DOCUMENT)],
)
async def test_lines_are_answered_from_the_file(talk: Talk, model: str, form: str, count: int) -> None:
    lines = numbered(count)
    handle = await talk.put(f"ledger.{form}", content_of(form, lines))
    answer = await said(talk, handle, model=model, question=QUESTION)
    # The text of a PDF begins with a line `[page 1]`.
    assert (lines[1] if form == "pdf" else lines[2]) in answer
    assert lines[-1] in answer


@pytest.mark.parametrize("model", MODELS)
async def test_a_line_in_the_middle_is_read_and_found_by_the_tools(talk: Talk, model: str) -> None:
    lines = numbered(7 * MANY)
    handle = await talk.put("ledger.txt", content_of("txt", lines))
    middle, beyond = 3 * MANY, 8 * MANY
    assert lines[middle - 1] in await said(talk, handle, model=model, question=f"What is line {middle}?")
    assert f"no line {beyond}" in await said(talk, handle, model=model, question=f"What is line {beyond}?")
    held = lines[MANY].partition(" ")[2]
    answer = await said(talk, handle, model=model, question=f'Which line holds "{held}"?')
    assert f"is in line {MANY + 1} of" in answer


@pytest.mark.parametrize("model", MODELS)
async def test_what_was_not_sent_is_not_answered(talk: Talk, model: str) -> None:
    lines = numbered(FEW)
    await talk.put("ledger.txt", content_of("txt", lines))
    answer = await said(talk, model=model, question=QUESTION)
    assert not any(line in answer for line in lines)
    with pytest.raises(ToolFault):
        await said(talk, "file_" + "0" * 32, model=model, question=QUESTION)
