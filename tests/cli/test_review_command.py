"""`exai review`: what it asks, what it shows, and with which code it ends."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from exai.cli import build_app
from exai.consulting.results import ToolReturn
from exai.dispatch.progress import SendProgress
from exai.tools.base import ToolAnswer
from exai.tools.envelope import answer_of
from exai.tools.workflows.answers import Confirming
from exai.tools.workflows.review import ReviewAnswer, ReviewArguments
from exai.workflows.faults import Unconfirmed
from support.daemons import free_port
from support.findings import found, review_result
from support.open_doors import Doors
from support.repositories import GitRepository


class ReviewTool:
    """A daemon's tool `review` with the answers of a test."""

    def __init__(self, *answers: ToolAnswer) -> None:
        self._answers = list(answers)
        self.asked: list[dict[str, Any]] = []

    async def call(self, arguments: dict[str, Any], _: SendProgress | None) -> ToolAnswer:
        self.asked.append(arguments)
        return self._answers[min(len(self.asked), len(self._answers)) - 1]


def answered(*findings: Any, partial: bool = False, **fields: Any) -> ToolAnswer:
    """A review with these findings."""
    return ToolAnswer("review", review_result(*findings, **fields), {"exai/report": {"partial": partial}})


def failed(code: str, message: str) -> ToolAnswer:
    """A tool's error."""
    return ToolAnswer(message, None, {"exai/error": {"code": code}}, is_error=True)


@pytest.fixture
def repository(data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> GitRepository:
    """A repository with a change, in which the command is called."""
    made = GitRepository(tmp_path / "project")
    made.commit({"src/pool.py": "conn = 1\n", "README.md": "# Pool\n"})
    made.write({"src/pool.py": "conn = 2\n"})
    monkeypatch.chdir(made.folder)
    return made


async def review(*arguments: str) -> Result:
    """Run the command in a thread, while the daemon answers in this one's loop."""
    return await asyncio.to_thread(lambda: CliRunner().invoke(build_app(), ["review", *arguments]))


async def reviewed(doors: Doors, tool: ReviewTool, *arguments: str) -> Result:
    """Run it against a daemon whose tool this is."""
    doors.engine.further["review"] = tool.call
    return await review("--url", doors.ws, *arguments)


@pytest.mark.parametrize(
    ("options", "change"),
    [
        ([], "all"),
        (["--staged"], "staged"),
        (["--base", "main"], "main"),
        (["--base", "staged"], "staged~0"),
        (["--range", "main..HEAD"], "main..HEAD"),
    ],
)
async def test_the_change_that_is_asked_for_is_that_of_the_options(
    doors: Doors, repository: GitRepository, options: Sequence[str], change: str
) -> None:
    tool = ReviewTool(answered())
    result = await reviewed(doors, tool, *options)
    assert result.exit_code == 0, result.stderr
    (asked,) = tool.asked
    assert (asked["workspace"], asked["change"]) == (str(repository.folder), change)
    assert (asked["kind"], asked["min_severity"]) == ("full", "medium")
    assert "paths" not in asked


async def test_paths_are_named_from_the_top_and_need_no_change(
    doors: Doors, repository: GitRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(repository.folder / "src")
    tool = ReviewTool(answered())
    assert (await reviewed(doors, tool, "pool.py", "../README.md")).exit_code == 0
    assert (await reviewed(doors, tool, "--staged", ".")).exit_code == 0
    whole, staged = tool.asked
    assert (whole["paths"], "change" in whole) == (["src/pool.py", "README.md"], False)
    assert (staged["paths"], staged["change"]) == (["src"], "staged")


async def test_options_of_the_review_reach_the_tool(doors: Doors, repository: GitRepository) -> None:
    tool = ReviewTool(answered())
    options = ("--kind", "security", "--depth", "deep", "--focus", "locks", "--max-findings", "3")
    result = await reviewed(doors, tool, *options, "--budget", "0.5", "--fail-on", "low")
    assert result.exit_code == 0, result.stderr
    (asked,) = tool.asked
    wanted = {"kind": "security", "depth": "deep", "focus": "locks", "max_findings": 3, "budget_usd": 0.5}
    assert {name: asked[name] for name in wanted} == wanted
    assert asked["min_severity"] == "low", "what makes it fail is shown"


@pytest.mark.parametrize(
    ("options", "code"),
    [([], 1), (["--fail-on", "critical"], 0), (["--fail-on", "high"], 1), (["--fail-on", "never"], 0)],
)
@pytest.mark.usefixtures("repository")
async def test_the_code_says_whether_a_finding_is_severe_enough(
    doors: Doors, options: Sequence[str], code: int
) -> None:
    tool = ReviewTool(answered(found(severity="high"), found(severity="low")))
    result = await reviewed(doors, tool, *options)
    assert result.exit_code == code, result.stderr
    assert "HIGH resource-leak  src/pool.py:41-44" in result.stdout
    assert result.stderr == ""


@pytest.mark.usefixtures("repository")
async def test_each_format_has_the_findings(doors: Doors) -> None:
    tool = ReviewTool(answered(found(), notes=["a.bin: no text"], withheld={"unverified": 3}))
    told = json.loads((await reviewed(doors, tool, "--format", "json")).stdout)
    assert (told["findings"][0]["from"], told["withheld"]) == (41, {"unverified": 3})
    sarif = json.loads((await reviewed(doors, tool, "--format", "sarif")).stdout)
    assert [each["ruleId"] for each in sarif["runs"][0]["results"]] == ["resource-leak"]
    lines = (await reviewed(doors, tool, "--format", "github")).stdout.splitlines()
    assert lines[0].startswith("::error file=src/pool.py,line=41,endLine=44,title=high%3A resource-leak::")
    assert lines[1] == "::notice title=exai review::a.bin: no text"


async def test_a_file_gets_the_format_and_stdout_the_text(doors: Doors, repository: GitRepository) -> None:
    tool = ReviewTool(answered(found()))
    result = await reviewed(doors, tool, "--format", "sarif", "--output", "review.sarif")
    assert result.exit_code == 1
    assert "HIGH resource-leak" in result.stdout
    assert json.loads((repository.folder / "review.sarif").read_text())["version"] == "2.1.0"
    assert [path.name for path in repository.folder.glob(".review*")] == []
    own, part = tool.asked[0]["exclude"]
    assert (own, part.startswith(".review.sarif.")) == ("review.sarif", True)


@pytest.mark.parametrize("place", ["missing/review.sarif", "src"])
@pytest.mark.usefixtures("repository")
async def test_nothing_is_asked_where_the_output_cannot_be_written(doors: Doors, place: str) -> None:
    tool = ReviewTool(answered())
    result = await reviewed(doors, tool, "--output", place)
    assert "cannot be written" in str(result.exception)
    assert tool.asked == []


@pytest.mark.parametrize(
    ("code", "exit_code", "open_code"),
    [
        ("provider_unreachable", 3, 0),
        ("budget_too_small", 3, 0),
        ("bad_arguments", 2, 2),
        ("unknown_model", 2, 2),
    ],
)
@pytest.mark.usefixtures("repository")
async def test_what_is_not_reviewed_ends_as_its_reason_says(
    doors: Doors, code: str, exit_code: int, open_code: int
) -> None:
    tool = ReviewTool(failed(code, "It went wrong."))
    closed = await reviewed(doors, tool)
    assert (closed.exit_code, closed.stdout) == (exit_code, "")
    assert closed.stderr == "exai: not reviewed: It went wrong.\n"
    opened = await reviewed(doors, tool, "--fail-open")
    assert (opened.exit_code, opened.stdout) == (open_code, "")
    assert ("warning" in opened.stderr) is (open_code == 0)


@pytest.mark.parametrize(("findings", "code"), [([], 3), ([found()], 1)])
@pytest.mark.usefixtures("repository")
async def test_half_a_review_without_findings_is_none(
    doors: Doors, findings: Sequence[Any], code: int
) -> None:
    tool = ReviewTool(answered(*findings, partial=True, notes=["kimi-k3 failed half-way."]))
    result = await reviewed(doors, tool)
    assert (result.exit_code, "kimi-k3 failed half-way." in result.stdout) == (code, True)
    assert (await reviewed(doors, tool, "--fail-open")).exit_code == (1 if findings else 0)


@pytest.mark.usefixtures("repository")
async def test_an_answer_of_another_version_is_no_review(doors: Doors) -> None:
    broken = ToolAnswer("x", {"findings": [{"severity": "dire"}]})
    result = await reviewed(doors, ReviewTool(broken))
    assert result.exit_code == 3
    assert "Are both of one version?" in result.stderr
    missing = await review("--url", doors.ws)
    assert missing.exit_code == 3


@pytest.mark.usefixtures("repository")
async def test_a_daemon_that_is_not_there_is_no_review() -> None:
    result = await review("--url", f"ws://127.0.0.1:{free_port()}/mcp", "--staged")
    assert result.exit_code == 3
    assert "exai serve" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--staged", "--base", "main"], "one of --staged"),
        (["--range", "main"], "main..HEAD"),
        (["--base", "main..HEAD"], "--range"),
        (["--base", ""], "one commit"),
        (["missing.py"], "is not there"),
        (["../outside.py"], "lies outside"),
        (["--fail-on", "dire"], "dire"),
        (["--demo", "--url", "ws://127.0.0.1:1/mcp"], "--demo"),
        (["--install-hook", "--base", "main"], "no change"),
        (["--install-hook", "--uninstall-hook"], "no change"),
    ],
)
async def test_wrong_usage_is_a_sentence(
    repository: GitRepository, arguments: Sequence[str], says: str
) -> None:
    (repository.folder.parent / "outside.py").write_text("x = 1\n")
    result = await review(*arguments)
    assert result.exit_code == 2
    assert says in " ".join(result.stderr.split())


@pytest.mark.usefixtures("data_dir")
async def test_without_a_repository_files_are_reviewed_and_no_change(doors: Doors, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 1\n")
    tool = ReviewTool(answered())
    refused = await reviewed(doors, tool)
    assert (refused.exit_code, "no git repository" in " ".join(refused.stderr.split())) == (2, True)
    assert (await reviewed(doors, tool, "a.py")).exit_code == 0
    assert [(each["workspace"], each["paths"]) for each in tool.asked] == [(str(tmp_path), ["a.py"])]


@pytest.mark.parametrize(("options", "code"), [([], 3), (["--fail-open"], 0)])
async def test_a_review_that_needs_a_budget_is_none_and_says_how_it_is_given(
    doors: Doors, repository: GitRepository, options: Sequence[str], code: int
) -> None:
    needed = Confirming.of(ReviewArguments(), Unconfirmed(0.25, 0.1))
    answer = ReviewAnswer(
        next_call=needed.next_call, estimated_usd=needed.estimated_usd, answer="Other words."
    )
    result = await reviewed(doors, ReviewTool(answer_of(ToolReturn(answer))), *options)
    assert (result.exit_code, result.stdout) == (code, "")
    assert "not reviewed: Nothing was asked: this review is estimated at about $0.2500" in result.stderr
    assert result.stderr.rstrip().endswith("Allow it by `--budget 0.375`.")
