"""The list of commands, which is printed without importing any of them."""

from pathlib import Path

import pytest

from exai.cli import commands
from exai.cli.command_group import SUMMARIES, load_command

MODULES = {path.stem for path in Path(commands.__file__).parent.glob("[a-z]*.py")}


def test_every_command_module_is_listed() -> None:
    assert set(SUMMARIES) == MODULES


@pytest.mark.parametrize("name", SUMMARIES)
def test_a_summary_is_the_first_line_of_the_help(name: str) -> None:
    command = load_command(name)
    assert SUMMARIES[name] == command.help.splitlines()[0]
    assert command.name in {name, ""}
