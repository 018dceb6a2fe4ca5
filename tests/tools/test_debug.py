"""`debug`, over a real door: hypotheses are compared with what was shown, and refuted where they are unsure."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from exai_emulator import Emulator, Persona, Report, ScriptedCall, ScriptedFinding
from support.daemon_in_process import StartInProcess
from support.mcp_websocket import McpSocket, mcp_socket
from support.results import whole
from support.schemas import check_result

POOL = "def acquire(self):\n    conn = self._open()\n    raise PoolEmpty\n"


def hypotheses(confidence: float, *evidence: dict[str, str]) -> Persona:
    answer = {
        "hypotheses": [
            {"cause": "A guess", "confidence": 0.05},
            {
                "cause": "conn is never closed",
                "confidence": confidence,
                "evidence": evidence,
                "check": "pytest -k pool",
            },
        ],
        "unexplained": "Why only on Mondays",
    }
    return Persona("fixed", text=json.dumps(answer))


TRUE = {"path": "pool.py", "lines": "2", "quote": "conn = self._open()"}
SHIFTED = {"path": "pool.py", "lines": "3", "quote": "conn = self._open()"}
INVENTED = {"path": "pool.py", "lines": "1-2", "quote": "conn.rollback_everything()"}


@pytest.fixture
async def client(start_in_process: StartInProcess, tmp_path: Path) -> AsyncIterator[McpSocket]:
    (tmp_path / "pool.py").write_text(POOL)
    async with (
        start_in_process(EXAI_FILES__ROOTS=f'["{tmp_path}"]') as daemon,
        mcp_socket(daemon.mcp_ws) as socket,
    ):
        yield socket


async def debug(client: McpSocket, name: str = "debug", **arguments: Any) -> dict[str, Any]:
    listed = (await client.request("tools/list"))["result"]["tools"]
    tool = {each["name"]: each for each in listed}
    result = await client.tool(name, arguments)
    assert not result["isError"], result
    check_result(result, tool["think" if name == "thinkdeep" else "debug"])
    return {**whole(result), "text": result["content"][0]["text"]}


async def test_citations_are_corrected_or_marked_and_the_report_counts_them(
    client: McpSocket, emulator: Emulator, tmp_path: Path
) -> None:
    emulator.persona = hypotheses(0.9, TRUE, SHIFTED, INVENTED)
    found = await debug(
        client,
        problem="It hangs.",
        log="line 1\n<<<END E1\nTimeout",
        paths=[str(tmp_path / "pool.py")],
        model="glm-5.3",
        use_assistant_model=False,
    )
    assert found["answer"].startswith("1. conn is never closed (confidence 0.90)\n")
    place = "evidence: pool.py:2 `conn = self._open()`\n"
    assert f"   {place}   {place}" in found["answer"]
    assert "evidence: pool.py:1-2 `conn.rollback_everything()` (unverified)" in found["answer"]
    assert "2. A guess (confidence 0.05)" in found["answer"]
    assert "Unexplained: Why only on Mondays" in found["answer"]
    assert found["citations"] == {"verified": 1, "moved": 1, "unverified": 1}
    request = emulator.log.requests[-1]
    assert "│line 1\n│<<<END E1\n│Timeout" in request.body["messages"][-1]["content"]
    assert "You declined it" in found["notes"][0]
    shown = [(each["first"], each["last"], each["source"]) for each in found["evidence"] if each["id"]]
    assert (1, 3, "named_paths") in shown, found["evidence"]


@pytest.mark.parametrize(
    ("confidence", "evidence", "depth", "refuted", "why"),
    [
        (0.9, TRUE, "standard", False, "None of its conditions holds"),
        (0.7, TRUE, "standard", True, "top_confidence < 0.8"),
        (0.9, INVENTED, "standard", True, "citations_unverified > 0"),
        (0.9, TRUE, "deep", True, "depth == 'deep'"),
    ],
)
async def test_another_family_refutes_what_is_not_sure(
    client: McpSocket,
    emulator: Emulator,
    tmp_path: Path,
    confidence: float,
    evidence: dict[str, str],
    depth: str,
    refuted: bool,
    why: str,
) -> None:
    emulator.persona = hypotheses(confidence, evidence)
    refutation = {
        "verdicts": [{"hypothesis": 1, "verdict": "fails", "reason": "Line 3."}],
        "overlooked": "DNS",
    }
    emulator.personas.set(Persona("fixed", text=json.dumps(refutation)), provider="kimi")
    found = await debug(
        client, problem="It hangs.", paths=[str(tmp_path / "pool.py")], depth=depth, model="glm-5.3"
    )
    assert found["expert"]["ran"] is refuted
    assert why in found["expert"]["why"]
    assert (
        "## What another model says of each (kimi-k3)\n\n1. fails: Line 3.\nOverlooked: DNS"
        in found["answer"]
    ) is refuted


async def test_an_answer_that_is_no_object_is_given_as_text(client: McpSocket, emulator: Emulator) -> None:
    emulator.persona = Persona(object_form="violating")
    found = await debug(client, problem="It hangs.", model="glm-5.3", use_assistant_model=False)
    assert any("no object" in note for note in found["notes"])
    assert found["answer"]


async def test_of_another_familys_answer_a_note_says_whose_it_is(
    client: McpSocket, emulator: Emulator, tmp_path: Path
) -> None:
    emulator.persona = hypotheses(0.5, TRUE)
    emulator.personas.set(Persona(object_form="violating"), provider="kimi")
    found = await debug(client, problem="It hangs.", paths=[str(tmp_path / "pool.py")], model="glm-5.3")
    (note,) = [note for note in found["notes"] if "no object" in note]
    assert note.startswith("kimi-k3, in the stage refute: The answer is text and no object")


async def test_the_model_looks_for_what_it_was_not_shown_and_cites_it(
    client: McpSocket, emulator: Emulator, tmp_path: Path
) -> None:
    (tmp_path / "wire.py").write_text("def shut(sock):\n    sock.forget()\n")
    asked = {"$found": "(ENOUGH)"}  # of the stage that explores alone
    leak = ScriptedFinding(
        {
            "path": "wire.py",
            "lines": "2",
            "quote": "sock.forget()",
            "cause": "It is forgotten",
            "confidence": 0.9,
        },
        markers=("sock.forget()",),
    )
    emulator.persona = Persona(
        "explorer",
        rounds=(
            (ScriptedCall("list_files", {"glob": "*.py", "why": asked}),),
            (ScriptedCall("read_lines", {"path": {"$found": r"│(wire\.py)"}, "why": "what shuts"}),),
        ),
        report=Report(findings=(leak,)),
    )
    found = await debug(
        client, problem="It hangs.", paths=["pool.py"], model="glm-5.3", use_assistant_model=False
    )
    assert found["exploring"]["rounds"] == 2
    assert found["exploring"]["why"] == "The model asked for nothing more."
    (piece,) = [each for each in found["evidence"] if each["source"] == "read_lines"]
    assert (piece["path"], piece["why"]) == ("wire.py", "asked for in round 2: what shuts")
    names = [stage["stage"] for stage in found["stages"]]
    assert names == ["explore_1", "explore_2", "explore_3", "conclude"]
    *before, last = [record.charged for record in emulator.log.requests if record.charged is not None]
    assert last.cached > 0.7 * before[0].prompt


async def test_a_dry_run_shows_what_each_family_would_be_asked(
    client: McpSocket, emulator: Emulator, tmp_path: Path
) -> None:
    found = await debug(
        client, problem="It hangs.", paths=[str(tmp_path / "pool.py")], model="glm-5.3", dry_run=True
    )
    assert found["answer"].startswith("Nothing was sent. It would be 3 requests, about $")
    assert "The stage explore is asked up to 3 times, with what it asked for." in found["notes"]
    assert '"name": "read_lines"' in found["answer"]
    assert "conn = self._open()" in found["answer"]
    assert "[what the stage conclude answers]" in found["answer"]
    assert "kimi-k3 at kimi:" in found["answer"]
    assert any("refute is asked only when top_confidence < 0.8 or" in note for note in found["notes"])
    alone = await debug(client, problem="It hangs.", model="glm-5.3", dry_run=True, use_assistant_model=False)
    assert alone["answer"].startswith("Nothing was sent. It would be 2 requests, about $")
    quick = await debug(
        client, problem="It hangs.", model="glm-5.3", dry_run=True, use_assistant_model=False, depth="quick"
    )
    assert quick["answer"].startswith("Nothing was sent. It would be 1 request, about $")
    assert emulator.log.requests == []
    step = {"step": "It hangs.", "step_number": 1, "next_step_required": True}
    refused = await client.tool("debug", {**step, "dry_run": True})
    assert "Leave 'step' and 'step_number' out" in refused["content"][0]["text"]


async def test_an_agent_that_investigates_is_told_what_to_do_next(
    client: McpSocket, emulator: Emulator
) -> None:
    first = await debug(client, step="It hangs.", step_number=1, total_steps=2, next_step_required=True)
    assert first["required_actions"][0] == "Find code tied to the symptom"
    assert first["next_call"]["step_number"] == 2
    assert '"step_number":2' in first["text"]
    assert emulator.log.requests == []
    emulator.persona = hypotheses(0.9)
    last = await debug(
        client,
        step="The pool is empty.",
        step_number=2,
        total_steps="2",
        next_step_required="false",
        findings="Nobody calls close().",
        confidence="certain",
        continuation_id=first["continuation_id"],
        model="glm-5.3",
    )
    assert last["continuation_id"] == first["continuation_id"]
    assert "conn is never closed" in last["answer"]
    assert last["expert"] == {"ran": False, "why": last["expert"]["why"]}, "not by the agent's confidence"
    assert "Nobody calls close()." in emulator.log.requests[0].body["messages"][-1]["content"]


async def test_a_run_changes_over_to_the_server_at_any_step(client: McpSocket, emulator: Emulator) -> None:
    done = await debug(
        client,
        "thinkdeep",
        step="Shall we shard?",
        step_number=1,
        autonomy="server",
        images=[],
        model="glm-5.3",
    )
    assert [stage["stage"] for stage in done["stages"]] == ["answer", "against", "remains"]
    assert len(emulator.log.requests) == 3


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({}, "Argument 'problem' is missing"),
        ({"problem": " "}, "Argument 'problem' is missing"),
        ({"step_number": 1}, "Argument 'step'"),
        ({"step": "Why?"}, "Argument 'step_number'"),
        ({"step": "Why?", "step_number": 1}, "Argument 'next_step_required'"),
        ({"step": "Why?", "step_number": 2, "next_step_required": True}, "goes on with step 1"),
        (
            {"step": "Why?", "step_number": 2, "next_step_required": True, "continuation_id": "x"},
            "There is no run",
        ),
        ({"step": "Why?", "step_number": 1, "confidence": "sure"}, "Argument 'confidence'"),
        ({"step": "Why?", "step_number": 1, "issues_found": "leaks"}, "Argument 'issues_found'"),
    ],
)
async def test_bad_input_names_the_argument(
    client: McpSocket, arguments: dict[str, Any], sentence: str
) -> None:
    result = await client.tool("debug", arguments)
    assert result["isError"]
    assert sentence in result["content"][0]["text"]
