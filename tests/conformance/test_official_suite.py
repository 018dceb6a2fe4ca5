"""The official conformance suite, over Streamable HTTP: what each revision requires of a server."""

import asyncio
import json
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.nodes import Node

SUITE_TIMEOUT_S = 100
PASSED = frozenset({"SUCCESS", "INFO"})
STAMPED = re.compile(r"server-(?P<scenario>.+)-\d{4}-\d\d-\d\dT[\d-]+Z")
"""How the suite names the folder of one scenario's results."""


@dataclass(frozen=True, slots=True)
class Run:
    """What the suite said."""

    exit_code: int
    output: str
    checks: dict[str, list[dict[str, str]]]
    """By scenario, those beyond the requirements included."""

    def complaints(self, required: list[str]) -> list[str]:
        """Every check of these scenarios that did not pass, and every scenario without one that did."""
        not_passed = [
            f"{scenario}: {check['id']} {check['status']}: {check.get('errorMessage')}"
            for scenario in required
            for check in self.checks.get(scenario, [])
            if check["status"] not in PASSED
        ]
        untested = [
            f"{scenario}: nothing was checked"
            for scenario in required
            if not any(check["status"] == "SUCCESS" for check in self.checks.get(scenario, []))
        ]
        return not_passed + untested


async def suite(node: Node, *arguments: str) -> tuple[int, str]:
    """The suite's exit code and all that it prints."""
    program = node.modules / "@modelcontextprotocol" / "conformance" / "dist" / "index.js"
    process = await asyncio.create_subprocess_exec(
        node.binary,
        program,
        *arguments,
        env=node.environ(),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(SUITE_TIMEOUT_S):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return process.returncode, output.decode()


async def required_scenarios(node: Node, revision: str) -> list[str]:
    """What the suite itself says a server of this revision must pass."""
    exit_code, output = await suite(node, "list", "--requirements", revision, "--server")
    assert exit_code == 0, output
    section = output.partition("Server scenarios")[2].partition("\n\n")[0]
    return re.findall(r"^ +- (\S+)", section, re.MULTILINE)


async def run_suite(node: Node, url: str, revision: str, results: Path) -> Run:
    exit_code, output = await suite(
        node, "server", "--url", url, "--requirements", revision, "--output-dir", str(results)
    )
    return Run(exit_code, output, saved_checks(results))


def saved_checks(results: Path) -> dict[str, list[dict[str, str]]]:
    """What the suite wrote down, by scenario."""
    checks = {}
    for path in results.glob("*/checks.json"):
        named = STAMPED.fullmatch(path.parent.name)
        assert named is not None, path
        checks[named["scenario"]] = json.loads(path.read_text(encoding="utf-8"))
    return checks


@pytest.mark.parametrize(("revision", "scenarios"), [("2025-11-25", 30), ("2026-07-28", 37)])
async def test_every_required_scenario_passes(
    node: Node, suite_server: str, tmp_path: Path, revision: str, scenarios: int
) -> None:
    required = await required_scenarios(node, revision)
    run = await run_suite(node, suite_server, revision, tmp_path / "results")
    complaints = run.complaints(required)
    assert not complaints, "\n".join(complaints)
    assert run.exit_code == 0, run.output
    assert len(required) == scenarios


BEYOND = (
    "tasks-lifecycle",
    "tasks-capability-negotiation",
    "tasks-wire-fields",
    "tasks-request-state-removal",
    "tasks-mrtr-input",
    "tasks-request-headers",
    "tasks-dispatch-and-envelope",
    "tasks-required-task-error",
    "tasks-mrtr-composition",
    "http-custom-header-server-validation",
)
"""What no revision requires: the extension of tasks, of which the suite leaves out notifications, and arguments that
are headers."""


@pytest.mark.parametrize("scenario", BEYOND)
async def test_tasks_and_arguments_in_headers_pass(
    node: Node, suite_server: str, tmp_path: Path, scenario: str
) -> None:
    results = tmp_path / "results"
    exit_code, output = await suite(
        node, "server", "--url", suite_server, "--scenario", scenario, "--output-dir", str(results)
    )
    complaints = Run(exit_code, output, saved_checks(results)).complaints([scenario])
    assert not complaints, "\n".join(complaints)
    assert exit_code == 0, output
