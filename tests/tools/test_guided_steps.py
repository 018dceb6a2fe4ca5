"""The guided form of `review` and `analyze`, under their names and the older ones, over a real door."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from exai_emulator import Emulator, Persona
from exai_emulator.reporting.findings import Judging, ScriptedFinding
from exai_emulator.reporting.turns import Report
from support.daemon_in_process import StartInProcess
from support.mcp_websocket import McpSocket, mcp_socket
from support.results import whole
from support.schemas import check_result

POOL = (
    "class Pool:\n    def get(self):\n        conn = self._open()\n        conn.ping(1)\n        return conn\n\n"
    "    def _open(self):\n        return object()\n"
)
LEAK = {
    "severity": "high",
    "category": "resource-leak",
    "path": "pool.py",
    "from": 3,
    "to": 4,
    "quote": "conn = self._open()",
    "message": "conn stays open where ping fails",
    "when": "the server is down",
    "fix": "close it",
}
JUDGING = Judging(pattern=r"^│(?P<id>R\d+)\. .*?(?=^│R\d+\. |\Z)")
READER = Persona("reader", report=Report(findings=(ScriptedFinding(fields=LEAK),), judging=JUDGING))


@pytest.fixture
async def client(start_in_process: StartInProcess, tmp_path: Path) -> AsyncIterator[McpSocket]:
    for root in ("root", "second"):
        folder = tmp_path / root
        folder.mkdir()
        (folder / "pool.py").write_text(POOL)
        (folder / "wire.py").write_text("from pool import Pool\n\n\ndef use():\n    return Pool().get()\n")
    roots = json.dumps([str(tmp_path / "root"), str(tmp_path / "second")])
    async with start_in_process(EXAI_FILES__ROOTS=roots) as daemon, mcp_socket(daemon.mcp_ws) as socket:
        yield socket


async def call(client: McpSocket, name: str, **arguments: Any) -> dict[str, Any]:
    result = await client.tool(name, arguments)
    assert not result["isError"], result
    tools = (await client.request("tools/list"))["result"]["tools"]
    tool = {"codereview": "review", "secaudit": "review", "review": "review"}.get(name, "analyze")
    listed = next(each for each in tools if each["name"] == tool)
    if "required_actions" in result["structuredContent"]:
        jsonschema.validate(result["structuredContent"], listed["outputSchema"])
    else:
        check_result(result, listed)
    return {**whole(result), "text": result["content"][0]["text"]}


async def refused(client: McpSocket, name: str, **arguments: Any) -> tuple[str, str]:
    result = await client.tool(name, arguments)
    assert result["isError"], result
    return result["_meta"]["exai/error"]["code"], result["content"][0]["text"]


def step(number: int, total: int = 2, /, **more: Any) -> dict[str, Any]:
    said = {
        "step": f"Look {number}.",
        "step_number": number,
        "total_steps": total,
        "next_step_required": number < total,
        "findings": f"Seen in step {number}.",
    }
    return {**said, **more}


def first_prompt(emulator: Emulator) -> str:
    return str(emulator.log.requests[0].body["messages"])


async def test_a_review_is_reported_step_by_step_and_done_with_the_last(
    client: McpSocket, emulator: Emulator, tmp_path: Path
) -> None:
    emulator.persona = READER
    begun = await call(
        client,
        "review",
        **step(
            1, 3, workspace=str(tmp_path / "root"), focus="leaks of connections", relevant_files=["pool.py"]
        ),
    )
    assert begun["required_actions"][0].startswith("Read the change or the files")
    assert all(action in begun["text"] for action in begun["required_actions"])
    handle = begun["continuation_id"]
    assert begun["next_call"]["step_number"] == 2
    assert begun["next_call"]["continuation_id"] == handle
    suspicion = {"severity": "high", "description": "A connection may stay open."}
    later = await call(
        client, "review", **step(2, 3, continuation_id=handle, issues_found=[suspicion], confidence="medium")
    )
    assert later["required_actions"][0].startswith("Give the lines of each suspicion")
    assert emulator.log.requests == [], "steps ask nobody"
    done = await call(client, "review", **step(3, 3, continuation_id=handle))
    assert [each["path"] for each in done["findings"]] == ["pool.py"], done
    assert done["looked_at"] == "1 of 1 files"
    assert done["continuation_id"] == handle
    prompt = first_prompt(emulator)
    for part in (
        "Review the files `pool.py` for defects of every kind.",
        "Look 1.",
        "Seen in step 2.",
        "issue (high): A connection may stay open.",
        "leaks of connections",
    ):
        assert part in prompt, "what an earlier step said holds"


async def test_an_analysis_goes_back_and_is_finished_by_the_engine(
    client: McpSocket, emulator: Emulator, tmp_path: Path
) -> None:
    emulator.persona = Persona("fixed", text="It opens.")
    workspace = str(tmp_path / "root")
    begun = await call(
        client,
        "analyze",
        **step(1, 4, kind="trace", target="Pool.get", workspace=workspace, output_format="summary"),
    )
    handle = begun["continuation_id"]
    await call(client, "analyze", **step(2, 4, continuation_id=handle, findings="A wrong turn."))
    await call(
        client, "analyze", **step(2, 4, continuation_id=handle, findings="Right.", backtrack_from_step=2)
    )
    code, sentence = await refused(client, "analyze", **step(4, 4, continuation_id=handle))
    assert (code, "goes on with step 3" in sentence) == ("bad_arguments", True)
    done = await call(client, "analyze", **step(3, 4, continuation_id=handle, autonomy="server"))
    assert done["answer"].startswith("[emulated "), done["answer"]
    assert "- pool.py:3 Pool.get -> pool.py:7 Pool._open" in done["answer"]
    assert done["graph"]["nodes"][0]["name"] == "Pool.get"
    prompt = first_prompt(emulator)
    assert "Analyze the trace of `Pool.get`." in prompt
    assert "Answer with a summary" in prompt
    assert "Right." in prompt
    assert "wrong turn" not in prompt
    assert "<<<GRAPH>>>" in prompt


@pytest.mark.parametrize(
    ("name", "given", "shown"),
    [
        (
            "codereview",
            {"review_type": "performance", "focus_on": "speed", "review_validation_type": "internal"},
            ("performance defects alone", "speed"),
        ),
        (
            "secaudit",
            {"threat_level": "high", "audit_focus": "owasp"},
            ("security defects", "Threat level: high"),
        ),
        ("refactor", {"refactor_type": "decompose", "confidence": "incomplete"}, ("the largest first",)),
        ("analyze", {"analysis_type": "security"}, ("what an attacker could reach",)),
        (
            "tracer",
            {"trace_mode": "dependencies", "target_description": "Who needs `Pool.get`?"},
            ("Analyze the dependencies of `Pool.get`.", "Who needs `Pool.get`?"),
        ),
    ],
)
async def test_older_names_take_the_steps_that_agents_know(
    client: McpSocket,
    emulator: Emulator,
    tmp_path: Path,
    name: str,
    given: dict[str, Any],
    shown: tuple[str, ...],
) -> None:
    emulator.persona = READER if name in {"codereview", "secaudit"} else Persona("fixed", text="Well.")
    workspace = {"path" if name in {"codereview", "secaudit"} else "workspace": str(tmp_path / "root")}
    begun = await call(client, name, **step(1, relevant_files=["pool.py"], **given, **workspace))
    handle = begun["continuation_id"]
    assert begun["required_actions"]
    assert emulator.log.requests == []
    confidence = {"confidence": "complete"} if name == "refactor" else {"confidence": "certain"}
    done = await call(
        client, name, **step(2, continuation_id=handle, hypothesis="It leaks.", issues_found=[], **confidence)
    )
    assert done["continuation_id"] == handle
    prompt = first_prompt(emulator)
    for part in (*shown, "Look 1.", "Seen in step 2.", "(confidence: certain): It leaks.", "pool.py"):
        assert part in prompt, (name, part)


async def test_two_investigations_of_one_caller_do_not_meet(
    client: McpSocket, emulator: Emulator, tmp_path: Path
) -> None:
    emulator.persona = Persona("fixed", text="Well.")
    handles = [
        (await call(client, "analyze", **step(1, workspace=str(tmp_path / root), findings=f"Of {root}.")))[
            "continuation_id"
        ]
        for root in ("root", "second")
    ]
    for handle, own, other in zip(handles, ("root", "second"), ("second", "root"), strict=True):
        before = len(emulator.log.requests)
        await call(client, "analyze", **step(2, continuation_id=handle))
        prompt = str(emulator.log.requests[before].body["messages"])
        assert f"Of {own}." in prompt
        assert f"Of {other}." not in prompt


@pytest.mark.parametrize("sends", [False, True])
@pytest.mark.parametrize("name", ["review", "analyze", "debug", "think"])
async def test_secrets_are_sent_where_the_last_step_says_so_and_by_no_earlier_word(
    client: McpSocket, emulator: Emulator, tmp_path: Path, name: str, sends: bool
) -> None:
    emulator.persona = READER if name == "review" else Persona("fixed", text="Well.")
    secret = "AKIAABCDEFGH23456723"
    file = tmp_path / "root" / "cloud.py"
    file.write_text(f'KEY = "{secret}"\n')
    where = {} if name == "think" else {"workspace": str(tmp_path / "root")}
    begun = await client.tool(name, step(1, relevant_files=[str(file)], send_secrets=True, **where))
    handle = begun["structuredContent"]["continuation_id"]
    last = step(2, continuation_id=handle, **({"send_secrets": True} if sends else {}))
    done = await client.tool(name, last)
    assert not done["isError"], done
    assert (secret in first_prompt(emulator)) is sends
    assert "cloud.py" in first_prompt(emulator)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"step": "Look."}, "Argument 'step_number'"),
        ({"step_number": 1}, "Argument 'step'"),
        ({"step": "Look.", "step_number": 1}, "Argument 'next_step_required'"),
        (step(2), "goes on with step 1"),
        (step(1, dry_run=True), "Argument 'dry_run'"),
        (step(1, fork=True, continuation_id="conv_x"), "Argument 'fork'"),
        (step(2, continuation_id="conv_x"), "There is no run of this continuation_id"),
        (step(1, issues_found="many"), "issues_found"),
        (step(1, confidence="sure"), "'sure' is none of its values"),
        (step(0), "step_number"),
    ],
)
@pytest.mark.parametrize("name", ["review", "analyze"])
async def test_steps_that_cannot_be_taken_name_the_argument(
    client: McpSocket, name: str, arguments: dict[str, Any], says: str
) -> None:
    code, sentence = await refused(client, name, **arguments)
    assert says in sentence
    assert code == ("unknown_run" if "no run" in says else "bad_arguments")
