"""What the project says about itself in its docs: links, tables, the schema, the licence, the changelog."""

import re
import tomllib
from pathlib import Path

import pytest

from exai.storage.migrate import head

ROOT = Path(__file__).parents[2]
DOCS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
DECISION_PARTS = ["Context", "Decision", "Reasons", "Consequences"]


def _headings(text: str, level: int) -> list[str]:
    return re.findall(rf"^{'#' * level} (.+)$", _prose(text), flags=re.MULTILINE)


def _prose(text: str) -> str:
    """The text without its code blocks."""
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def _leads_somewhere(page: Path, target: str) -> bool:
    place, _, anchor = target.partition("#")
    there = page.parent / place if place else page
    if not anchor:
        return there.exists()
    headings = re.findall(r"^#+ (.+)$", _prose(there.read_text(encoding="utf-8")), flags=re.MULTILINE)
    return anchor in map(_anchor, headings)


@pytest.mark.parametrize("page", DOCS, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_inside_the_project_leads_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)\s]+)\)", _prose(page.read_text(encoding="utf-8")))
    inside = [target for target in targets if not re.match(r"[a-z]+:", target)]
    assert [target for target in inside if not _leads_somewhere(page, target)] == []


@pytest.mark.parametrize("page", DOCS, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_row_stands_in_a_table(page: Path) -> None:
    lines = _prose(page.read_text(encoding="utf-8")).splitlines()
    pairs = zip(["", *lines], [*lines, ""], strict=True)
    heads = [number for number, (above, line) in enumerate(pairs) if line[:1] == "|" != above[:1]]
    assert [
        lines[number] for number in heads if not re.match(r"\|[ :|-]+$", "".join(lines[number + 1 :][:1]))
    ] == []


def test_the_manual_shows_the_schema_that_is_needed() -> None:
    shown = re.findall(r"with schema (\d+)", (ROOT / "docs" / "operations.md").read_text(encoding="utf-8"))
    assert set(shown) == {head()}


def test_the_readme_names_the_two_commands() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = set(re.findall(r"^\$ (scripts/\w+)", readme, flags=re.MULTILINE))
    assert {"scripts/serve", "scripts/test"} <= commands
    assert "scripts/serve --demo" in readme
    assert {command for command in commands if not (ROOT / command).is_file()} == set()


def test_the_licence_is_the_one_the_package_declares() -> None:
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert PROJECT["license"] == "Apache-2.0"
    assert "Apache License\n" in text
    assert "Version 2.0, January 2004" in text
    assert text.rstrip().endswith("limitations under the License.")


def test_the_changelog_begins_with_what_is_not_yet_released() -> None:
    headings = _headings((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), 2)
    assert headings[0] == "[Unreleased]"
    assert all(re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d{2}-\d{2}", heading) for heading in headings[1:])


def test_every_decision_says_why_and_what_follows() -> None:
    decisions = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))
    numbers = [int(path.name[:4]) for path in decisions]
    assert numbers == list(range(1, len(numbers) + 1))
    for path in decisions:
        assert _headings(path.read_text(encoding="utf-8"), 2) == DECISION_PARTS, path.name
