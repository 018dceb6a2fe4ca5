"""The list of commands, which is printed without importing any of them."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from exai.cli import build_app, commands
from exai.cli.command_group import SUMMARIES, load_command
from exai.cli.commands.auditor.group import AuditorGroup
from exai.cli.commands.baseline.group import BaselineGroup
from exai.cli.commands.errors.group import ErrorsGroup
from exai.cli.commands.files.group import FilesGroup
from exai.cli.commands.notify.group import NotifyGroup
from exai.cli.commands.workflows.group import WorkflowsGroup

COMMANDS = Path(commands.__file__).parent
NESTED = {
    "auditor": AuditorGroup,
    "baseline": BaselineGroup,
    "errors": ErrorsGroup,
    "files": FilesGroup,
    "notify": NotifyGroup,
    "workflows": WorkflowsGroup,
}
"""Groups whose commands have a folder of modules."""
MODULES = {path.stem for path in COMMANDS.rglob("[a-z]*.py") if path.parent.name not in NESTED}


def test_every_command_module_is_listed() -> None:
    assert set(SUMMARIES) == MODULES | NESTED.keys()
    for name, group in NESTED.items():
        modules = {path.stem for path in (COMMANDS / name).glob("[a-z]*.py")}
        assert {group.modules.get(each, each) for each in group.summaries} == modules - {"group"}


@pytest.mark.parametrize("name", SUMMARIES)
def test_a_summary_is_the_first_line_of_the_help(name: str) -> None:
    command = load_command(name)
    assert SUMMARIES[name] == command.help.splitlines()[0]
    assert command.name in {name, ""}


@pytest.mark.parametrize(
    ("group", "name"), [(group, name) for group, kind in NESTED.items() for name in kind.summaries]
)
def test_a_summary_of_a_group_begins_its_help(group: str, name: str) -> None:
    command = load_command(group).get_command(None, name)
    assert command.help.startswith(NESTED[group].summaries[name].removesuffix(".")), "the list may say less"
    assert command.name == name


@pytest.mark.parametrize("arguments", [[], ["token"], ["keys"], ["files"], ["workflows"]])
def test_help_is_asked_for_by_h_and_no_summary_is_cut(arguments: list[str]) -> None:
    for name in ("-h", "--help"):
        result = CliRunner().invoke(build_app(), [*arguments, name])
        assert result.exit_code == 0
        assert "..." not in result.output.partition("Commands:")[2]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("exai to", "token"),
        ("exai token rev", "revoke"),
        ("exai files sh", "show"),
        ("exai workflows ca", "cancel"),
    ],
)
def test_a_shell_completes_commands(line: str, expected: str) -> None:
    environ = {"_EXAI_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}
    result = CliRunner().invoke(build_app(), prog_name="exai", env=environ)
    assert result.output.split() == [expected]
