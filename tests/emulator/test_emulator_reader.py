"""The persona `reader` answers from what it was shown, and from nothing else."""

import base64
import json
from typing import Any

import pytest

from exai_emulator import Emulator, Persona
from support.documents import numbered, pdf_of

LINES = numbered(500)
READ_LINES = {
    "type": "function",
    "function": {
        "name": "read_lines",
        "description": "Read lines of a text.",
        "parameters": {
            "type": "object",
            "properties": {
                "file": {"type": "string"},
                "from_line": {"type": "integer"},
                "to_line": {"type": "integer"},
            },
            "required": ["file", "from_line"],
        },
    },
}
SEARCH_FILE = {
    "type": "function",
    "function": {
        "name": "search_file",
        "description": "Find lines.",
        "parameters": {
            "type": "object",
            "properties": {"file": {"type": "string"}, "pattern": {"type": "string"}},
            "required": ["file", "pattern"],
        },
    },
}
DOORS = ["glm", "kimi", "custom"]


def spelled(first: int, last: int) -> str:
    return "".join(f"{number:>4}│{LINES[number - 1]}\n" for number in range(first, last + 1))


def whole(name: str, first: int, last: int, file_id: str = "E1") -> str:
    return (
        f"<<<FILE {file_id} {name} lines {first}-{last} of {last} sha256:ab>>>\n{spelled(first, last)}"
        f"<<<END {file_id} sha256:ab>>>\n"
    )


EXCERPT = (
    f"<<<FILE E1 ledger.txt lines 1-60, 461-500 of 500 sha256:ab12>>>\n{spelled(1, 60)}"
    "<<<NOT SHOWN E1 lines 61-460; read_lines and search_file read them>>>\n"
    "<<<OUTLINE E1, of the lines that are not shown>>>\n 100│entry… [20 more characters]\n<<<END OUTLINE>>>\n"
    f"{spelled(461, 500)}<<<END E1 sha256:ab12>>>\n"
)


@pytest.fixture(params=DOORS)
def door(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def reading(emulator: Emulator, ask: Any) -> Any:
    """Ask the reader; returns its text and its calls."""
    emulator.persona = Persona("reader")

    async def send(door: str, *messages: dict[str, Any], **fields: Any) -> tuple[str, list[Any]]:
        reply = await ask(door, messages=list(messages), **fields)
        assert reply.status == 200, reply.content
        message = reply.json["choices"][0]["message"]
        return message["content"] or "", message.get("tool_calls") or []

    return send


def user(text: Any) -> dict[str, Any]:
    return {"role": "user", "content": text}


async def test_lines_that_were_shown_are_known(reading: Any, door: str) -> None:
    said, calls = await reading(
        door, user(EXCERPT + "What is line 3? And the last line? How many lines are there?")
    )
    assert not calls
    assert f"Line 3 of ledger.txt is: {LINES[2]}" in said
    assert f"The last line, 500, of ledger.txt is: {LINES[499]}" in said
    assert "ledger.txt has 500 lines." in said


async def test_lines_that_were_not_shown_are_not_made_up(reading: Any, door: str) -> None:
    said, calls = await reading(door, user(EXCERPT + "What is line 77?"))
    assert (calls, "Line 77 of ledger.txt was not shown." in said) == ([], True)
    said, _ = await reading(door, user(EXCERPT + "What is line 100?"))
    assert "shown in part: entry… [20 more characters]" in said
    said, _ = await reading(door, user(EXCERPT + "What is line 501?"))
    assert "500 lines and no line 501" in said
    said, _ = await reading(door, user("What is line 3?"))
    assert said.endswith("No file or text was shown.")
    assert not any(line in said for line in LINES)


async def answered(
    reading: Any, door: str, question: str, tools: list[Any], results: dict[str, str]
) -> tuple[str, list[dict[str, Any]]]:
    """Ask, and answer its calls by the name of the tool; its last words and all arguments of its calls."""
    messages: list[dict[str, Any]] = [user(EXCERPT + question)]
    made: list[dict[str, Any]] = []
    while True:
        said, calls = await reading(door, *messages, tools=tools)
        if not calls:
            return said, made
        messages.append({"role": "assistant", "content": said, "tool_calls": calls, "reasoning_content": "x"})
        for call in calls:
            made.append(json.loads(call["function"]["arguments"]))
            content = results[call["function"]["name"]]
            messages.append({"role": "tool", "tool_call_id": call["id"], "content": content})


async def test_what_was_not_shown_is_read_by_the_tools_offered(reading: Any, door: str) -> None:
    tools = [SEARCH_FILE, READ_LINES]
    results = {"read_lines": f"E1 lines 70-80 of 500\n{spelled(70, 80)}", "search_file": spelled(300, 300)}
    said, made = await answered(reading, door, "What is line 77?", tools, results)
    assert made == [{"file": "E1", "from_line": 77, "to_line": 77}]
    assert f"Line 77 of ledger.txt is: {LINES[76]}" in said
    holds = LINES[299].partition("holds ")[2]
    said, made = await answered(reading, door, f'Which line holds "{holds}"?', tools, results)
    assert made == [{"file": "E1", "pattern": holds}]
    assert f"'{holds}' is in line 300 of ledger.txt." in said


async def test_a_tool_that_does_not_help_is_asked_once(reading: Any, door: str) -> None:
    said, made = await answered(
        reading, door, "What is line 77?", [READ_LINES], {"read_lines": "There is no E1."}
    )
    assert len(made) == 1
    assert "was not shown. The tool said: There is no E1." in said


async def test_a_question_may_name_one_of_several_files(reading: Any, door: str) -> None:
    shown = whole("src/a.txt", 1, 5) + whole("src/b.txt", 1, 9, "E2")
    said, _ = await reading(door, user(shown + "What is the last line of b.txt?"))
    assert f"The last line, 9, of src/b.txt is: {LINES[8]}" in said
    assert "a.txt" not in said
    said, _ = await reading(door, user(shown + "What is the last line of E1?"))
    assert "The last line, 5, of src/a.txt" in said
    said, _ = await reading(door, user(shown + "What is line 6?"))
    assert "src/a.txt has 5 lines and no line 6." in said
    assert LINES[5] in said


async def test_text_that_a_provider_extracted_is_known(reading: Any, door: str) -> None:
    text = "\n".join(LINES)
    held = json.dumps({"content": text, "filename": "ledger.pdf", "type": "file"})
    for content in (text, held):
        said, _ = await reading(
            door, {"role": "system", "content": content}, user("What is line 77? The last line?")
        )
        assert LINES[76] in said
        assert LINES[499] in said


async def test_a_file_part_is_known(reading: Any) -> None:
    encoded = base64.b64encode(pdf_of(LINES[:40])).decode()
    part = {"type": "file", "file": {"file_data": encoded, "filename": "a.pdf"}}
    question = {"type": "text", "text": "What is line 3 and the last line?"}
    said, _ = await reading("glm", user([part, question]), model="glm-5.3-flash")
    assert f"Line 3 of a.pdf is: {LINES[2]}" in said
    assert LINES[39] in said
