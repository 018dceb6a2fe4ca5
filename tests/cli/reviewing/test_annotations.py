"""Workflow commands, read as GitHub's runner reads them."""

import pytest

from exai.cli.reviewing.annotations import annotations_of
from exai.workflows.review.categories import Severity
from support.findings import found


def commands_in(text: str) -> list[tuple[str, dict[str, str], str]]:
    """Read commands: `::NAME KEY=VALUE,KEY=VALUE::DATA`, with the escapes that the runner undoes."""
    commands = []
    for line in text.splitlines():
        assert line.startswith("::"), line
        head, _, data = line[2:].partition("::")
        name, _, rest = head.partition(" ")
        pairs = dict(each.split("=", 1) for each in rest.split(","))
        commands.append((name, {key: _undone(value) for key, value in pairs.items()}, _undone(data)))
    return commands


def _undone(text: str) -> str:
    for escape, sign in (("%0D", "\r"), ("%0A", "\n"), ("%3A", ":"), ("%2C", ","), ("%25", "%")):
        text = text.replace(escape, sign)
    return text


@pytest.mark.parametrize(
    ("severity", "command"),
    [("critical", "error"), ("high", "error"), ("medium", "warning"), ("low", "notice")],
)
def test_a_finding_stands_beside_its_lines(severity: Severity, command: str) -> None:
    ((name, properties, told),) = commands_in(annotations_of([found(severity=severity)]))
    assert name == command
    assert properties == {
        "file": "src/pool.py",
        "line": "41",
        "endLine": "44",
        "title": f"{severity}: resource-leak",
    }
    assert told.splitlines()[-1] == "Check: pytest tests/test_pool.py"


def test_no_text_of_others_ends_a_command_or_begins_another() -> None:
    wicked = "100%,a=b::x\r\n::add-mask::y\n::error::z"
    text = annotations_of([found(path=f"a,{wicked}", message=wicked)], [wicked])
    (_, properties, told), (name, _, note) = commands_in(text)
    assert text.count("\n") == 2
    assert properties["file"] == f"a,{wicked}"
    assert told.startswith(wicked)
    assert (name, note) == ("notice", wicked)


def test_nothing_found_is_nothing_written() -> None:
    assert annotations_of([]) == ""
